"""The affine map against hand arithmetic, and the warp against a loop over pixels that samples the image itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp, unrepeated, warp

Matrix = tuple[tuple[float, float], tuple[float, float]]


def turn(degrees: float, scale: float = 1.0) -> Matrix:
    """Clockwise on the screen for positive degrees, as y points down."""
    c, s = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return (c, -s), (s, c)


def image(height: int = 6, width: int = 9, batch: int = 2, channels: int = 2) -> Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


#: Pictures are 12 high and 18 wide. Irrational-looking numbers keep "nearest" away from ties.
SIZE = (12, 18)
TRANSFORMS = {
    "identity": AffineWarp(SIZE),
    "shift by a fraction": AffineWarp(SIZE, shift=(1.37, -2.61)),
    "larger": AffineWarp(SIZE, matrix=((1.7, 0.0), (0.0, 1.7)), centre=(7.1, 5.3)),
    "smaller, uneven": AffineWarp(SIZE, matrix=((0.4, 0.0), (0.0, 0.7)), centre=(11.2, 3.9)),
    "rotated": AffineWarp(SIZE, matrix=turn(33.0), centre=(8.3, 6.1)),
    "rotated, resized and moved": AffineWarp(SIZE, shift=(-3.3, 2.2), matrix=turn(-71.0, 1.3), centre=(4.3, 7.7)),
    "sheared": AffineWarp(SIZE, shift=(0.7, 0.1), matrix=((1.0, 0.5), (-0.2, 1.1)), centre=(9.0, 6.0)),
    "mirrored": AffineWarp(SIZE, matrix=((-1.0, 0.0), (0.0, 1.0)), centre=(8.4, 0.0)),
    "far away": AffineWarp(SIZE, shift=(100.0, 0.0)),
}


def back_by_hand(t: AffineWarp, x: float, y: float) -> tuple[float, float]:
    """T⁻¹ by Cramer's rule."""
    (a, b), (c, d) = t.matrix
    u, v = x - t.centre[0] - t.shift[0], y - t.centre[1] - t.shift[1]
    det = a * d - b * c
    return (d * u - b * v) / det + t.centre[0], (a * v - c * u) / det + t.centre[1]


def pixel(plane: list[list[float]], row: int, column: int) -> float:
    return plane[row][column] if 0 <= row < len(plane) and 0 <= column < len(plane[0]) else 0.0


def warp_by_hand(plane: list[list[float]], t: AffineWarp, mode: str) -> list[list[float]]:
    """For every cell: its centre in picture pixels, T⁻¹ of that, the cell or the four cells it falls on or between."""
    h, w = len(plane), len(plane[0])
    cell_h, cell_w = t.image_size[0] / h, t.image_size[1] / w
    out = [[0.0] * w for _ in range(h)]
    for i in range(h):
        for j in range(w):
            x, y = back_by_hand(t, (j + 0.5) * cell_w, (i + 0.5) * cell_h)
            column, row = x / cell_w - 0.5, y / cell_h - 0.5
            if mode == "nearest":
                out[i][j] = pixel(plane, math.floor(row + 0.5), math.floor(column + 0.5))
                continue
            top, left = math.floor(row), math.floor(column)
            for r, weight_r in ((top, top + 1 - row), (top + 1, row - top)):
                for k, weight_k in ((left, left + 1 - column), (left + 1, column - left)):
                    out[i][j] += weight_r * weight_k * pixel(plane, r, k)
    return out


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("grid", [(12, 18), (6, 9), (24, 36), (4, 18)], ids=str)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_warp_pixel_by_pixel(name: str, grid: tuple[int, int], mode: str) -> None:
    """On the picture's own grid, a coarser one (latent), a finer one and one with cells that are not square."""
    source = image(*grid)
    got = warp(source, TRANSFORMS[name], mode)
    for b in range(2):
        for c in range(2):
            expected = torch.tensor(warp_by_hand(source[b, c].tolist(), TRANSFORMS[name], mode), dtype=torch.float64)
            torch.testing.assert_close(got[b, c], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (-3, 0), (0, 2), (5, -4), (-17, 11), (17, -11), (18, 0), (0, -12)])
@pytest.mark.parametrize(("mode", "kind"), [("nearest", torch.float32), ("bilinear", torch.float64), ("bilinear", torch.float32)])
def test_whole_pixels_are_carried_over(dx: int, dy: int, mode: str, kind: torch.dtype) -> None:
    """Right for positive dx and down for positive dy; nothing comes in from outside. Nearest is exact to the bit."""
    height, width = SIZE
    source = image(height, width).to(kind)
    expected = torch.zeros_like(source)
    for i in range(height):
        for j in range(width):
            if 0 <= i + dy < height and 0 <= j + dx < width:
                expected[:, :, i + dy, j + dx] = source[:, :, i, j]
    got = warp(source, AffineWarp(SIZE, shift=(dx, dy)), mode)
    tolerance = {"nearest": 0.0, "bilinear": 1e-12 if kind == torch.float64 else 2e-5}[mode]
    assert float((got - expected).abs().max()) <= tolerance


@pytest.mark.parametrize(("cells_x", "cells_y"), [(1, 0), (-2, 3), (4, -1)])
def test_shift_in_pixels_moves_whole_cells_of_a_coarse_grid(cells_x: int, cells_y: int) -> None:
    """8 pixels are one latent cell, in x by width and in y by height."""
    latent = image(5, 11)
    got = warp(latent, AffineWarp((40, 88), shift=(8 * cells_x, 8 * cells_y)), "nearest")
    for i in range(5):
        for j in range(11):
            inside = 0 <= i - cells_y < 5 and 0 <= j - cells_x < 11
            expected = latent[:, :, i - cells_y, j - cells_x] if inside else torch.zeros(2, 2, dtype=torch.float64)
            assert torch.equal(got[:, :, i, j], expected)


def test_large_picture_in_single_precision_stays_on_its_pixels() -> None:
    source = torch.rand(1, 1, 40, 1000, generator=torch.Generator().manual_seed(1))
    got = warp(source, AffineWarp((40, 1000), shift=(333, 0)))
    torch.testing.assert_close(got[..., 333:], source[..., :-333], rtol=0, atol=1e-3)
    assert torch.equal(warp(source, AffineWarp((40, 1000), shift=(333, 0)), "nearest")[..., 333:], source[..., :-333])


def test_resizing_keeps_the_centre_and_scales_the_extent() -> None:
    """A block of 4 × 8 about (10, 8), twice as large, covers 8 × 16 about the same point."""
    source = torch.zeros(1, 1, 20, 30, dtype=torch.float64)
    source[0, 0, 6:10, 6:14] = 1
    got = warp(source, AffineWarp((20, 30), matrix=((2.0, 0.0), (0.0, 2.0)), centre=(10.0, 8.0)), "nearest")
    expected = torch.zeros_like(source)
    expected[0, 0, 4:12, 2:18] = 1
    assert torch.equal(got, expected)


def test_quarter_turn_is_clockwise_on_screen() -> None:
    """x → y: what lies right of the centre goes below it."""
    source = image(7, 7)
    got = warp(source, AffineWarp((7, 7), matrix=turn(90), centre=(3.5, 3.5)), "nearest")
    for i in range(7):
        for j in range(7):
            assert torch.equal(got[:, :, j, 6 - i], source[:, :, i, j])


def test_nearest_mixes_no_values() -> None:
    """Noise keeps its variance: every value out is a value in, or the zero outside."""
    source = image()
    for transform in TRANSFORMS.values():
        values = set(source.flatten().tolist()) | {0.0}
        assert set(warp(source, transform, "nearest").flatten().tolist()) <= values


@pytest.mark.parametrize("shift", [(18.5, 0.0), (-18.5, 0.0), (0.0, 12.5), (0.0, -12.5), (1e6, -1e6)])
def test_object_out_of_the_frame_leaves_nothing(shift: tuple[float, float]) -> None:
    assert float(warp(torch.ones(1, 1, 12, 18), AffineWarp(SIZE, shift=shift)).abs().sum()) < 1e-4


def test_forward_by_hand() -> None:
    """T(p) = c + A (p − c) + d."""
    t = AffineWarp(SIZE, shift=(10.0, 20.0), matrix=((2.0, 1.0), (0.0, 3.0)), centre=(1.0, 2.0))
    points = torch.tensor([[1.0, 2.0], [4.0, 6.0]], dtype=torch.float64)
    # (4, 6) − (1, 2) = (3, 4); A (3, 4) = (2·3 + 4, 3·4) = (10, 12)
    assert t.forward(points).tolist() == [[11.0, 22.0], [1 + 10 + 10, 2 + 12 + 20]]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_inverse_and_inverted_undo_forward(name: str) -> None:
    t = TRANSFORMS[name]
    points = 20 * torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(t.inverse(t.forward(points)), points)
    torch.testing.assert_close(t.inverted().forward(t.forward(points)), points)
    torch.testing.assert_close(t.inverted().forward(points), t.inverse(points))
    torch.testing.assert_close(t.inverted().inverse(points), t.forward(points))
    torch.testing.assert_close(t.inverted().inverted().forward(points), t.forward(points))
    for (x, y), (u, v) in zip(points.view(-1, 2).tolist(), t.inverse(points).view(-1, 2).tolist(), strict=True):
        assert (u, v) == pytest.approx(back_by_hand(t, x, y))


def test_inverted_warp_brings_whole_pixels_back() -> None:
    source = torch.zeros(1, 1, 12, 18)
    source[..., 3:7, 2:9] = image(4, 7, 1, 1).float()
    there = AffineWarp(SIZE, shift=(6, 3))
    assert torch.equal(warp(warp(source, there, "nearest"), there.inverted(), "nearest"), source)


def test_gradient_reaches_the_image() -> None:
    source = image(4, 6).requires_grad_()
    t = TRANSFORMS["rotated, resized and moved"]
    assert torch.autograd.gradcheck(lambda x: warp(x, t), (source,))


def test_input_is_left_alone() -> None:
    source = image()
    before = source.clone()
    warp(source, TRANSFORMS["identity"]).add_(1)
    assert torch.equal(source, before)


@pytest.mark.parametrize("matrix", [((0.0, 0.0), (0.0, 0.0)), ((1.0, 2.0), (2.0, 4.0)), ((1.0, 0.0), (0.0, 0.0))])
def test_transform_without_an_inverse_is_refused(matrix: Matrix) -> None:
    with pytest.raises(DragonError, match="use a scale above 0"):
        AffineWarp(SIZE, matrix=matrix)


# Two pictures of different sizes, and shrinking


def test_warp_between_pictures_of_different_sizes() -> None:
    """A whole-pixel shift from a 6 × 10 picture into one of 8 × 7: every pixel by hand."""
    image = torch.arange(60, dtype=torch.float64).view(1, 1, 6, 10)
    transform = AffineWarp((8, 7), shift=(-2, 3), source_size=(6, 10))
    out = warp(image, transform, size=(8, 7))
    for y in range(8):
        for x in range(7):
            expected = float(image[0, 0, y - 3, x + 2]) if 0 <= y - 3 < 6 else 0.0
            assert float(out[0, 0, y, x]) == pytest.approx(expected, abs=1e-9)
    back = warp(out, transform.inverted(), size=(6, 10))
    torch.testing.assert_close(back[..., :5, 2:9], image[..., :5, 2:9])


def test_area_warp_averages_what_a_cell_covers() -> None:
    """Half the size about a corner: the mean of 2 × 2, where bilinear sampling at a third would skip pixels."""
    image = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    half = AffineWarp((8, 8), matrix=((0.5, 0.0), (0.0, 0.5)))
    torch.testing.assert_close(warp(image, half, mode="area")[..., :4, :4], torch.nn.functional.avg_pool2d(image, 2))
    grown = AffineWarp((8, 8), matrix=((2.0, 0.0), (0.0, 2.0)))
    assert torch.equal(warp(image, grown, mode="area"), warp(image, grown))


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7, 3.0])
def test_noise_is_taken_once(scale: float) -> None:
    """No value of the source twice; and where nothing is enlarged nothing is left out."""
    image = torch.arange(1, 1 + 9 * 7, dtype=torch.float64).view(1, 1, 9, 7)
    transform = AffineWarp((90, 110), shift=(13, 8), matrix=((scale, 0.0), (0.0, scale)), centre=(35, 45), source_size=(90, 70))
    size = (9, 11)
    taken = warp(image, transform, mode="nearest", size=size)[0, 0]
    once = unrepeated(transform, size, (9, 7), image.device)
    values = taken[once].tolist()
    assert len(values) == len(set(values)) and 0.0 not in values
    assert set(values) == set(taken[taken > 0].tolist())


# A centre for each picture of a batch


def test_each_picture_of_a_batch_has_its_own_centre() -> None:
    """As if each were alone: points, values, and where noise is taken once; one picture serves several centres."""
    centres = ((7.1, 5.3), (11.2, 3.9))
    matrix = turn(33.0, 1.4)
    both = AffineWarp(SIZE, (2.0, 1.0), matrix, centres)
    source = image(6, 9)
    points = 10 * torch.rand(4, 5, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert both.forward(points).shape == (2, 4, 5, 2)
    for i, centre in enumerate(centres):
        alone = AffineWarp(SIZE, (2.0, 1.0), matrix, centre)
        torch.testing.assert_close(both.forward(points)[i], alone.forward(points))
        torch.testing.assert_close(both.inverted().forward(points)[i], alone.inverse(points))
        for mode in ("bilinear", "area", "nearest"):
            torch.testing.assert_close(warp(source, both, mode)[i], warp(source[i : i + 1], alone, mode)[0])
            torch.testing.assert_close(warp(source[:1], both, mode)[i], warp(source[:1], alone, mode)[0])
        once = unrepeated(both, (6, 9), (6, 9), source.device)
        assert torch.equal(once[i], unrepeated(alone, (6, 9), (6, 9), source.device))


def test_a_cropped_transform_does_the_same_to_the_part_that_is_kept() -> None:
    t = AffineWarp(SIZE, (-1.5, 2.0), turn(20.0, 0.8), ((8.0, 6.0), (5.0, 7.0)))
    points = 10 * torch.rand(3, 3, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    corner = torch.tensor([2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(t.cropped((10, 14), (2, 1)).forward(points - corner), t.forward(points) - corner)


def test_repeated_for_more_rows() -> None:
    """Rows are [row 0's pictures, row 1's pictures]."""
    t = AffineWarp(SIZE, centre=((8.0, 6.0), (5.0, 7.0)))
    assert t.repeated(2).centres.tolist() == [[8, 6], [5, 7], [8, 6], [5, 7]]
    one = AffineWarp(SIZE, centre=(8.0, 6.0))
    assert one.repeated(3) is one


@pytest.mark.parametrize(("dx", "dy"), [(4, 0), (-4, 4), (12, -4)])
def test_a_shift_by_half_a_cell_takes_every_value_once(dx: int, dy: int) -> None:
    """Rounding halves to even would take every other value twice, and leave the rest out: noise in blocks of two."""
    latent = torch.arange(1, 1 + 8 * 12, dtype=torch.float32).view(1, 1, 8, 12)
    values = warp(latent, AffineWarp((64, 96), shift=(dx, dy)), "nearest").flatten().tolist()
    inside = [value for value in values if value > 0]
    assert len(inside) == len(set(inside)) >= 7 * 10
