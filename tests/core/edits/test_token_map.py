"""Which token of the source is seen where."""

from __future__ import annotations

import pytest
import torch

from dragon_core.edits.appearance import Appearance
from dragon_core.edits.move import Move
from dragon_core.edits.paste import Paste
from dragon_core.edits.token_map import TokenMap
from dragon_core.imaging.affine import AffineWarp

#: 8 × 12 tokens of 2 × 2 cells of 8 pixels.
PICTURE, CELLS, TOKEN = (128, 192), (16, 24), 2
ROWS, COLUMNS = 8, 12


def masked(top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    """A mask over whole tokens."""
    mask = torch.zeros(1, *PICTURE)
    mask[:, top * 16 : bottom * 16, left * 16 : right * 16] = 1
    return mask


def grid(flat: torch.Tensor) -> torch.Tensor:
    return flat.view(flat.shape[0], ROWS, COLUMNS, *flat.shape[2:])


def test_nothing_is_carried_without_an_edit() -> None:
    token_map = TokenMap.of((), CELLS, TOKEN)
    assert torch.equal(token_map.origin[0], torch.arange(ROWS * COLUMNS))
    assert bool(token_map.shared.all()) and not bool(token_map.moved.any()) and not bool(token_map.vacated.any())


def test_a_move_by_whole_tokens() -> None:
    """Two columns go four to the right and one up: each new place sees its own token from four columns to the left, one below."""
    edit = Move(masked(2, 6, 2, 4), AffineWarp(PICTURE, (64.0, -16.0)))
    token_map = TokenMap.of((edit,), CELLS, TOKEN)
    brought, vacated = grid(token_map.moved)[0], grid(token_map.vacated)[0]
    expected = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    expected[1:5, 6:8] = True
    assert torch.equal(brought, expected)
    assert torch.equal(vacated, expected.roll((1, -4), (0, 1)))
    assert torch.equal(grid(token_map.shift)[0][brought], torch.tensor([0, -1, 4]).expand(8, 3))
    own = torch.arange(ROWS * COLUMNS).view(ROWS, COLUMNS)
    assert torch.equal(grid(token_map.origin)[0][brought], own.roll((-1, 4), (0, 1))[brought])
    assert torch.equal(grid(token_map.shared)[0], ~vacated)


@pytest.mark.parametrize("shift", [(24.0, 0.0), (29.0, 5.0), (35.0, -3.0)])
def test_parts_of_tokens_go_to_the_nearest(shift: tuple[float, float]) -> None:
    token_map = TokenMap.of((Move(masked(2, 6, 2, 5), AffineWarp(PICTURE, shift)),), CELLS, TOKEN)
    ways = token_map.shift[token_map.moved]
    assert int(token_map.moved.sum()) >= 8
    assert set(map(tuple, ways.tolist())) <= {(0, 0, 1), (0, 0, 2)}
    at = token_map.moved[0].nonzero().flatten()
    assert torch.equal(token_map.origin[0][at], at - ways @ torch.tensor([0, COLUMNS, 1]))


def test_what_leaves_the_picture_is_not_seen() -> None:
    token_map = TokenMap.of((Move(masked(2, 6, 8, 11), AffineWarp(PICTURE, (32.0, 0.0))),), CELLS, TOKEN)
    assert torch.equal(grid(token_map.moved)[0].any(0).nonzero().flatten(), torch.tensor([10, 11]))


def test_an_object_made_larger_is_seen_at_all_its_places() -> None:
    edit = Move(masked(3, 5, 4, 6), AffineWarp(PICTURE, (0.0, 0.0), ((2.0, 0.0), (0.0, 2.0)), (80.0, 64.0)))
    token_map = TokenMap.of((edit,), CELLS, TOKEN)
    target = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    target[2:6, 3:7] = True
    assert torch.equal(grid(token_map.moved)[0], target)
    inside = torch.zeros_like(target)
    inside[3:5, 4:6] = True
    assert set(token_map.origin[token_map.moved].tolist()) <= set(inside.flatten().nonzero().flatten().tolist())
    assert not bool(token_map.vacated.any())


def test_a_paste_sees_the_second_picture() -> None:
    """Its tokens count on after the source's; the second picture is smaller, with 4 × 6 tokens."""
    mask = torch.zeros(1, 64, 96)
    mask[:, 16:48, 16:48] = 1
    edit = Paste(mask, (128.0, 64.0), image_size=PICTURE)
    token_map = TokenMap.of((edit,), CELLS, TOKEN, (8, 12))
    brought = grid(token_map.moved)[0]
    assert torch.equal(brought.nonzero(), torch.tensor([[r, c] for r in (3, 4) for c in (7, 8)]))
    assert token_map.origin[token_map.moved].tolist() == [ROWS * COLUMNS + r * 6 + c for r in (1, 2) for c in (1, 2)]
    assert torch.equal(token_map.shift[token_map.moved], torch.tensor([0, 2, 6]).expand(4, 3))


def test_a_paste_made_larger_is_seen_at_all_its_places() -> None:
    """At four times its size each of its tokens is seen sixteen times: none of the places is left to the model."""
    mask = torch.zeros(1, 64, 96)
    mask[:, 16:32, 16:48] = 1
    token_map = TokenMap.of((Paste(mask, (96.0, 64.0), 4.0, image_size=PICTURE),), CELLS, TOKEN, (8, 12))
    expected = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    expected[2:6, 2:10] = True
    assert torch.equal(grid(token_map.moved)[0], expected)
    assert token_map.origin[token_map.moved].bincount()[ROWS * COLUMNS :].tolist() == [0] * 7 + [16, 16]


@pytest.mark.parametrize("transfer", [0.0, 1.0])
def test_an_appearance_is_that_of_the_second_object(transfer: float) -> None:
    """Each place of the object sees what lies likewise in the second one, however much of its colours the trajectory has."""
    mask = torch.zeros(1, 64, 96)
    mask[:, 16:48, 16:48] = 1
    edit = Appearance(masked(3, 5, 7, 9), mask, transfer=transfer)
    token_map = TokenMap.of((edit,), CELLS, TOKEN, (8, 12))
    brought = grid(token_map.moved)[0]
    assert torch.equal(brought.nonzero(), torch.tensor([[r, c] for r in (3, 4) for c in (7, 8)]))
    assert token_map.origin[token_map.moved].tolist() == [ROWS * COLUMNS + r * 6 + c for r in (1, 2) for c in (1, 2)]
    assert torch.equal(token_map.shift[token_map.moved], torch.tensor([0, 2, 6]).expand(4, 3))
    assert bool(token_map.shared.all()) and not bool(token_map.vacated.any())


def test_appearances_of_other_shapes() -> None:
    """A disc takes its look of a ring, of another size: every token of it from the ring, and from all of the ring."""
    y, x = torch.meshgrid(torch.arange(128) + 0.5, torch.arange(192) + 0.5, indexing="ij")
    away = torch.hypot(y - 64, x - 96)
    disc, ring = (away < 60).float().unsqueeze(0), ((away < 48) & (away > 24)).float().unsqueeze(0)
    token_map = TokenMap.of((Appearance(disc, ring),), CELLS, TOKEN, CELLS)
    covered = torch.nn.functional.avg_pool2d(ring, 16).flatten()
    seen = token_map.origin[token_map.moved] - ROWS * COLUMNS
    assert bool((covered[seen] > 0).all())
    assert set(seen.tolist()) >= set((covered > 0.9).nonzero().flatten().tolist())


def test_a_mask_for_each_picture_of_a_batch() -> None:
    """Two objects take two looks, or one."""
    objects, looks = torch.cat([masked(2, 4, 2, 4), masked(5, 7, 8, 10)]), torch.cat([masked(0, 2, 0, 2), masked(6, 8, 10, 12)])
    both = TokenMap.of((Appearance(objects, looks),), CELLS, TOKEN, CELLS)
    one = TokenMap.of((Appearance(objects, looks[1:]),), CELLS, TOKEN, CELLS)
    assert both.origin.shape == (2, ROWS * COLUMNS)
    assert [way.tolist() for way in both.shift[both.moved].unique(dim=0)] == [[0, -1, -2], [0, 2, 2]]
    assert [way.tolist() for way in one.shift[one.moved].unique(dim=0)] == [[0, -4, -8], [0, -1, -2]]


@pytest.mark.parametrize("frames", [1, 3])
def test_a_second_picture_in_all_frames(frames: int) -> None:
    """A still is seen in each frame of a video, and of a video each frame in the same one."""
    mask = torch.zeros(1, 64, 96)
    mask[:, 16:48, 16:48] = 1
    still = TokenMap.of((Paste(mask, (128.0, 64.0), image_size=PICTURE),), CELLS, TOKEN, (8, 12))
    video = still.of_frames(3, (frames, 4, 6))
    n = ROWS * COLUMNS
    for frame in range(3):
        part = slice(frame * n, (frame + 1) * n)
        theirs = frame if frames > 1 else 0
        assert torch.equal(video.origin[0, part][still.moved[0]], still.origin[still.moved] + 2 * n + theirs * 24)
        assert torch.equal(video.origin[0, part][~still.moved[0]], still.origin[~still.moved] + frame * n)
        assert torch.equal(video.shift[0, part][still.moved[0]], torch.tensor([frame - theirs, 2, 6]).expand(4, 3))
        assert not bool(video.shift[0, part][~still.moved[0]].any())


def test_frames_follow_each_other() -> None:
    """One edit in three frames: each sees its own tokens."""
    edit = Move(masked(2, 6, 2, 4), AffineWarp(PICTURE, (64.0, 0.0)))
    still, video = TokenMap.of((edit,), CELLS, TOKEN), TokenMap.of((edit,), CELLS, TOKEN).of_frames(3)
    n = ROWS * COLUMNS
    assert video.origin.shape == (1, 3 * n)
    for frame in range(3):
        part = slice(frame * n, (frame + 1) * n)
        assert torch.equal(video.origin[0, part], still.origin[0] + frame * n)
        assert torch.equal(video.moved[0, part], still.moved[0])


def test_a_mask_for_each_frame() -> None:
    masks = torch.cat([masked(2, 6, 2 + i, 4 + i) for i in range(3)])
    video = TokenMap.of((Move(masks, AffineWarp(PICTURE, (64.0, 0.0))),), CELLS, TOKEN).of_frames(3)
    brought = video.moved.view(3, ROWS, COLUMNS)
    assert [int(frame.any(0).nonzero()[0]) for frame in brought] == [6, 7, 8]
