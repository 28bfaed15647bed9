"""DragonGuider with DragonEulerSampler in ComfyUI's SamplerCustomAdvanced is DragonSampler in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

STRENGTH = {"energy_scale": 0.5, "guide_every_until": 0.5, "guide_until": 1.0}
STOCHASTIC = {"travel_passes": 2, "sde_strength": 0.4, "sde_start": 0.25, "sde_end": 0.75, "travel_start": 0.5, "travel_end": 1.0}


@pytest.fixture(scope="module")
def custom(run: Any, mini: Any) -> Callable[..., torch.Tensor]:
    """`custom(scene, sampler, energy=…)` through SamplerCustomAdvanced with DisableNoise."""

    def call(scene: Any, sampler: Any, sigmas: Any = None, latent: Any = None, **inputs: Any) -> torch.Tensor:
        given = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "branch": scene.branch, "cfg": 3.0}
        guider, *_ = run("DragonGuider", **{**given, **inputs})
        parts = {"noise": run("DisableNoise")[0], "guider": guider, "sampler": sampler}
        start = scene.start if latent is None else latent
        output = run("SamplerCustomAdvanced", **parts, sigmas=scene.sigmas if sigmas is None else sigmas, latent_image=start)
        assert guider.run is None
        return output[0]["samples"]

    return call


def test_same_as_the_node(scene: Any, run: Any, sample: Any, move: Any, custom: Any) -> None:
    """With every option on, and with none, bit for bit."""
    energy = move(scene)
    for strength, stochastic in (({}, {}), (STRENGTH, STOCHASTIC)):
        (sampler,) = run("DragonEulerSampler", **stochastic)
        expected = sample(scene, energy=energy, **strength, **stochastic)
        assert torch.equal(custom(scene, sampler, energy=energy, **strength), expected)


def test_same_as_the_node_with_shared_attention(scene: Any, run: Any, sample: Any, move: Any, custom: Any, mini: Any) -> None:
    energy = move(scene)
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=scene.branch)
    expected = sample(scene, energy=energy, model=model, **STRENGTH)
    assert torch.equal(custom(scene, run("DragonEulerSampler")[0], energy=energy, model=model, **STRENGTH), expected)


@pytest.mark.parametrize("name", ["euler", "ddim", "dpmpp_2m", "lcm"])
def test_stock_samplers(scene: Any, run: Any, move: Any, custom: Any, name: str) -> None:
    """Samplers that evaluate at the schedule's levels can be steered too; the edit differs from the unguided run."""
    (sampler,) = run("KSamplerSelect", sampler_name=name)
    guided = custom(scene, sampler, energy=move(scene), **STRENGTH)
    assert torch.isfinite(guided).all()
    assert not torch.equal(guided, custom(scene, sampler, energy=move(scene), energy_scale=0.0))


def test_schedule_in_two_parts(scene: Any, run: Any, move: Any, custom: Any) -> None:
    """SplitSigmas: the second sampler goes on where the first ended, guided by the same steps of the trajectory."""
    given = {"energy": move(scene), **STRENGTH, "scale_unit": "paper", "energy_scale": 0.1}
    (sampler,) = run("KSamplerSelect", sampler_name="euler")
    high, low = run("SplitSigmas", sigmas=scene.sigmas, step=2)
    middle = custom(scene, sampler, sigmas=high, **given)
    parts = custom(scene, sampler, sigmas=low, latent={"samples": middle}, **given)
    whole = custom(scene, sampler, **given)
    assert float((parts - whole).abs().max()) < 1e-3 * float(whole.abs().max())


@pytest.mark.parametrize(("unit", "injected", "same"), [("relative", 0.0, False), ("relative", 0.5, True), ("paper", 0.0, True)])
def test_relative_strength_is_each_parts_own(scene: Any, run: Any, move: Any, custom: Any, unit: str, injected: float, same: bool) -> None:
    """As the help says: two parts of which both guide are not the whole in `relative` units; in `paper`, or after injection, they are."""
    given = {"energy": move(scene), "scale_unit": unit, "energy_scale": 0.2, "guide_every_until": 1.0, "guide_until": 1.0}
    (sampler,) = run("DragonEulerSampler", hold_background=1.0, hold_object_until=injected)
    high, low = run("SplitSigmas", sigmas=scene.sigmas, step=2)
    middle = custom(scene, sampler, sigmas=high, **given)
    parts = custom(scene, sampler, sigmas=low, latent={"samples": middle}, **given)
    whole = custom(scene, sampler, **given)
    apart = float((parts - whole).norm() / whole.norm())
    assert apart < 1e-4 if same else apart > 1e-2


def test_readings_tell_what_the_guidance_did(scene: Any, run: Any, mini: Any, move: Any) -> None:
    """One reading per guided step: energies are positive, and the guidance's size is that of energy_scale at the start."""
    given = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "branch": scene.branch}
    guider, *_ = run("DragonGuider", **given, energy=move(scene), cfg=3.0, **STRENGTH)
    parts = {"noise": run("DisableNoise")[0], "guider": guider, "sampler": run("DragonEulerSampler")[0]}
    run("SamplerCustomAdvanced", **parts, sigmas=scene.sigmas, latent_image=scene.start)
    assert [reading.step for reading in guider.readings] == [0, 1, 2]
    assert [reading.sigma for reading in guider.readings] == pytest.approx(scene.sigmas[:3].tolist())
    for reading in guider.readings:
        assert reading.edit.shape == reading.content.shape == reading.relative_size.shape == (1,)
        assert float(reading.edit) > 0 and float(reading.content) > 0 and float(reading.relative_size) > 0
