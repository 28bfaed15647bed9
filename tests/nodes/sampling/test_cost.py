"""No step evaluates more rows of the UNet than it needs (docs/method.md, section 13), counted through ComfyUI's wrapper API."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch

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


@pytest.fixture(scope="module")
def long_walk(make_scene: Any) -> Any:
    """So many steps that every window of the presets has some."""
    return make_scene(steps=12, refinement=0)


def expected_of(pack: Any, scene: Any, preset: str, besides: int) -> tuple[list[int], int]:
    """UNet rows of each step, and backward passes: one of the source, two of the edit, the edit's two again in each further pass of time
    travel, and one for each way back; ``besides`` where a step guides and shares. Guidance goes back twice through one row.
    """
    settings = pack.submodule("nodes.schema.presets").PRESETS[preset]
    schedule = replace(settings.schedule, dense=settings.windows.dense, sparse=settings.windows.sparse)
    sharing = pack.submodule("dragon_core.diffusion.convention").SOURCE_SHARING
    rows, backwards = [], 0
    for step, share in enumerate(scene.trajectory.noise_model.progress(scene.trajectory.sigmas[:-1]).tolist()):
        guided, shared, passes = schedule.guided(step, share), sharing.contains(share), schedule.passes(step, share)
        rows.append((guided or shared) + 2 * passes + (passes - 1) + (besides if guided and shared else 0))
        backwards += 2 * passes * guided
    return rows, backwards


@pytest.mark.parametrize(
    ("preset", "given", "besides"),
    [
        ("DragonDiffusion", {}, 0),
        ("DiffEditor", {}, 0),
        ("DragonDiffusion", {"text": "bowl"}, 1),
        ("DragonDiffusion", {"plain": True}, 1),
    ],
)
def test_presets(
    long_walk: Any, sample: Any, move: Any, watched: Any, mini: Any, run: Any, pack: Any, preset: str, given: dict[str, Any], besides: int
) -> None:
    """With shared attention, as the authors have it. Another prompt than the inversion's, or features without shared attention, is a row
    more where a step guides and shares.
    """
    (patched,) = run("DragonCrossAttnPatch", model=mini.model, branch=long_walk.branch)
    model, seen = watched(patched)
    backwards: list[int] = []

    def count(h: torch.Tensor, options: Any) -> torch.Tensor:
        if h.requires_grad and options["block"] == ("input", 0):
            h.register_hook(lambda gradient: backwards.append(gradient.shape[0]))
        return h

    model.set_model_input_block_patch(count)
    inputs: dict[str, Any] = {"plain_features": given.get("plain", False)}
    if "text" in given:
        (inputs["positive"],) = run("CLIPTextEncode", clip=mini.clip, text=given["text"])
    sample(long_walk, model=model, energy=move(long_walk), preset=preset, cfg=4.0, **inputs)
    expected, passes = expected_of(pack, long_walk, preset, besides)
    assert sum(each.rows for each in seen) == sum(expected), "ways back ask at the next step's level"
    if preset == "DragonDiffusion":
        levels = Counter(dict.fromkeys(range(12), 0))
        for each in seen:
            levels[long_walk.trajectory.index(each.sigma)] += each.rows
        assert [levels[step] for step in range(12)] == expected
    else:
        assert max(expected) == 1 + 3 * 2 + 2, "there is time travel"
    assert sum(backwards) == passes


def test_a_known_picture_is_evaluated_as_far_as_it_is_wanted(walk: Any, sample: Any, move: Any, mini: Any, run: Any) -> None:
    """Up to the last tap where features are wanted, and to the last tokens of the decoder where it shares as well; block by block."""
    unet = mini.model.model.diffusion_model
    blocks = len(unet.output_blocks)
    last_tap = max(i + 1 for i, block in enumerate(unet.output_blocks) if any(type(m).__name__ == "Upsample" for m in block))
    last_shared = max(i for i, block in enumerate(unet.output_blocks) if any(type(m).__name__ == "SpatialTransformer" for m in block))

    def evaluated(model: Any, **given: Any) -> list[int]:
        """How many output blocks each evaluation has come to."""
        clone, seen = model.clone(), []

        def see(h: torch.Tensor, skip: torch.Tensor, options: Any) -> tuple[torch.Tensor, torch.Tensor]:
            if options["block"][1] == 0:
                seen.append(0)
            seen[-1] += 1
            return h, skip

        clone.set_model_output_block_patch(see)
        sample(walk, model=clone, energy=move(walk), cfg=1.0, **given)
        return seen

    once = {"guide_every_until": 0.17, "guide_until": 0.17}
    assert evaluated(mini.model, **once) == [last_tap + 1, blocks, *[blocks] * (STEPS - 1)]
    (patched,) = run("DragonCrossAttnPatch", model=mini.model, branch=walk.branch, start=0.0, end=0.34)
    assert evaluated(patched, **once) == [max(last_tap, last_shared) + 1, blocks, last_shared + 1, blocks, *[blocks] * (STEPS - 2)]
