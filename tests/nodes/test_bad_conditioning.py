"""Conditionings that a guided edit cannot use: what DragonSampler says."""

from __future__ import annotations

from typing import Any

import torch

GUIDED = {"guide_every_until": 1.0}


def test_area(run: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    (area,) = run("ConditioningSetArea", conditioning=scene.positive, width=64, height=64, x=0, y=0, strength=1.0)
    with refused("DragonSampler", "area (ConditioningSetArea)", "use a plain positive prompt"):
        sample(scene, positive=area, energy=move(scene), **GUIDED)


def test_area_without_guidance(run: Any, scene: Any, sample: Any) -> None:
    """Where no gradient is wanted, areas are ComfyUI's own affair."""
    (area,) = run("ConditioningSetArea", conditioning=scene.positive, width=64, height=64, x=0, y=0, strength=1.0)
    assert torch.isfinite(sample(scene, positive=area)).all()


def test_timestep_range(run: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    (late,) = run("ConditioningSetTimestepRange", conditioning=scene.positive, start=0.5, end=1.0)
    with refused("DragonSampler", "positive conditioning is switched off at this step", "timestep range", "every step"):
        sample(scene, positive=late, energy=move(scene), **GUIDED)


def test_timestep_range_that_covers_the_guided_steps(run: Any, scene: Any, sample: Any, move: Any) -> None:
    (early,) = run("ConditioningSetTimestepRange", conditioning=scene.positive, start=0.0, end=0.9)
    (late,) = run("ConditioningSetTimestepRange", conditioning=scene.negative, start=0.9, end=1.0)
    (both,) = run("ConditioningCombine", conditioning_1=early, conditioning_2=late)
    assert torch.isfinite(sample(scene, positive=both, energy=move(scene), guide_every_until=0.25, guide_until=0.25)).all()


def test_empty_negative(scene: Any, sample: Any, move: Any) -> None:
    """No negative conditioning at all, at cfg 1: nothing to evaluate, nothing to complain about."""
    assert torch.isfinite(sample(scene, negative=[], energy=move(scene), cfg=1.0, **GUIDED)).all()


def test_conditioning_mask(run: Any, scene: Any, sample: Any, move: Any) -> None:
    """A mask (not an area) keeps the picture's size, and works."""
    (masked,) = run("ConditioningSetMask", conditioning=scene.positive, mask=scene.mask, strength=1.0, set_cond_area="default")
    (both,) = run("ConditioningCombine", conditioning_1=scene.positive, conditioning_2=masked)
    assert torch.isfinite(sample(scene, positive=both, energy=move(scene), **GUIDED)).all()
