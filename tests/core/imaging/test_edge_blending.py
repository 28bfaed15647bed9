"""What is put into a picture: seamless where the mask's border runs through even ground, untouched at the object's own edge."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dragon_core.edits.move import Move
from dragon_core.imaging.affine import AffineWarp
from dragon_core.imaging.edge_blending import blend_edges, fade, placed
from dragon_core.imaging.windows import Part

SIDE = 80
SAND, SEA, RED = (torch.tensor(colour).view(1, 3, 1, 1) for colour in ((0.9, 0.8, 0.6), (0.2, 0.4, 0.8), (0.9, 0.1, 0.1)))


def square(half: int) -> Tensor:
    """A square in the middle: bool (1, 1, h, w)."""
    inside = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    inside[..., SIDE // 2 - half : SIDE // 2 + half, SIDE // 2 - half : SIDE // 2 + half] = True
    return inside


def ground(colour: Tensor) -> Tensor:
    return colour.expand(1, 3, SIDE, SIDE).clone()


def with_object(colour: Tensor) -> Tensor:
    return torch.where(square(10), RED, ground(colour))


def whole(picture: Tensor) -> Callable[[Part], Tensor]:
    """A picture, of which a part is asked for."""
    return lambda part: picture[..., part[0], part[1]]


@pytest.mark.parametrize("wider", [1, 2])
def test_ground_that_a_wide_mask_took_along_gives_way(wider: int) -> None:
    """A ring of sand round a red square, put on the sea: most of the ring is sea, and all of the square is red."""
    mask = square(10 + wider)
    result = blend_edges(whole(with_object(SAND)), ground(SEA), mask)
    ring = (mask & ~square(10)).expand_as(result)
    left = (result - SEA).abs()[ring].mean() / (ground(SAND) - SEA).abs()[ring].mean()
    assert left < 0.35
    torch.testing.assert_close(result[square(10).expand_as(result)], ground(RED)[square(10).expand_as(result)], atol=1e-3, rtol=0)


def test_a_tight_mask_is_pasted_as_it_is() -> None:
    mask = square(10)
    wanted = torch.where(mask, RED, ground(SEA))
    torch.testing.assert_close(blend_edges(whole(with_object(SAND)), ground(SEA), mask), wanted, atol=1e-3, rtol=0)


def test_outside_of_the_mask_lies_the_ground_bit_by_bit() -> None:
    lower = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    result = blend_edges(whole(with_object(SAND).expand(2, -1, -1, -1)), lower, square(14))
    outside = ~square(14).expand_as(result)
    assert torch.equal(result[outside], lower[outside])


def test_the_end_of_a_shadow_has_no_step() -> None:
    """Cut where it is a tenth of its darkness, it fades into the new ground."""
    y, x = (torch.arange(SIDE) - SIDE / 2 + 0.5 for _ in range(2))
    dark = 0.5 * torch.exp(-(y[:, None] ** 2 + x**2) / 200)
    mask = (dark > 0.05)[None, None]
    pale = ground(SAND) * 0.85
    pasted, soft = (make(whole(ground(SAND) * (1 - dark)), pale, mask) for make in (placed, blend_edges))
    step = [(each[..., 1:] - each[..., :-1]).abs()[..., SIDE // 2, :].max() for each in (pasted, soft)]
    assert step[1] < 0.5 * step[0]
    middle = (..., SIDE // 2, SIDE // 2)
    torch.testing.assert_close(soft[middle], pasted[middle])


def test_fade_is_even_and_the_frame_is_no_border() -> None:
    inside = torch.ones(1, 1, 3, 12, dtype=torch.bool)
    inside[..., :2] = False
    assert fade(inside, 4)[0, 0, 1].tolist() == pytest.approx([1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0, 0])


def test_a_mask_over_all_of_the_picture() -> None:
    everywhere = torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)
    assert torch.equal(blend_edges(whole(with_object(SAND)), ground(SEA), everywhere), with_object(SAND))


def test_an_object_whose_old_place_is_kept_is_its_own_ground() -> None:
    """There nothing may give way: it would show the object where it was."""
    picture, mask = with_object(SAND), square(12).squeeze(1).float()
    moved = Move(mask, AffineWarp((SIDE, SIDE), shift=(4.0, 0.0)), start="keep")
    placed = moved.place_pixels(picture, picture, None)
    target = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    target[..., SIDE // 2 - 12 : SIDE // 2 + 12, SIDE // 2 - 8 : SIDE // 2 + 16] = True
    torch.testing.assert_close(placed, torch.where(target, picture.roll(4, -1), picture))
