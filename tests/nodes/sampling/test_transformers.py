"""Every family of transformers, small and with random weights, through the pack's nodes: pictures and videos."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import pytest
import random_transformers
import torch
from random_transformers import (
    FLUX_DEV,
    FLUX_SCHNELL,
    NEWER_UNSHARED,
    PICTURES,
    QWEN_IMAGE,
    SD3_LIKE,
    VIDEOS,
    WAN_VIDEO,
    Z_IMAGE_LIKE,
    Transformer,
)

#: One of each kind: no rotary embedding, prompt first, one attention for all, latents with a dimension for frames.
KINDS = (SD3_LIKE, FLUX_DEV, Z_IMAGE_LIKE, QWEN_IMAGE)
STEPS = 4
OVERRIDE = "optimized_attention_override"


@dataclass(frozen=True)
class Shot:
    """A latent, its trajectory, and an object in its left half."""

    family: Transformer
    model: Any
    positive: Any
    negative: Any
    latent: torch.Tensor
    trajectory: Any
    branch: Any
    sigmas: torch.Tensor
    mask: torch.Tensor

    @property
    def cell(self) -> int:
        return self.family.cell


@pytest.fixture(scope="module")
def shot(run: Any) -> Callable[..., Shot]:
    """`shot(family, batch)`, not square; the same arguments give the same one."""

    @lru_cache
    def make(family: Transformer, batch: int = 1) -> Shot:
        model = random_transformers.make(family)
        positive, negative = (random_transformers.conditioning(family, seed, words=7 + seed) for seed in (0, 1))
        latent = random_transformers.latent(family, 2, batch=batch)
        trajectory, _, sigmas = run(
            "DragonInvert", model=model, positive=positive, latent=latent, steps=STEPS, scheduler="simple", method="renoise", seed=5
        )
        (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
        height, width = trajectory.image_size
        mask = torch.zeros(1, height, width)
        mask[:, height // 4 : height // 2, width // 6 : width // 3] = 1
        return Shot(family, model, positive, negative, latent["samples"], trajectory, branch, sigmas, mask)

    return make


@pytest.fixture(scope="module")
def edit(run: Any) -> Callable[..., torch.Tensor]:
    """`edit(shot, energy=…, …)` → the edited latent."""

    def call(shot: Shot, **inputs: Any) -> torch.Tensor:
        given = {"model": shot.model, "positive": shot.positive, "negative": shot.negative, "branch": shot.branch, "cfg": 2.0}
        return run("DragonSampler", **{**given, **inputs})[0]["samples"]

    return call


@pytest.fixture(scope="module")
def moved(run: Any) -> Callable[..., Any]:
    """`moved(shot)` → the energy of moving the object by a third of the width, whole tokens."""

    def call(shot: Shot, mask: torch.Tensor | None = None, **inputs: Any) -> Any:
        given = {"mask": shot.mask if mask is None else mask, "dx": shot.mask.shape[-1] // 3, "dy": 0, "start_latent": "swap"}
        return run("DragonMoveLoss", **{**given, **inputs})[0]

    return call


@pytest.fixture(scope="module")
def shared(run: Any) -> Callable[..., Any]:
    """`shared(shot)` → the shot's model with keys and values shared in all layers at all steps."""

    def call(shot: Shot, model: Any = None, **inputs: Any) -> Any:
        every = {"start": 0.0, "end": 1.0, "block_start": 0.0, "block_end": 1.0}
        return run("DragonCrossAttnPatch", model=model or shot.model, branch=shot.branch, **{**every, **inputs})[0]

    return call


@pytest.mark.parametrize("family", [*PICTURES, *NEWER_UNSHARED, *VIDEOS], ids=str)
def test_nothing_on_is_stock_euler(family: Transformer, shot: Any, edit: Any) -> None:
    """From the same noise, bit for bit."""
    made = shot(family)
    start = made.trajectory.latents[0]
    noise = start.unflatten(0, (1, family.frames)).movedim(1, 2) if family.frames else start
    with torch.inference_mode():
        stock = comfy.sample.sample_custom(
            made.model,
            noise,
            2.0,
            comfy.samplers.ksampler("euler"),
            made.sigmas,
            made.positive,
            made.negative,
            torch.zeros_like(noise),
            seed=0,
            disable_pbar=True,
        )
    assert torch.isfinite(stock).all() and float((stock - made.latent).std()) > 0.1
    assert torch.equal(edit(made, residual=0.0), stock)


@pytest.mark.parametrize("family", [*PICTURES, *VIDEOS], ids=str)
def test_no_edit_is_the_source(family: Transformer, shot: Any, edit: Any, shared: Any) -> None:
    """At any cfg, with shared attention or without."""
    made = shot(family)
    for model, cfg in ((made.model, 1.0), (shared(made), 3.0)):
        result = edit(made, model=model, cfg=cfg)
        assert result.shape == made.latent.shape
        assert float((result - made.latent).abs().max()) < 1e-4


@pytest.mark.parametrize("family", [*PICTURES, *VIDEOS], ids=str)
def test_an_edit(family: Transformer, shot: Any, edit: Any, moved: Any, shared: Any) -> None:
    """Away from the edit the source is held; inside, sharing makes a difference, and the same one each time."""
    made = shot(family)
    energy = moved(made)
    models = (made.model, shared(made), shared(made))
    plain, patched, again = (edit(made, model=model, energy=energy, hold_background=1.0) for model in models)
    assert torch.equal(patched, again)
    assert torch.isfinite(patched).all() and not torch.equal(plain, patched)
    untouched = slice(-made.latent.shape[-2] // 4, None)  # the lowest quarter of the rows
    for result in (plain, patched):
        assert float((result - made.latent)[..., untouched, :].abs().max()) < 1e-4
        assert float((result - made.latent).abs().max()) > 0.1


@pytest.mark.parametrize("family", NEWER_UNSHARED, ids=str)
def test_an_edit_where_nothing_can_be_shared(family: Transformer, shot: Any, edit: Any, moved: Any, shared: Any, refused: Any) -> None:
    """The patch says so, and the edit is made without it."""
    made = shot(family)
    with refused("DragonCrossAttnPatch", "cannot be shared", "sample with the model itself"):
        shared(made)
    assert float((edit(made) - made.latent).abs().max()) < 1e-4
    result = edit(made, energy=moved(made))
    assert torch.isfinite(result).all() and float((result - made.latent).abs().max()) > 0.1


@pytest.mark.parametrize("family", KINDS, ids=str)
def test_two_pictures(family: Transformer, shot: Any, edit: Any, moved: Any, shared: Any) -> None:
    """A batch of two with one mask, or one each: the first picture's edit is not the second's affair."""
    made = shot(family, batch=2)
    model = shared(made)
    both = edit(made, model=model, energy=moved(made))
    lower = torch.cat([made.mask, made.mask.roll(made.mask.shape[1] // 4, 1)])
    each = edit(made, model=model, energy=moved(made, lower))
    assert both.shape == each.shape == made.latent.shape
    assert torch.allclose(both[0], each[0], atol=1e-4)
    assert not torch.allclose(both[1], each[1], atol=1e-2)


@pytest.mark.parametrize("kind", ["Paste", "Appearance"])
@pytest.mark.parametrize("family", [*PICTURES, *VIDEOS], ids=str)
def test_an_object_of_a_second_picture(family: Transformer, kind: str, run: Any, shot: Any, edit: Any, shared: Any) -> None:
    """Of another size, inverted under a prompt of another length. Shared, it makes a difference inside; away from it the source is held."""
    made = shot(family)
    second = random_transformers.latent(family, 7, 6, 10)
    given = {"positive": made.negative, "latent": second, "steps": STEPS, "scheduler": "simple", "method": "renoise", "seed": 6}
    reference, *_ = run("DragonInvert", model=made.model, **given)
    (branch,) = run("DragonGuidanceBranch", trajectory=made.trajectory, reference=reference)
    height, width = reference.image_size
    theirs = torch.zeros(1, height, width)
    theirs[:, : height // 2, : width // 2] = 1
    place = {"x": made.mask.shape[-1] // 4, "y": made.mask.shape[-2] // 3} if kind == "Paste" else {"mask": made.mask}
    (energy,) = run(f"Dragon{kind}Loss", reference_mask=theirs, **place)
    models = (made.model, shared(made), shared(made), shared(made, mode="concat"))
    plain, patched, again, beside = (edit(made, model=each, branch=branch, energy=energy, hold_background=1.0) for each in models)
    assert torch.equal(patched, again)
    untouched = slice(-made.latent.shape[-2] // 4, None)  # the lowest quarter of the rows
    for result in (plain, patched, beside):
        assert torch.isfinite(result).all()
        assert float((result - made.latent)[..., untouched, :].abs().max()) < 1e-4
    assert all(float((a - b).abs().max()) > 1e-3 for a, b in ((plain, patched), (plain, beside), (patched, beside)))


@pytest.mark.parametrize("kind", ["paste", "appearance"])
@pytest.mark.parametrize("family", KINDS, ids=str)
def test_two_pictures_and_a_second_one_for_each(family: Transformer, kind: str, run: Any, shot: Any, edit: Any, shared: Any) -> None:
    """One for both is each picture's own; what the second picture brings to one is not the other's affair."""
    made = shot(family, batch=2)
    given = {"positive": made.negative, "steps": STEPS, "scheduler": "simple", "method": "renoise"}
    results = []
    for samples in (made.latent[1:], made.latent.flip(0)[[1, 1]], made.latent.flip(0)):
        reference, *_ = run("DragonInvert", model=made.model, latent={"samples": samples}, seed=5, **given)
        (branch,) = run("DragonGuidanceBranch", trajectory=made.trajectory, reference=reference)
        height, width = made.trajectory.image_size
        place = {"x": width // 2, "y": height // 2} if kind == "paste" else {"mask": made.mask.roll(width // 3, 2)}
        (energy,) = run(f"Dragon{kind.title()}Loss", reference_mask=made.mask, **place)
        results.append(edit(made, model=shared(made), branch=branch, energy=energy))
    one, own, each = results
    assert torch.allclose(each[0], one[0], atol=1e-4)
    assert torch.allclose(each[1], own[1], atol=1e-4)
    assert not torch.allclose(each[1], one[1], atol=1e-2)


@pytest.mark.parametrize("family", KINDS, ids=str)
def test_sharing_off_leaves_no_difference(family: Transformer, shot: Any, edit: Any, moved: Any, shared: Any) -> None:
    """Outside its windows, of the schedule or of the layers, a patched model is the model."""
    made = shot(family)
    energy = moved(made)
    plain = edit(made, energy=energy)
    for off in ({"end": 0.0}, {"block_end": 0.0}):
        assert torch.equal(edit(made, model=shared(made, **off), energy=energy), plain)


@pytest.mark.parametrize("family", KINDS, ids=str)
def test_another_packs_attention_is_asked(family: Transformer, shot: Any, edit: Any, moved: Any, shared: Any) -> None:
    made, asked = shot(family), []

    def theirs(function: Any, *args: Any, **named: Any) -> Any:
        asked.append(1)
        return function(*args, **named)

    model = made.model.clone()
    model.model_options["transformer_options"] = {OVERRIDE: theirs}
    energy = moved(made)
    result = edit(made, model=shared(made, model), energy=energy)
    assert asked
    assert torch.equal(result, edit(made, model=shared(made), energy=energy))
    assert model.model_options["transformer_options"] == {OVERRIDE: theirs}


def test_the_pull_of_energies_is_said_not_to_be_used(shot: Any, edit: Any, moved: Any, caplog: pytest.LogCaptureFixture) -> None:
    made = shot(FLUX_DEV)
    with caplog.at_level("INFO"):
        strong = edit(made, energy=moved(made), energy_scale=3.0)
    assert sum("pull is not used" in record.message for record in caplog.records) == 1
    assert torch.equal(strong, edit(made, energy=moved(made), energy_scale=0.0))


@pytest.mark.parametrize("second", [False, True], ids=["one", "two"])
@pytest.mark.parametrize("how", ["interrupt", "error"])
@pytest.mark.parametrize("family", KINDS, ids=str)
def test_nothing_is_left(family: Transformer, how: str, second: bool, run: Any, shot: Any, edit: Any, moved: Any, shared: Any) -> None:
    """After an interrupt or an error the model has no hooks, no options and other values than before, and samples as before."""
    made = shot(family)
    network, energy, branch = made.model.model.diffusion_model, moved(made), made.branch
    if second:
        (branch,) = run("DragonGuidanceBranch", trajectory=made.trajectory, reference=made.trajectory)
        (energy,) = run("DragonAppearanceLoss", mask=made.mask, reference_mask=made.mask.roll(made.cell * 4, 2), energy=energy)
    before = edit(made, energy=energy, branch=branch)
    options = dict(made.model.model_options["transformer_options"])

    def stop(*_: Any, **__: Any) -> None:  # newer releases report the first step and the last, and between them what takes long
        if how == "error":
            raise RuntimeError("sabotage")
        comfy.model_management.interrupt_current_processing()

    comfy.utils.set_progress_bar_global_hook(stop)
    try:
        with pytest.raises((comfy.model_management.InterruptProcessingException, RuntimeError)):
            edit(made, model=shared(made), energy=energy, branch=branch)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
        comfy.model_management.interrupt_current_processing(False)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())
    assert made.model.model_options["transformer_options"] == options
    assert torch.equal(edit(made, energy=energy, branch=branch), before)


@pytest.mark.parametrize("family", [FLUX_DEV, FLUX_SCHNELL], ids=str)
def test_rows(family: Transformer, run: Any, shot: Any, edit: Any, moved: Any, watched: Any) -> None:
    """At cfg 1 a free step asks for two rows: the known picture's and the edit's; where the path is followed for none."""
    made = shot(family)
    model, seen = watched(made.model)
    edit(made, model=model, energy=moved(made), cfg=1.0, hold_object_until=0.5)
    assert sum(each.rows for each in seen) == 2 * len({each.sigma for each in seen})
    assert 2 <= len({each.sigma for each in seen}) < STEPS


@pytest.mark.parametrize("family", [*VIDEOS, QWEN_IMAGE], ids=str)
def test_a_moving_square_stays_moved_in_all_frames(family: Transformer, run: Any, shot: Any, edit: Any, shared: Any) -> None:
    """A square that goes to the right, a token a frame, on even ground, with a mask for each frame: it is moved down by two in each."""
    made = shot(family)
    token = family.tokens
    frames = max(1, family.frames)
    latent = torch.zeros_like(made.latent)
    masks = torch.zeros(frames, *made.mask.shape[1:])
    for frame in range(frames):
        left = (2 + frame) * token
        latent[:, :, frame, 2 * token : 4 * token, left : left + 2 * token] = 3.0
        masks[frame, 2 * token * 8 : 4 * token * 8, left * 8 : (left + 2 * token) * 8] = 1
    given = {"positive": made.positive, "latent": {"samples": latent}, "steps": STEPS, "scheduler": "simple", "method": "renoise"}
    trajectory, *_ = run("DragonInvert", model=made.model, **given)
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    (energy,) = run("DragonMoveLoss", mask=masks, dx=0, dy=2 * token * 8, start_latent="swap")
    expected = latent.roll(2 * token, -2)
    whole = edit(made, branch=branch, energy=energy, hold_object_until=1.0)
    assert float((whole - expected).abs().max()) < 1e-4, "followed to the end, the path is the edit itself"
    for model in (made.model, shared(made)):
        result = edit(made, model=model, branch=branch, energy=energy, cfg=1.0, hold_object_until=0.5, hold_background=1.0)
        assert result.shape == latent.shape
        for frame in range(frames):
            arrived, source = expected[:, :, frame] > 1, latent[:, :, frame] > 1
            assert float(result[:, :, frame][arrived].mean()) > 2.5
            assert float(result[:, :, frame][source & ~arrived].mean()) < 1.5
    assert float((edit(made, branch=branch) - latent).abs().max()) < 1e-4, "no edit is the source"


@pytest.mark.parametrize("by", ["move", "drag"])
@pytest.mark.parametrize("written", ["splines", "TRACKS"])
@pytest.mark.parametrize("family", [*VIDEOS, QWEN_IMAGE], ids=str)
def test_a_square_that_stood_still_goes_along_a_track(family: Transformer, written: str, by: str, run: Any, shot: Any, edit: Any) -> None:
    """A token a frame to the right, from where it stands; its old place is empty in every frame but the first."""
    made = shot(family)
    token, frames = family.tokens, max(1, family.frames)
    latent = torch.zeros_like(made.latent)
    latent[..., 2 * token : 4 * token, 2 * token : 4 * token] = 3.0
    mask = torch.zeros_like(made.mask)
    mask[:, 2 * token * 8 : 4 * token * 8, 2 * token * 8 : 4 * token * 8] = 1
    places = [(24 * token + 8 * token * frame, 24 * token) for frame in range(frames)]
    forms = {
        "splines": json.dumps([{"x": x, "y": y} for x, y in places]),
        "TRACKS": {"track_path": torch.tensor(places).float().unsqueeze(1), "track_visibility": torch.ones(frames, 1)},
    }
    given = {"positive": made.positive, "latent": {"samples": latent}, "steps": STEPS, "scheduler": "simple", "method": "renoise"}
    trajectory, *_ = run("DragonInvert", model=made.model, **given)
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    if by == "move":
        (energy,) = run("DragonMoveLoss", mask=mask, dx=0, dy=0, start_latent="swap", tracks=forms[written])
    elif frames > 1:
        (energy,) = run("DragonDragLoss", mask=mask, mask_means="object", start_latent="swap", tracks=forms[written])
    else:
        with pytest.raises(ValueError, match="nothing would move"):
            run("DragonDragLoss", mask=mask, mask_means="object", tracks=forms[written])
        return
    result = edit(made, branch=branch, energy=energy, hold_object_until=1.0)
    for frame in range(frames):
        assert float((result[:, :, frame] - latent[:, :, frame].roll(frame * token, -1)).abs().max()) < 1e-4, frame


def test_masks_of_every_frame_of_a_packed_video(run: Any, shot: Any, edit: Any, moved: Any) -> None:
    """Nine frames that a latent of three holds: the same masks serve the sampler and, as nine pictures, Dragon Draft."""
    made = shot(WAN_VIDEO)
    three = torch.cat([made.mask, made.mask.roll(8, 1), made.mask.roll(16, 1)])
    nine = three.repeat_interleave(torch.tensor([1, 4, 4]), 0)
    assert torch.equal(edit(made, energy=moved(made, nine)), edit(made, energy=moved(made, three)))
    image = torch.rand(9, *made.mask.shape[1:], 3, generator=torch.Generator().manual_seed(0))
    draft = run("DragonDraft", image=image, energy=moved(made, nine))[0]
    assert draft.shape == image.shape and not torch.equal(draft, image)


def test_one_frame_of_a_video_that_is_edited_alone(run: Any, shot: Any, edit: Any, moved: Any) -> None:
    """As many masks as frames or one, and no other number."""
    made = shot(WAN_VIDEO)
    with pytest.raises(ValueError, match="2 masks for 3 pictures"):
        edit(made, energy=moved(made, made.mask.repeat(2, 1, 1)))
