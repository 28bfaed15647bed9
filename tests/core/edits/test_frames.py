"""Edits of videos: what lies at a track's beginning goes along it, and masks of all frames serve a latent that holds several in one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dragon_core.edits import chain
from dragon_core.edits.drag import drag, drag_each
from dragon_core.edits.frames import by_latent_frames, pairs_along, shifts_along
from dragon_core.edits.move import Move
from dragon_core.edits.resize import resize
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp

SIZE = (48, 96)


def block(left: int = 8, top: int = 16) -> Tensor:
    mask = torch.zeros(1, *SIZE)
    mask[:, top : top + 8, left : left + 8] = 1
    return mask


def along(*places: tuple[float, float]) -> Tensor:
    return torch.tensor(places, dtype=torch.float64).unsqueeze(1)


WAY = along((10.0, 18.0), (26.0, 18.0), (42.0, 26.0))
ALL = torch.ones(3, 1, dtype=torch.bool)


def test_what_stands_still_goes_along_the_track() -> None:
    """One mask for all frames; the picture that is moved shows the object where the track is, from frame to frame."""
    mask, shifts = shifts_along(block(), WAY, ALL, (0.0, 8.0))
    assert shifts == ((0.0, 8.0), (16.0, 8.0), (32.0, 16.0))
    move = Move(mask, AffineWarp(SIZE, shifts))
    picture = block().unsqueeze(1).expand(3, 3, -1, -1)
    shown = chain.edited_picture((move,), picture)
    for frame, (left, top) in enumerate([(8, 24), (24, 24), (40, 32)]):
        assert torch.equal(shown[frame] > 0.5, block(left, top).expand(3, -1, -1) > 0.5), frame
    assert torch.equal(move.regions(SIZE).target > 0.5, torch.cat([block(8, 24), block(24, 24), block(40, 32)]) > 0.5)


def test_an_object_that_moves_by_itself_ends_on_the_track() -> None:
    moving = torch.cat([block(8), block(8, 24), block(8, 32)])
    mask, shifts = shifts_along(moving, WAY, ALL)
    target = Move(mask, AffineWarp(SIZE, shifts)).regions(SIZE).target
    assert torch.equal(target > 0.5, torch.cat([block(8), block(24), block(40, 24)]) > 0.5)


def test_hidden_points_do_not_count() -> None:
    """The mean of those that are seen; of all where none is."""
    path = torch.cat([WAY, WAY + torch.tensor([[[0.0, 0.0]], [[8.0, 0.0]], [[8.0, 0.0]]])], 1)
    _, both = shifts_along(block(), path, torch.ones(3, 2, dtype=torch.bool))
    _, first = shifts_along(block(), path, torch.tensor([[True, True], [True, False], [False, False]]))
    assert both == ((0.0, 0.0), (20.0, 0.0), (36.0, 8.0))
    assert first == ((0.0, 0.0), (16.0, 0.0), (36.0, 8.0))


def test_other_numbers_of_masks_than_of_points() -> None:
    with pytest.raises(DragonError, match="3 points and there are 2 masks"):
        shifts_along(block().repeat(2, 1, 1), WAY, ALL)


def test_pairs_of_an_object_that_stands_still() -> None:
    """What lies at each track's first point goes along it; one that stays is a pin, and one that is hidden has no say."""
    path = torch.cat([WAY, along((14.0, 22.0), (14.0, 22.0), (14.0, 22.0))], 1)
    seen = torch.tensor([[True, True], [True, True], [True, False]])
    first, second, third = pairs_along(path, seen)
    assert first == (((10.0, 18.0), (10.0, 18.0)), ((14.0, 22.0), (14.0, 22.0)))
    assert second == (((10.0, 18.0), (26.0, 18.0)), ((14.0, 22.0), (14.0, 22.0)))
    assert third == (((10.0, 18.0), (42.0, 26.0)),)
    assert pairs_along(path, ~seen & False) == pairs_along(path, torch.ones_like(seen))
    assert pairs_along(path, seen, torch.zeros(1, *SIZE)) == (first, second, third)


def test_pairs_of_an_object_that_moves_by_itself() -> None:
    """Its handles are where it is by then: dragged, it shows on the track."""
    moving = torch.cat([block(8), block(8, 24), block(8, 32)])
    sets = pairs_along(WAY, ALL, moving)
    assert [pairs[0][0] for pairs in sets] == [(10.0, 18.0), (10.0, 26.0), (10.0, 34.0)]
    dragged = drag_each(sets, SIZE, moving, "object")
    picture = moving.unsqueeze(1).expand(-1, 3, -1, -1)
    shown = chain.edited_picture((dragged,), picture)
    for frame, (left, top) in enumerate([(8, 16), (24, 16), (40, 24)]):
        assert torch.equal(shown[frame] > 0.5, block(left, top).expand(3, -1, -1) > 0.5), frame
    with pytest.raises(DragonError, match="3 points and there are 2 masks"):
        pairs_along(WAY, ALL, moving[:2])


@pytest.mark.parametrize("mask", [None, block()], ids=["area", "object"])
def test_pairs_of_all_frames_serve_a_latent_that_holds_four_in_one(mask: Tensor | None) -> None:
    path = along(*((10.0 + 3 * frame, 18.0) for frame in range(9)))
    dragged = drag_each(pairs_along(path, torch.ones(9, 1, dtype=torch.bool)), SIZE, mask)
    (packed,) = by_latent_frames((dragged,), 3, 3)
    assert [pairs[0][1][0] for pairs in packed.sets] == [10.0, 19.0, 31.0]  # type: ignore[attr-defined]
    assert packed.carried.transform.count == len(packed.carried.mask) == 3  # type: ignore[attr-defined]
    chain.check_counts((packed,), 3)


def nine_frames() -> Tensor:
    return torch.cat([block(8 + 2 * frame) for frame in range(9)])


@pytest.mark.parametrize("videos", [1, 2])
def test_masks_of_all_frames_serve_a_latent_that_holds_four_in_one(videos: int) -> None:
    """The first frame stands alone, as in video models' VAEs; of four, all places are the object's, and it goes where the third does."""
    masks = nine_frames().repeat(videos, 1, 1)
    shifts = tuple((float(frame), 0.0) for frame in range(9)) * videos
    move = Move(masks, AffineWarp(SIZE, shifts), fill=masks.flip(2))
    edits = (move, resize(masks, (1.5, 1.5)), drag([((12, 20), (40, 20))], SIZE, masks))
    move, larger, dragged = by_latent_frames(edits, 3 * videos, 3)
    wanted = torch.stack([masks[0], masks[1:5].amax(0), masks[5:9].amax(0)]).repeat(videos, 1, 1)
    assert torch.equal(move.mask, wanted) and torch.equal(move.fill, wanted.flip(2)) and torch.equal(dragged.carried.mask, wanted)
    assert move.transform.shift == ((0.0, 0.0), (3.0, 0.0), (7.0, 0.0)) * videos
    assert [x for x, _ in larger.transform.centre] == [12.0, 18.0, 26.0] * videos
    chain.check_counts((move, larger, dragged), 3 * videos)
    assert dragged.carried.transform.count in (1, 3 * videos)


def test_one_mask_with_a_way_of_all_frames() -> None:
    mask, shifts = shifts_along(block(), along(*((10.0 + frame, 18.0) for frame in range(9))), torch.ones(9, 1, dtype=torch.bool))
    (move,) = by_latent_frames((Move(mask, AffineWarp(SIZE, shifts)),), 3, 3)
    assert torch.equal(move.mask, block().repeat(3, 1, 1)) and move.transform.shift == ((0.0, 0.0), (3.0, 0.0), (7.0, 0.0))


@pytest.mark.parametrize(("count", "latents", "frames"), [(1, 3, 3), (3, 3, 3), (5, 3, 3), (9, 9, 0), (9, 1, 1), (9, 6, 3)])
def test_other_numbers_are_left_for_the_check(count: int, latents: int, frames: int) -> None:
    edit = Move(block().repeat(count, 1, 1), AffineWarp(SIZE, (8.0, 0.0)))
    assert by_latent_frames((edit,), latents, frames)[0] is edit
