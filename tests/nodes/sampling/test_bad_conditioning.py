"""Conditionings that a guided edit cannot use: what DragonSampler says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

GUIDED = {"guide_every_until": 1.0}


def test_area(run: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    (area,) = run("ConditioningSetArea", conditioning=scene.positive, width=64, height=64, x=0, y=0, strength=1.0)
    with refused("DragonSampler", "the positive prompt has an area (ConditioningSetArea)", "use a plain prompt"):
        sample(scene, positive=area, energy=move(scene), **GUIDED)


def test_area_of_the_negative_prompt(run: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    """ComfyUI gives the positive one a copy with that area, which is not the positive's fault."""
    (area,) = run("ConditioningSetArea", conditioning=scene.negative, width=64, height=64, x=0, y=0, strength=1.0)
    with refused("DragonSampler", "the negative prompt has an area (ConditioningSetArea)"):
        sample(scene, negative=area, energy=move(scene), cfg=3.0, **GUIDED)


def test_mask_with_bounds(run: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    small = torch.zeros(1, 64, 96)
    small[:, :32, :48] = 1
    (masked,) = run("ConditioningSetMask", conditioning=scene.positive, mask=small, strength=1.0, set_cond_area="mask bounds")
    with refused("DragonSampler", 'the positive prompt has an area (ConditioningSetMask with "mask bounds")'):
        sample(scene, positive=masked, energy=move(scene), **GUIDED)


def test_context_windows(run: Any, scene: Any, sample: Any, move: Any, refused: Any, mini: Any) -> None:
    """The model is asked for parts of the latent, by nobody's prompt."""
    from comfy.patcher_extension import WrappersMP

    model = mini.model.clone()

    def halves(executor: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return torch.cat([executor(half, *args, **kwargs) for half in x.chunk(2, dim=-1)], dim=-1)

    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "windows", halves)
    with refused("DragonSampler", "parts (context windows"):
        sample(scene, model=model, energy=move(scene), **GUIDED)


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


def inverted_with(run: Any, mini: Any, scene: Any, positive: Any) -> Any:
    """The scene with a trajectory that was made with another prompt."""
    trajectory, start, _ = run("DragonInvert", model=mini.model, positive=positive, latent=scene.latent, steps=4, refinement=0)
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory, taps=2)
    return replace(scene, trajectory=trajectory, branch=branch, start=start)


def test_inversion_with_prompts_that_take_turns(run: Any, mini: Any, scene: Any, sample: Any, move: Any) -> None:
    """The source is looked at with the one that was on at each level."""
    (early,) = run("ConditioningSetTimestepRange", conditioning=scene.positive, start=0.0, end=0.5)
    (late,) = run("ConditioningSetTimestepRange", conditioning=scene.negative, start=0.5, end=1.0)
    (both,) = run("ConditioningCombine", conditioning_1=early, conditioning_2=late)
    turns = inverted_with(run, mini, scene, both)
    assert torch.isfinite(sample(turns, energy=move(turns), **GUIDED)).all()


def test_inversion_with_an_area_beside_a_whole_prompt(run: Any, mini: Any, scene: Any, sample: Any, move: Any) -> None:
    (area,) = run("ConditioningSetArea", conditioning=scene.positive, width=48, height=64, x=0, y=0, strength=1.0)
    (both,) = run("ConditioningCombine", conditioning_1=area, conditioning_2=scene.positive)
    part = inverted_with(run, mini, scene, both)
    assert torch.isfinite(sample(part, energy=move(part), **GUIDED)).all()


def test_inversion_with_an_area_alone(run: Any, mini: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    (area,) = run("ConditioningSetArea", conditioning=scene.positive, width=48, height=64, x=0, y=0, strength=1.0)
    part = inverted_with(run, mini, scene, area)
    with refused("DragonSampler", "no prompt for the whole picture", "ConditioningSetArea"):
        sample(part, energy=move(part), **GUIDED)


@pytest.mark.parametrize("muted", ["by its strength", "by its mask"])
def test_prompt_without_a_share_does_not_guide(run: Any, scene: Any, sample: Any, move: Any, muted: str) -> None:
    nowhere = torch.zeros(1, 64, 96) if muted == "by its mask" else torch.ones(1, 64, 96)
    strength = 0.0 if muted == "by its strength" else 1.0
    other = [[-scene.negative[0][0].repeat(1, 2, 1), scene.negative[0][1]]]  # of another length: ComfyUI evaluates it apart
    (silent,) = run("ConditioningSetMask", conditioning=other, mask=nowhere, strength=strength, set_cond_area="default")
    (both,) = run("ConditioningCombine", conditioning_1=scene.positive, conditioning_2=silent)
    gentle = {**GUIDED, "guide_until": 1.0, "hold_object_until": 0.5}  # at noisier levels guidance blows up the last bits, which differ
    wanted, plain = sample(scene, energy=move(scene), **gentle), sample(scene)
    got = sample(scene, positive=both, energy=move(scene), **gentle)
    assert (got - wanted).abs().max() < 1e-2 * (wanted - plain).abs().max()
