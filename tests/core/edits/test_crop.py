"""Edits of a large picture on a crop of it: what every kind of edit becomes there, and the way back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from dragon_core.edits.appearance import Appearance
from dragon_core.edits.base import Edit
from dragon_core.edits.chain import Layout, edited_picture
from dragon_core.edits.crop import crop_for, edits_in, uncropped
from dragon_core.edits.drag import drag
from dragon_core.edits.landmarks import landmarks
from dragon_core.edits.move import Move
from dragon_core.edits.paste import Paste
from dragon_core.edits.primitives import Content, ContentElsewhere, Contrast, Inpaint, LocalSimilarity, MeanSimilarity
from dragon_core.edits.resize import resize
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp

SIZE, SIDE = (320, 480), 96


def disc(x: float, y: float, radius: float, size: tuple[int, int] = SIZE) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    return (torch.hypot(columns - x, rows - y) < radius).float()[None]


MASK, OTHER = disc(150, 150, 40), disc(80, 80, 30, (200, 160))
#: Every kind of edit, for a picture of SIZE.
EDITS: dict[str, Callable[[], Edit]] = {
    "move": lambda: Move(MASK, AffineWarp(SIZE, (90.0, 20.0))),
    "move, filled from": lambda: Move(MASK, AffineWarp(SIZE, (90.0, 20.0)), fill=disc(200, 100, 30)),
    "resize": lambda: resize(MASK, (1.4, 0.8), 30.0, (40.0, 0.0)),
    "object dragged": lambda: drag([((150.0, 150.0), (230.0, 160.0))], SIZE, MASK, "object"),
    "area dragged": lambda: drag([((150.0, 150.0), (165.0, 160.0))], SIZE, disc(150, 150, 60), "area"),
    "dragged without a mask": lambda: drag([((150.0, 150.0), (190.0, 160.0))], SIZE),
    "landmarks": lambda: landmarks([(140.0, 150.0), (170.0, 150.0)], [(145.0, 140.0), (178.0, 155.0)], SIZE),
    "paste": lambda: Paste(OTHER, (200.0, 150.0), 1.3, 20.0),
    "appearance": lambda: Appearance(MASK, OTHER),
    "contrast": lambda: Contrast(MASK, 1.0),
    "inpaint": lambda: Inpaint(MASK, 1.0, disc(230, 150, 30)),
    "similarity": lambda: LocalSimilarity(MASK, 1.0, (70.0, 10.0)),
    "mean similarity": lambda: MeanSimilarity(MASK, 1.0, disc(230, 150, 30)),
}


def picture(seed: int = 3) -> Tensor:
    small = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, size=SIZE, mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("name", EDITS)
def test_regions_on_the_crop_are_the_pictures(name: str) -> None:
    edit = EDITS[name]()
    crop = crop_for((edit,), picture(), SIDE, 0.3)
    window = crop.window
    (inside,) = edits_in(crop)
    assert inside.image_size == window.size and window.scale < 1
    ours, theirs = Layout.of((inside,), window.size).combined, Layout.of(crop.edits, SIZE).combined
    for own, full in ((ours.source, theirs.source), (ours.target, theirs.target)):
        wanted = window.taken_mask(full)
        assert float((own - wanted).abs().mean()) < 0.01
        assert float(wanted.sum()) == pytest.approx(float(full.sum()) * window.scale**2, rel=0.02), "all of it is in the window"


@pytest.mark.parametrize("name", EDITS)
def test_edit_on_the_crop_is_the_crop_of_the_edit(name: str) -> None:
    """Made on either, and seen from far enough that edges do not count."""
    source, second = picture(), picture(5)[..., :200, :160]
    edit = EDITS[name]()
    crop = crop_for((edit,), source, SIDE, 0.3)
    full = source.clone()
    for each in crop.edits:
        full = each.place_pixels(full, source, second)
    small = start = crop.window.taken(source)
    for each in edits_in(crop):
        small = each.place_pixels(small, start, second)
    off = (small - crop.window.taken(full)).abs()
    assert float(off.mean()) < 0.01
    changed = float((small - start).abs().mean())
    assert float(off.mean()) < 0.25 * changed or changed < 1e-6


def test_points_arrive_where_they_should() -> None:
    edit = drag([((150.0, 150.0), (190.0, 160.0))], SIZE)
    crop = crop_for((edit,), picture(), SIDE, 0.3)
    (inside,) = edits_in(crop)
    (((handle, target),),) = inside.sets  # type: ignore[attr-defined]
    reached = inside.carried.transform.forward(torch.tensor([[handle]], dtype=torch.float64))  # type: ignore[attr-defined]
    assert tuple(reached.flatten().tolist()) == pytest.approx(target, abs=0.5)


def test_a_chain_is_in_one_window_and_what_holds_the_rest_widens_nothing() -> None:
    edits = (EDITS["move"](), Content(disc(440, 280, 20), 1.0), ContentElsewhere(1.0), Contrast(disc(60, 60, 20), 1.0))
    window = crop_for(edits, picture(), SIDE, 0.0).window
    (left, top), (height, width) = window.corner, window.extent
    assert left <= 40 and top <= 40 and left + width >= 280 and top + height >= 210
    assert left + width < 420


def test_a_picture_that_is_no_larger_goes_through_as_it_is() -> None:
    source = picture()
    edit = EDITS["move"]()
    crop = crop_for((edit,), source, 512, 0.5)
    assert crop.window.taken(source) is source and edits_in(crop) is crop.edits
    edited = picture(9)
    torch.testing.assert_close(uncropped(crop, edited), edited)
    changed = torch.zeros(1, *SIZE)
    assert torch.equal(uncropped(crop, edited, changed), source)


def test_pixels_outside_of_the_window_and_of_what_changed_are_the_pictures_own() -> None:
    source = picture()
    crop = crop_for((EDITS["move"](),), source, SIDE, 0.2)
    (rows, columns), _ = crop.window.inside
    outside = torch.ones(SIZE, dtype=torch.bool)
    outside[rows, columns] = False
    result = uncropped(crop, torch.rand(1, 3, *crop.window.size))
    assert result.shape == source.shape and outside.any()
    assert torch.equal(result[..., outside], source[..., outside])
    assert torch.equal(uncropped(crop, torch.rand(1, 3, *crop.window.size), torch.zeros(1, *crop.window.size)), source)


def test_an_edit_that_the_model_left_as_the_draft_is_the_draft_at_full_size() -> None:
    """Where nothing had to be made up: there the model's picture stands."""
    source = picture()
    crop = crop_for((EDITS["move"](),), source, SIDE, 0.4)
    full = edited_picture(crop.edits, source)
    result = uncropped(crop, crop.window.taken(full))
    target = Layout.of(crop.edits, SIZE).combined.target[0] > 0.99
    off = (result - full).abs()[..., target]
    assert float(off.mean()) < 0.004 and float(off.max()) < 0.06
    assert float((result - full).abs().mean()) < 0.005


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ((), "there is no edit"),
        ((ContentElsewhere(1.0),), "no edit has a place in the picture"),
        ((Move(disc(30, 30, 10, (64, 64)), AffineWarp((64, 64), (9.0, 0.0))),), "the mask is 64×64 pixels but the picture is 480×320"),
        ((Move(MASK.repeat(3, 1, 1), AffineWarp(SIZE, (9.0, 0.0))),), "there are 3 masks for 1 picture"),
    ],
)
def test_what_cannot_be_cropped_is_refused(edits: tuple[Edit, ...], says: str) -> None:
    with pytest.raises(DragonError, match=says):
        crop_for(edits, picture(), SIDE, 0.5)


def test_a_fill_outside_of_the_window_gives_way_to_the_surroundings(caplog: pytest.LogCaptureFixture) -> None:
    edit = Move(MASK, AffineWarp(SIZE, (40.0, 0.0)), fill=disc(450, 290, 20))
    (inside,) = edits_in(crop_for((edit,), picture(), SIDE, 0.1))
    assert inside.fill is None  # type: ignore[attr-defined]
    assert "outside of the crop" in caplog.text


@pytest.mark.parametrize("seed", [0, 2])
def test_the_lit_world_at_four_times_the_size(seed: int) -> None:
    """With a model that is always right at its own size: what the two steps lose between its picture and the large truth."""
    from toy_world.render import object_mask, render
    from toy_world.scene import sample_scene

    scene, side = sample_scene("heldout", seed, objects=1), 1024
    old = scene.objects[0]
    dx = 0.25 if old.x < 0.5 else -0.25
    new = dataclasses.replace(old, x=old.x + dx)
    source, truth = (
        torch.from_numpy(np.ascontiguousarray(render(each, side))).movedim(-1, 0)[None] for each in (scene, scene.replacing(0, new))
    )
    mask = torch.from_numpy(object_mask(old, side, shadow=False))[None].float()
    crop = crop_for((Move(mask, AffineWarp((side, side), (dx * side, 0.0))),), source, 256, 0.5)
    result = uncropped(crop, crop.window.taken(truth))
    inside = torch.from_numpy(object_mask(new, side, shadow=False))

    def sharpness(image: Tensor) -> float:
        return float(
            sum(part.square()[..., inside[:-1, :-1]].mean() for part in (image.diff(dim=-1)[..., :-1, :], image.diff(dim=-2)[..., :-1]))
        )

    assert float((result - truth).abs().mean()) < 0.08 * float((source - truth).abs().mean())
    assert sharpness(result) > 0.9 * sharpness(truth)


def test_ground_that_a_wide_mask_took_along_is_not_lit_as_the_object() -> None:
    """The object comes into twice the light; what the mask shows of the ground round it keeps the ground's."""
    ground, there = 0.4, (90.0, 20.0)
    room = torch.full((1, 3, *SIZE), ground)
    drawn = disc(150, 150, 40).unsqueeze(1)
    source = torch.where(drawn > 0, torch.tensor([0.4, 0.1, 0.2]).view(1, 3, 1, 1), room)
    wide = Move(disc(150, 150, 50), AffineWarp(SIZE, there))
    crop = crop_for([wide], source, SIDE, 0.5)
    before = edited_picture(edits_in(crop), crop.window.taken(source))
    lit = crop.window.taken(torch.roll(drawn.expand(1, 3, -1, -1), (20, 90), (2, 3)))
    result = uncropped(crop, (before * (1 + lit)).clamp(0, 1))
    moved = torch.roll(drawn, (20, 90), (2, 3))[0, 0] > 0
    rim = (disc(240, 170, 49)[0] > 0) & (disc(240, 170, 44)[0] == 0)
    core = disc(240, 170, 30)[0] > 0
    assert bool((moved & core).any()) and float(result[0, 0][core].mean()) > 0.7
    assert float((result[0, :, rim] - ground).abs().mean()) < 0.02
