"""No step evaluates more rows of the UNet than it needs (docs/method.md, section 13), counted through ComfyUI's wrapper API."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

STEPS = 6
#: Guidance on steps 0 and 1 only.
GUIDED = {"guide_every_until": 0.34, "guide_until": 0.34}


def rows_by_step(seen: list[Any], scene: Any) -> list[int]:
    """UNet rows of each step, in the order of the schedule."""
    rows: Counter[int] = Counter()
    for each in seen:
        rows[scene.trajectory.index(each.sigma)] += each.rows
    return [rows[step] for step in range(STEPS)]


@pytest.fixture(scope="module")
def walk(make_scene: Any) -> Any:
    return make_scene(steps=STEPS)


def test_plain_steps(walk: Any, sample: Any, watched: Any, mini: Any) -> None:
    """Without an energy: what stock sampling costs, with cfg and, the negative being unused, at cfg 1."""
    for cfg, rows in ((3.0, 2), (1.0, 1)):
        model, seen = watched(mini.model)
        sample(walk, model=model, cfg=cfg)
        assert rows_by_step(seen, walk) == [rows] * STEPS


@pytest.mark.parametrize(("cfg", "expected"), [(3.0, [3, 3, 2, 2, 2, 2]), (1.0, [2, 2, 1, 1, 1, 1])])
def test_guided_steps(walk: Any, sample: Any, move: Any, watched: Any, mini: Any, cfg: float, expected: list[int]) -> None:
    """A guided step: one row of the reference beside those of the prediction."""
    model, seen = watched(mini.model)
    sample(walk, model=model, energy=move(walk), cfg=cfg, **GUIDED)
    assert rows_by_step(seen, walk) == expected
    assert any(1 in each.conditionings for each in seen) == (cfg != 1.0), "the negative is evaluated only when it counts"


@pytest.mark.parametrize(("cfg", "expected"), [(3.0, [3, 3, 2, 3, 3, 2]), (1.0, [2, 2, 1, 2, 2, 1])])
def test_sharing_steps(walk: Any, sample: Any, move: Any, watched: Any, mini: Any, run: Any, cfg: float, expected: list[int]) -> None:
    """Steps that share attention (here 3 and 4) need the reference too; steps that do neither do not."""
    (patched,) = run("DragonCrossAttnPatch", model=mini.model, branch=walk.branch, start=0.5, end=0.83)
    model, seen = watched(patched)
    sample(walk, model=model, energy=move(walk), cfg=cfg, **GUIDED)
    assert rows_by_step(seen, walk) == expected


def test_one_reference_for_features_and_tokens(walk: Any, sample: Any, move: Any, watched: Any, mini: Any, run: Any) -> None:
    """Steps that are guided and share evaluate the reference once for both."""
    (patched,) = run("DragonCrossAttnPatch", model=mini.model, branch=walk.branch, start=0.0, end=1.0)
    model, seen = watched(patched)
    sample(walk, model=model, energy=move(walk), **GUIDED)
    assert rows_by_step(seen, walk) == [3] * STEPS


def test_time_travel_keeps_the_reference(walk: Any, sample: Any, move: Any, watched: Any, mini: Any) -> None:
    """Three passes over step 1: the reference is at the same noise level each time."""
    model, seen = watched(mini.model)
    sample(walk, model=model, energy=move(walk), travel_passes=3, travel_start=0.17, travel_end=0.34, **GUIDED)
    assert rows_by_step(seen, walk) == [3, 1 + 3 * 2, 2, 2, 2, 2]


def test_inversion(walk: Any, run: Any, watched: Any, mini: Any) -> None:
    """One conditional row per step and refinement, never a negative."""
    for refinement in (0, 1, 3):
        model, seen = watched(mini.model)
        run("DragonInvert", model=model, positive=walk.positive, latent=walk.latent, steps=STEPS, refinement=refinement)
        assert rows_by_step(seen, walk) == [1 + refinement] * STEPS
        assert {each.conditionings for each in seen} == {(0,)}


def test_held_steps_are_free(walk: Any, sample: Any, move: Any, watched: Any, mini: Any) -> None:
    """Steps on which background and object both follow the known trajectory ask nothing of the UNet, yet show progress."""
    model, seen = watched(mini.model)
    sample(walk, model=model, energy=move(walk), hold_background=1.0, hold_object_until=0.5, guide_every_until=0.84, guide_until=0.84)
    assert rows_by_step(seen, walk) == [0, 0, 0, 3, 3, 2]
