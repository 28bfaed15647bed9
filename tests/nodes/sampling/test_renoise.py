"""Trajectories without inversion: the picture under one noise, and what the model misses of it taken along with the edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks.flow_model import as_flow

#: A free loop: nothing is held, nothing guides. What comes back then comes back by the residual alone.
FREE = {"energy_scale": 0.0, "hold_background": 0.0, "hold_object_until": 0.0}


@pytest.fixture(scope="module", params=["vp", "flow"])
def model(request: pytest.FixtureRequest, mini: Any) -> Any:
    return mini.model if request.param == "vp" else as_flow(mini.model)


@pytest.fixture(scope="module")
def renoised(run: Any, scene: Any) -> Callable[..., tuple[Any, Any, Any]]:
    """`renoised(model, steps=…)` → (branch, start, sigmas) of the scene's picture."""

    def make(model: Any, **inputs: Any) -> tuple[Any, Any, Any]:
        given = {"model": model, "positive": scene.positive, "latent": scene.latent, "steps": 4, "method": "renoise"}
        trajectory, start, sigmas = run("DragonInvert", **{**given, **inputs})
        return run("DragonGuidanceBranch", trajectory=trajectory)[0], start, sigmas

    return make


def source(scene: Any) -> torch.Tensor:
    return scene.latent["samples"]


def apart(a: torch.Tensor, scene: Any) -> float:
    """From the source, as a share of its largest value."""
    return float((a - source(scene)).abs().max() / source(scene).abs().max())


def test_the_model_is_not_asked(model: Any, renoised: Any, watched: Any) -> None:
    """And every level is the picture under the same noise."""
    watching, seen = watched(model)
    branch, _, sigmas = renoised(watching)
    assert seen == []
    trajectory = branch.trajectory
    clean, at = trajectory.latents[-1], trajectory.noise_model
    noises = [at.noise_part(x, clean, sigma) / sigma for x, sigma in zip(trajectory.latents, sigmas[:-1], strict=False)]
    assert trajectory.renoised and all(torch.allclose(noise, noises[0], atol=1e-3) for noise in noises)
    assert 0.8 < float(noises[0].std()) < 1.2


def test_a_seed_is_a_noise(mini: Any, renoised: Any) -> None:
    first, again, other = (renoised(mini.model, seed=seed)[0].trajectory.latents for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.allclose(first[0], other[0], atol=1.0)
    assert torch.equal(first[-1], other[-1])


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 20])
def test_without_an_edit_the_source_comes_back(model: Any, renoised: Any, sample: Any, scene: Any, run: Any, mini: Any, steps: int) -> None:
    """In any number of steps, at any cfg and with any prompt: to 1e-5, and without asking the model."""
    branch, _, _ = renoised(model, steps=steps, scheduler="simple")
    (other,) = run("CLIPTextEncode", clip=mini.clip, text="a green car on a wood floor")
    for cfg in (1.0, 1.5, 7.0):
        for positive in (scene.positive, other):
            assert apart(sample(scene, model=model, branch=branch, cfg=cfg, positive=positive), scene) < 1e-5


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "dpm_2", "DragonEulerSampler"])
def test_any_sampler_and_any_levels(model: Any, renoised: Any, scene: Any, run: Any, name: str) -> None:
    """Levels that the trajectory was not made at, from a scheduler of another kind, and what a sampler asks for in between."""
    branch, start, _ = renoised(model)
    (sampler,) = run(name) if name.startswith("Dragon") else run("KSamplerSelect", sampler_name=name)
    (sigmas,) = run("BasicScheduler", model=model, scheduler="beta", steps=5, denoise=1.0)
    guider, *_ = run("DragonGuider", model=model, positive=scene.positive, negative=scene.negative, branch=branch, cfg=3.0)
    noise = run("DisableNoise")[0]
    for latent in (start, scene.latent):
        output = run("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas, latent_image=latent)
        assert apart(output[0]["samples"], scene) < 1e-4
    high, low = run("SplitSigmas", sigmas=sigmas, step=2)
    middle = run("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=high, latent_image=start)[0]
    output = run("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=low, latent_image=middle)
    assert apart(output[0]["samples"], scene) < 1e-4


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("shared", [False, True])
def test_an_edit_that_changes_nothing_changes_nothing(
    model: Any, renoised: Any, sample: Any, move: Any, scene: Any, run: Any, cfg: float, shared: bool
) -> None:
    """An object that stays where it is, nothing held: the generation is the reference, whatever the model says of both."""
    branch, _, _ = renoised(model)
    patched = run("DragonCrossAttnPatch", model=model, branch=branch)[0] if shared else model
    energy = move(scene, dx=0, dy=0, start_latent="keep")
    given = {"model": patched, "branch": branch, "cfg": cfg, "energy": energy, **FREE}
    assert apart(sample(scene, **given), scene) < 1e-4
    assert apart(sample(scene, **given, residual=0.0), scene) > 0.05, "it does so by the residual"
    half = apart(sample(scene, **given, residual=0.5), scene)
    assert 0.001 < half < 1.2 * apart(sample(scene, **given, residual=0.0), scene)  # at cfg 3 an error may grow on its way


def test_what_is_pasted_brings_its_own(model: Any, renoised: Any, scene: Any, run: Any, sample: Any) -> None:
    """The picture's own object pasted onto itself, from a second trajectory under the same noise: nothing changes."""
    branch, _, _ = renoised(model)
    (both,) = run("DragonGuidanceBranch", trajectory=branch.trajectory, reference=branch.trajectory)
    ys, xs = torch.nonzero(scene.mask[0] > 0.5, as_tuple=True)
    energy = run("DragonPasteLoss", reference_mask=scene.mask, x=float(xs.float().mean() + 0.5), y=float(ys.float().mean() + 0.5))[0]
    assert apart(sample(scene, model=model, branch=both, energy=energy, cfg=1.0, **FREE), scene) < 1e-4


def test_a_weight_of_zero_is_the_loop_as_it_was(mini: Any, renoised: Any, sample: Any, scene: Any, euler: Any) -> None:
    """ComfyUI's own euler from the renoised start, to the bit."""
    branch, start, _ = renoised(mini.model)
    got = sample(scene, branch=branch, residual=0.0)
    assert torch.equal(got, euler(replace(scene, start=start)))


def test_a_trajectory_of_the_models_own_has_none(scene: Any, sample: Any, move: Any, watched: Any, mini: Any) -> None:
    """Inverted or recorded, it is the path the model walks: same bits, and not a row more."""
    results, rows = [], []
    for weight in (0.0, 1.0):
        watching, seen = watched(mini.model)
        results.append(sample(scene, model=watching, energy=move(scene), residual=weight, guide_until=0.5))
        rows.append([each.rows for each in seen])
    assert torch.equal(*results) and rows[0] == rows[1]


@pytest.mark.parametrize(("cfg", "guided", "expected"), [(1.0, 0.0, 2), (3.0, 0.0, 4), (1.0, 1.0, 2), (3.0, 1.0, 4)])
@pytest.mark.parametrize("shared", [False, True])
def test_rows(
    mini: Any,
    renoised: Any,
    sample: Any,
    move: Any,
    watched: Any,
    scene: Any,
    run: Any,
    cfg: float,
    guided: float,
    shared: bool,
    expected: int,
) -> None:
    """A free step: the reference and the positive at cfg 1, the negative of both besides; energies and shared attention add none."""
    branch, _, _ = renoised(mini.model)
    model = run("DragonCrossAttnPatch", model=mini.model, branch=branch)[0] if shared else mini.model
    watching, seen = watched(model)
    held = {"hold_background": 1.0, "hold_object_until": 0.9}
    windows = {"guide_every_until": guided, "guide_until": guided, "energy_scale": guided}
    sample(scene, model=watching, branch=branch, energy=move(scene), cfg=cfg, **held, **windows)
    assert sum(each.rows for each in seen) == 2 * expected, "two steps are free"
    assert len({each.sigma for each in seen}) == 2
