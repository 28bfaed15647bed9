"""The window of a large picture: it holds the edit, has the crop's shape exactly, and comes back where it was taken."""

from __future__ import annotations

import pytest
import torch

from dragon_core.errors import DragonError
from dragon_core.imaging.crop_window import MULTIPLE, CropWindow, whole, window_around

#: box (top, bottom, left, right), picture size, side, surroundings
CASES = [
    ((100, 200, 100, 300), (3000, 4000), 512, 0.5),
    ((0, 3000, 0, 4000), (3000, 4000), 512, 0.5),
    ((0, 3001, 0, 4001), (3001, 4001), 1024, 0.0),
    ((1000, 2999, 100, 3800), (3000, 4000), 512, 0.3),
    ((10, 190, 300, 1700), (200, 2000), 512, 0.5),
    ((0, 200, 0, 2000), (200, 2000), 512, 0.0),
    ((2900, 3000, 3900, 4000), (3000, 4000), 256, 4.0),
    ((5, 6, 5, 6), (700, 700), 512, 0.0),
]


@pytest.mark.parametrize(("box", "size", "side", "surroundings"), CASES)
def test_window_holds_the_edit_in_the_shape_of_its_crop(
    box: tuple[int, int, int, int], size: tuple[int, int], side: int, surroundings: float
) -> None:
    window = window_around(box, size, side, surroundings)
    (left, top), (height, width) = window.corner, window.extent
    assert top <= box[0] and box[1] <= top + height and left <= box[2] and box[3] <= left + width
    assert all(length % MULTIPLE == 0 for length in window.size)
    assert window.size[0] * width == window.size[1] * height  # one factor, exactly
    assert 0 < window.scale <= 1
    assert window.size[0] * window.size[1] <= 1.1 * side**2
    for first, length, full in ((top, height, size[0]), (left, width, size[1])):
        assert (first >= 0 and first + length <= full) or full <= length <= 1.1 * full + MULTIPLE


def test_a_small_edit_is_taken_as_it_is() -> None:
    window = window_around((1000, 1050, 2000, 2050), (3000, 4000), 512, 0.5)
    assert window.extent == window.size == (512, 512) and window.scale == 1
    picture = torch.rand(1, 3, 3000, 4000)
    left, top = window.corner
    assert torch.equal(window.taken(picture), picture[..., top : top + 512, left : left + 512])


@pytest.mark.parametrize("size", [(512, 512), (511, 513), (300, 600), (1, 7)])
def test_a_picture_that_is_no_larger_is_its_own_window(size: tuple[int, int]) -> None:
    window = window_around((0, 1, 0, 1), size, 512, 0.5)
    picture = torch.rand(2, 3, *size)
    assert window.is_whole and window == whole(size)
    assert window.taken(picture) is picture


@pytest.mark.parametrize(("box", "size", "side", "surroundings"), CASES)
def test_a_point_of_the_picture_and_of_the_crop_show_the_same(
    box: tuple[int, int, int, int], size: tuple[int, int], side: int, surroundings: float
) -> None:
    window = window_around(box, size, side, surroundings)
    ys, xs = (torch.arange(n) + 0.5 for n in size)
    places = torch.stack([xs.expand(size), ys[:, None].expand(size)])[None]  # a picture that shows its own coordinates
    crop = window.taken(places)[0]
    row, column = window.size[0] // 2, window.size[1] // 2
    at = window.point((float(crop[0, row, column]), float(crop[1, row, column])))
    assert at == pytest.approx((column + 0.5, row + 0.5), abs=0.02)


def test_the_window_goes_back_where_it_came_from() -> None:
    picture = torch.rand(1, 3, 301, 401)
    window = window_around((0, 301, 0, 401), picture.shape[-2:], 128, 0.0)  # reaches beyond the frame
    assert window.extent[0] > 301 or window.extent[1] > 401
    part, inside = window.inside
    taken = window.unscaled.taken(picture)
    assert torch.equal(taken[..., inside[0], inside[1]], picture[..., part[0], part[1]])


def test_the_window_fades_at_its_own_borders_only() -> None:
    window = CropWindow((100, 200), (0, 20), (80, 80), (16, 16))
    weight = window.fading()
    assert weight.shape == (80, 80)
    assert float(weight[40, 0]) == 1 and float(weight[79, 40]) == 1, "the picture's own border"
    assert float(weight[0, 40]) < 0.2 and float(weight[40, 79]) < 0.2
    assert float(weight[40, 40]) == 1


def test_a_mask_stays_within_its_range() -> None:
    mask = torch.zeros(1, 1000, 1000)
    mask[:, 200:800, 300:700] = 1
    crop = window_around((200, 800, 300, 700), (1000, 1000), 128, 0.2).taken_mask(mask)
    assert float(crop.min()) == 0 and float(crop.max()) == 1


def test_another_picture_is_refused() -> None:
    window = window_around((0, 10, 0, 10), (1000, 1000), 128, 0.5)
    with pytest.raises(DragonError, match="a picture of 1000×1000 pixels, not of 20×10"):
        window.taken(torch.zeros(1, 3, 10, 20))
