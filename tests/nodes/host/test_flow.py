"""A flow with trained weights, the bundled model in other variables: edits of it are the VP model's, and runs begin from their own path."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.flow_model import as_flow, flow_sigmas

GUIDED = {"energy_scale": 0.5, "guide_every_until": 1.0, "guide_until": 1.0}
# From the middle on: at noisier levels guidance multiplies a last bit by thousands, and two ways to the same numbers part.
SETTLED = {**GUIDED, "hold_object_until": 0.5}
TRAVEL = {"travel_passes": 2, "travel_start": 0.0, "travel_end": 1.0}


@pytest.fixture(scope="module")
def flow(mini: Any) -> Any:
    return as_flow(mini.model)


@pytest.fixture(scope="module")
def inverted(run: Any, mini: Any, flow: Any, scene: Any) -> Any:
    """The scene's picture inverted by each, at the same ratios of signal to noise: (trajectory, branch)."""

    def invert(model: Any, sigmas: torch.Tensor) -> tuple[Any, Any]:
        trajectory, *_ = run("DragonInvert", model=model, positive=scene.positive, latent=scene.latent, sigmas=sigmas)
        return trajectory, run("DragonGuidanceBranch", trajectory=trajectory)[0]

    return invert(mini.model, scene.sigmas), invert(flow, flow_sigmas(scene.sigmas))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return float((a - b).abs().max()) < 5e-3 * float(b.abs().max())


def test_the_inversion_is_the_same(inverted: Any, scene: Any) -> None:
    (vp, _), (flow, _) = inverted
    shares = (1 - flow.sigmas).view(-1, 1, 1, 1, 1)
    assert close(flow.latents, shares * vp.latents)


@pytest.mark.parametrize(
    "settings",
    [
        SETTLED,
        {**SETTLED, "scale_unit": "paper", "energy_scale": 0.1},
        {**SETTLED, "energy_scale": 0.02, "sde_strength": 0.5, "sde_start": 0.0, "sde_end": 1.0, **TRAVEL},
        {**SETTLED, "hold_background": 1.0},
    ],
    ids=["relative", "paper", "stochastic", "held"],
)
def test_an_edit_is_the_same(inverted: Any, scene: Any, run: Any, mini: Any, flow: Any, sample: Any, move: Any, settings: Any) -> None:
    (_, vp_branch), (_, flow_branch) = inverted
    results = []
    for model, branch in ((mini.model, vp_branch), (flow, flow_branch)):
        (patched,) = run("DragonCrossAttnPatch", model=model, branch=branch)
        results.append(sample(scene, model=patched, branch=branch, energy=move(scene), **settings))
    assert close(results[1], results[0])


@pytest.fixture(scope="module")
def recorded(run: Any, flow: Any, scene: Any) -> Any:
    """A picture the flow made, from its noisiest level, where nothing of a picture is in x: (trajectory, latent, start, sigmas)."""
    (empty,) = run("EmptyLatentImage", width=96, height=64, batch_size=1)
    inputs = {"positive": scene.positive, "negative": scene.negative, "latent": empty, "cfg": 3.0, "seed": 5}
    out = run("DragonRecord", model=flow, **inputs, steps=4, scheduler="simple")
    assert float(out[3][0]) == 1.0
    return out


@pytest.mark.parametrize("sampler", ["DragonEulerSampler", "euler"])
def test_a_run_begins_from_its_own_path(run: Any, flow: Any, scene: Any, recorded: Any, move: Any, sampler: str) -> None:
    """ComfyUI's noise scaling would leave nothing of a start latent; the recorded picture comes back to the bit all the same."""
    trajectory, latent, start, sigmas = recorded
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    (chosen,) = run(sampler) if sampler.startswith("Dragon") else run("KSamplerSelect", sampler_name=sampler)
    guider, *_ = run("DragonGuider", model=flow, positive=scene.positive, negative=scene.negative, branch=branch, cfg=3.0)
    noise = run("DisableNoise")[0]
    output = run("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=chosen, sigmas=sigmas, latent_image=start)
    assert torch.equal(output[0]["samples"], latent["samples"])
    guider, *_ = run(
        "DragonGuider", model=flow, positive=scene.positive, negative=scene.negative, branch=branch, cfg=3.0, energy=move(scene), **GUIDED
    )
    edited = run("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=chosen, sigmas=sigmas, latent_image=start)[0]["samples"]
    assert torch.isfinite(edited).all() and not torch.allclose(edited, latent["samples"], atol=0.1)


def test_a_trajectory_of_the_other_kind_is_refused(run: Any, mini: Any, inverted: Any, sample: Any, scene: Any, refused: Any) -> None:
    """The same weights, but x means another thing."""
    with refused("DragonSampler", "another model"):
        sample(scene, model=mini.model, branch=inverted[1][1])
