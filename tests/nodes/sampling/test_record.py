"""DragonRecord: the picture is KSampler's, and an edit that asks for nothing gives it back, to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.fixture(scope="module")
def recorded(run: Any, mini: Any) -> Any:
    """`recorded(cfg, batch)` → (the links of a sampler, trajectory, latent, sigmas, KSampler's latent)."""

    def make(cfg: float, batch: int = 1) -> tuple[dict[str, Any], Any, torch.Tensor, torch.Tensor, torch.Tensor]:
        (positive,) = run("CLIPTextEncode", clip=mini.clip, text="a red apple")
        (negative,) = run("CLIPTextEncode", clip=mini.clip, text="a blue wall")
        (empty,) = run("EmptyLatentImage", width=96, height=64, batch_size=batch)
        links = {"model": mini.model, "positive": positive, "negative": negative, "cfg": cfg}
        trajectory, latent, start, sigmas = run("DragonRecord", **links, latent=empty, seed=5, steps=4)
        (stock,) = run("KSampler", **links, latent_image=empty, seed=5, steps=4, sampler_name="euler", scheduler="normal", denoise=1.0)
        assert torch.equal(mini.model.model.process_latent_out(trajectory.latents[0]), start["samples"])
        return links, trajectory, latent["samples"], sigmas, stock["samples"]

    return make


@pytest.mark.parametrize(("cfg", "batch"), [(1.0, 1), (5.0, 2)])
def test_record_and_empty_edit_are_ksampler(run: Any, recorded: Any, cfg: float, batch: int) -> None:
    links, trajectory, latent, sigmas, stock = recorded(cfg, batch)
    assert float((latent - stock).abs().max()) == 0.0
    assert trajectory.latents.shape == (5, batch, 4, 8, 12) and torch.equal(trajectory.sigmas, sigmas)
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    edited, *_ = run("DragonSampler", **links, branch=branch, hold_background=0.0, hold_object_until=0.0)
    assert float((edited["samples"] - stock).abs().max()) == 0.0


def test_levels_are_steps_of_euler(recorded: Any) -> None:
    """x at each level lies on the line from the level before to its x0: what the sampler saw was kept in the model's scale, in order."""
    links, trajectory, _, _, stock = recorded(1.0)
    x, sigmas = trajectory.latents, trajectory.sigmas
    assert x[0].std() / sigmas[0] == pytest.approx(1.0, abs=0.05)
    assert torch.allclose(links["model"].model.process_latent_out(x[-1]), stock, atol=1e-6)
    assert all((x[i] - x[i + 1]).square().mean().sqrt() < 1.5 * (sigmas[i] - sigmas[i + 1]) for i in range(trajectory.steps))


def test_bad_input_is_refused_by_name(run: Any, recorded: Any) -> None:
    links, trajectory, latent, sigmas, _ = recorded(1.0)
    empty = {"samples": torch.zeros_like(latent)}
    with pytest.raises(Exception, match="DragonRecord: the latent has a noise mask"):
        run("DragonRecord", **links, latent={**empty, "noise_mask": torch.ones(1, 64, 96)}, steps=2)
    with pytest.raises(Exception, match="DragonRecord: recording needs a schedule .* that ends at sigma 0"):
        run("DragonRecord", **links, latent=empty, steps=2, sigmas=sigmas[:-1])
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    (patched,) = run("DragonCrossAttnPatch", model=links["model"], branch=branch)
    with pytest.raises(Exception, match="DragonRecord: record with the unpatched model"):
        run("DragonRecord", **{**links, "model": patched}, latent=empty, steps=2)
