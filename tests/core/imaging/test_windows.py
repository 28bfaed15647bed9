"""Filters over windows against torch's own pooling, distances against growing step by step, parts of pictures."""

from __future__ import annotations

import time

import pytest
import torch
import torch.nn.functional as F

from dragon_core.edits.chain import edited_picture
from dragon_core.edits.move import Move
from dragon_core.imaging.affine import AffineWarp, arrived, warp
from dragon_core.imaging.windows import box_max, box_mean, extent, steps_to


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("area", [1, 3, 20])
def test_means_and_maxima_are_those_of_pooling(area: int) -> None:
    image = picture(2, 3, 17, 30)
    wide = 2 * area + 1
    torch.testing.assert_close(box_mean(image, area), F.avg_pool2d(image, wide, stride=1, padding=area), atol=1e-6, rtol=0)
    assert torch.equal(box_max(image, area), F.max_pool2d(F.pad(image, (area,) * 4, value=-1), wide, stride=1))


def test_precision_stays() -> None:
    assert box_mean(picture(1, 4, 4).double(), 1).dtype == torch.float64
    assert box_max(picture(1, 4, 4).half(), 1).dtype == torch.float16


def test_steps_are_those_of_growing() -> None:
    goal = picture(2, 20, 31) > 0.98
    steps, grown = steps_to(goal), goal.float()
    for count in range(8):
        assert torch.equal(grown > 0, steps <= count)
        grown = box_max(grown, 1)
    assert torch.isinf(steps_to(torch.zeros(1, 3, 3, dtype=torch.bool))).all()


def test_extent() -> None:
    where = torch.zeros(2, 1, 40, 60, dtype=torch.bool)
    assert extent(where, 3) == (slice(0, 40), slice(0, 60))
    where[0, 0, 10, 20] = where[1, 0, 12, 57] = True
    assert extent(where, 0) == (slice(10, 13), slice(20, 58))
    assert extent(where, 5) == (slice(5, 18), slice(15, 60))
    assert extent(where, 1, align=8) == (slice(8, 16), slice(16, 60))


@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (13.5, -7.0), (90.0, 0.0)])
def test_a_mask_arrives_where_warping_all_of_it_puts_it(scale: float, shift: tuple[float, float]) -> None:
    mask = torch.zeros(2, 48, 64)
    mask[0, 10:30, 20:35] = mask[1, 30:47, 1:63] = 0.7
    turn = AffineWarp((48, 64), shift, ((0.8 * scale, -0.6 * scale), (0.6 * scale, 0.8 * scale)), centre=((27.0, 20.0), (30.0, 38.0)))
    for grid in (None, (24, 32), (55, 70)):
        wanted = warp(mask.unsqueeze(1), turn, "area", size=grid).squeeze(1)
        assert torch.equal(arrived(mask, turn, grid), wanted)


def test_a_part_of_a_warp() -> None:
    image = picture(1, 3, 40, 40)
    turn = AffineWarp((40, 40), (3.0, 1.0), ((0.4, -0.1), (0.1, 0.4)), centre=(20.0, 20.0))
    whole = warp(image, turn, "area", "border")
    assert torch.equal(warp(image, turn, "area", "border", part=(slice(5, 20), slice(7, 33))), whole[..., 5:20, 7:33])


def test_a_draft_takes_a_time_that_grows_with_its_pixels_only() -> None:
    """Seconds of CPU time: pooling windows that grew with the object took 1.4 at 512 pixels a side and 9 at 1024."""
    taken = {}
    for side in (256, 1024):
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        mask = (torch.hypot(rows - 0.5 * side, columns - 0.36 * side) < 0.17 * side).float()[None]
        edit = Move(mask, AffineWarp((side, side), (0.3 * side, 0.0)))
        began = time.process_time()
        edited_picture((edit,), picture(1, 3, side, side))
        taken[side] = time.process_time() - began
    assert taken[1024] < 24 * taken[256] and taken[1024] < 4
