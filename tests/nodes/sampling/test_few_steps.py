"""Distilled models and short schedules: LCM, Turbo, Lightning and DMD weights are sampled like this, in 4 or 8 steps at cfg 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch


@dataclass(frozen=True)
class Few:
    """A model sampled in its few-step way, and its schedule."""

    model: Any
    sigmas: torch.Tensor


@pytest.fixture(scope="module", params=["lcm", "turbo", "lightning"])
def few(request: pytest.FixtureRequest, run: Any, mini: Any) -> Callable[[int], Few]:
    """`few(steps)`: as the models' own workflows have it, with the bundled weights."""

    def make(steps: int) -> Few:
        if request.param == "turbo":
            return Few(mini.model, run("SDTurboScheduler", model=mini.model, steps=steps, denoise=1.0)[0])
        model = run("ModelSamplingDiscrete", model=mini.model, sampling="lcm", zsnr=False)[0] if request.param == "lcm" else mini.model
        return Few(model, run("BasicScheduler", model=model, scheduler="sgm_uniform", steps=steps, denoise=1.0)[0])

    return make


@pytest.fixture(scope="module")
def invert(run: Any) -> Callable[..., Any]:
    """`invert(few, scene)` → the branch of the scene's picture under noise."""

    def call(made: Few, scene: Any) -> Any:
        given = {"positive": scene.positive, "latent": scene.latent, "sigmas": made.sigmas, "method": "renoise"}
        (branch,) = run("DragonGuidanceBranch", trajectory=run("DragonInvert", model=made.model, **given)[0])
        return branch

    return call


@pytest.mark.parametrize("steps", [4, 8])
def test_no_edit_is_the_source(few: Any, steps: int, invert: Any, scene: Any, sample: Any) -> None:
    made = few(steps)
    branch = invert(made, scene)
    assert branch.trajectory.steps == steps
    result = sample(scene, model=made.model, branch=branch, cfg=1.0)
    assert float((result - scene.latent["samples"]).abs().max()) < 1e-5


@pytest.mark.parametrize("steps", [4, 8])
def test_a_move(few: Any, steps: int, run: Any, invert: Any, scene: Any, move: Any, watched: Any) -> None:
    """With the shipped schedule: two steps are free at least, energies pull there, the object comes and the rest stays."""
    made = few(steps)
    branch = invert(made, scene)
    model, seen = watched(made.model)
    energy = move(scene, dx=24, dy=0, start_latent="swap")
    given = {"positive": scene.positive, "negative": scene.negative, "branch": branch, "cfg": 1.0, "energy": energy}
    shipped = {"hold_background": 1.0, "hold_object_until": 0.7, "guide_every_until": 1.0, "guide_until": 1.0, "energy_scale": 0.1}
    shipped["fresh_noise"] = False  # a network of random weights has another answer to every noise, and two steps average nothing
    latent, changed, readings = run("DragonSampler", model=model, **given, **shipped)
    free = {each.sigma for each in seen}
    assert 2 <= len(free) < steps
    assert len({reading.step for reading in readings}) == len(free)
    result, source = latent["samples"], scene.latent["samples"]
    rest = torch.nn.functional.interpolate(changed.unsqueeze(1), source.shape[-2:], mode="area") == 0
    assert bool(rest.any())
    assert float(((result - source) * rest).abs().max()) < 1e-4
    top, bottom, left, right = 2, 4, 2, 4  # cells of the object
    arrived, expected = result[..., top:bottom, left + 3 : right + 3], source[..., top:bottom, left:right]
    before = source[..., top:bottom, left + 3 : right + 3]
    assert float((arrived - expected).square().mean()) < 0.8 * float((before - expected).square().mean())


@pytest.mark.parametrize("steps", [4, 8])
def test_rows_without_energies(few: Any, steps: int, run: Any, invert: Any, scene: Any, move: Any, watched: Any) -> None:
    """At cfg 1 a free step asks for the known picture's row and the edit's, once each."""
    made = few(steps)
    branch = invert(made, scene)
    model, seen = watched(made.model)
    given = {"positive": scene.positive, "negative": scene.negative, "branch": branch, "cfg": 1.0, "energy": move(scene)}
    run("DragonSampler", model=model, **given, energy_scale=0.0, hold_object_until=0.9)
    assert [each.rows for each in seen] == [1] * len(seen)
    assert len(seen) == 2 * len({each.sigma for each in seen})
