"""The displacement against loops over points and pairs, and what it promises: handles arrive, borders stay, nothing folds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragon_core.imaging.affine import Pair, warp
from dragon_core.imaging.point_warp import Displacement, capsules, depth, displacement, middles, nodes, sample

SIZE = (48, 80)
PAIRS: tuple[Pair, ...] = (((20.3, 12.1), (28.9, 17.2)), ((52.7, 30.4), (47.1, 33.8)), ((40.0, 20.0), (40.0, 20.0)))
AREA = torch.zeros(1, *SIZE)
AREA[:, 4:44, 6:74] = 1


def ends(pairs: tuple[Pair, ...], end: int) -> Tensor:
    return torch.tensor([[pair[end] for pair in pairs]], dtype=torch.float64)


def similarity_by_hand(point: tuple[float, float], pairs: list[Pair]) -> tuple[float, float]:
    """Moving least squares as in the paper: with complex numbers, q = b* + m (p − a*), m the best fit of b̂ by m â."""
    p = complex(*point)
    weights = [1 / (abs(p - complex(*a)) ** 2 + 1e-6) for a, _ in pairs]
    total = sum(weights)
    a_mean = sum(w * complex(*a) for w, (a, _) in zip(weights, pairs, strict=True)) / total
    b_mean = sum(w * complex(*b) for w, (_, b) in zip(weights, pairs, strict=True)) / total
    above = sum(w * (complex(*a) - a_mean).conjugate() * (complex(*b) - b_mean) for w, (a, b) in zip(weights, pairs, strict=True))
    below = sum(w * abs(complex(*a) - a_mean) ** 2 for w, (a, _) in zip(weights, pairs, strict=True))
    m = above / below if below / total > 1e-6 else 1
    q = b_mean + m * (p - a_mean)
    return q.real, q.imag


def test_every_node_follows_the_similarity_that_fits_best() -> None:
    field = displacement(PAIRS, SIZE)
    points = middles(nodes(SIZE), SIZE)
    for there, pairs in ((field.there, list(PAIRS)), (field.back, [(b, a) for a, b in PAIRS])):
        for row, column in [(0, 0), (5, 70), (12, 20), (17, 29), (30, 52), (47, 79), (20, 40)]:
            point = points[row, column]
            wanted = similarity_by_hand((float(point[0]), float(point[1])), pairs)
            torch.testing.assert_close(point + there[0, :, row, column], torch.tensor(wanted, dtype=torch.float64), atol=1e-6, rtol=0)


def test_one_pair_is_a_shift_of_everything() -> None:
    field = displacement(PAIRS[:1], SIZE)
    torch.testing.assert_close(field.there, torch.tensor([8.6, 5.1], dtype=torch.float64).view(1, 2, 1, 1).expand_as(field.there))
    torch.testing.assert_close(field.back, -field.there)


def test_pairs_of_one_similarity_give_that_similarity_everywhere() -> None:
    scale, turn, shift = 1.3, math.radians(25), torch.tensor([4.0, -3.0], dtype=torch.float64)
    matrix = scale * torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], dtype=torch.float64)
    handles = ends(PAIRS, 0)[0]
    targets = handles @ matrix.T + shift
    field = displacement([((a, b), (c, d)) for (a, b), (c, d) in zip(handles.tolist(), targets.tolist(), strict=True)], SIZE)
    points = middles(nodes(SIZE), SIZE)
    torch.testing.assert_close(field.forward(points), points @ matrix.T + shift, atol=1e-3, rtol=0)
    torch.testing.assert_close(field.inverse(points), (points - shift) @ torch.linalg.inv(matrix).T, atol=1e-3, rtol=0)


def test_contradicting_pairs_make_nothing_larger_than_the_limit() -> None:
    field = displacement([((40.0, 24.0), (20.0, 24.0)), ((41.0, 24.0), (60.0, 24.0))], SIZE)
    far = middles(nodes(SIZE), SIZE)[:, :4]
    moved = field.forward(middles(nodes(SIZE), SIZE))[:, :4]
    assert float((moved.diff(dim=0).norm(dim=-1) / far.diff(dim=0).norm(dim=-1)).max()) < 4.5
    assert torch.isfinite(field.there).all() and torch.isfinite(field.back).all()


@pytest.mark.parametrize("area", [None, AREA], ids=["everything", "area"])
@pytest.mark.parametrize("image_size", [SIZE, (SIZE[0] * 8, SIZE[1] * 8)], ids=["a node a pixel", "five pixels a node"])
def test_handles_arrive_at_their_targets(area: Tensor | None, image_size: tuple[int, int]) -> None:
    times = image_size[0] // SIZE[0]
    pairs = tuple(tuple((x * times, y * times) for x, y in pair) for pair in PAIRS)
    area = None if area is None else area.repeat_interleave(times, 1).repeat_interleave(times, 2)
    field = displacement(pairs, image_size, radius=3.0 * times, area=area)
    node = image_size[0] / nodes(image_size)[0]
    torch.testing.assert_close(field.forward(ends(pairs, 0)[None])[0], ends(pairs, 1), atol=0.15 * node, rtol=0)
    torch.testing.assert_close(field.inverse(ends(pairs, 1)[None])[0], ends(pairs, 0), atol=0.15 * node, rtol=0)


OPPOSED: tuple[Pair, ...] = (((30.0, 24.0), (22.0, 26.0)), ((50.0, 24.0), (58.0, 20.0)))


def test_with_nearest_each_point_goes_with_the_arrow_that_is_nearest() -> None:
    """Of two arrows that pull apart each has its own half, to the last node; a fit makes some of both of what lies between."""
    field = displacement(OPPOSED, SIZE, interpolation="nearest")
    points = middles(nodes(SIZE), SIZE)
    for found, pairs in ((field.there, OPPOSED), (field.back, tuple((b, a) for a, b in OPPOSED))):
        starts, ends_ = (torch.tensor([pair[end] for pair in pairs], dtype=torch.float64) for end in (0, 1))
        nearest = (points.unsqueeze(2) - starts).norm(dim=-1).argmin(-1)
        torch.testing.assert_close(found[0].movedim(0, -1), (ends_ - starts)[nearest])
        assert set(nearest.flatten().tolist()) == {0, 1}
    fitted = displacement(OPPOSED, SIZE).there[0, 0, 24]
    assert bool(((fitted > -6) & (fitted < 6)).any())


@pytest.mark.parametrize("area", [None, AREA])
def test_with_nearest_handles_arrive_and_borders_stay(area: Tensor | None) -> None:
    field = displacement(OPPOSED, SIZE, area=area, interpolation="nearest")
    torch.testing.assert_close(field.forward(ends(OPPOSED, 0)), ends(OPPOSED, 1), atol=0.5, rtol=0)
    if area is not None:
        outside = area[0] == 0
        moved = field.there if field.there.shape[-2:] == outside.shape else sample(field.there, middles(SIZE, SIZE)[None], SIZE)
        assert float(moved[0][:, outside].abs().max()) < 1e-9


def test_outside_of_the_area_nothing_moves() -> None:
    field = displacement(PAIRS, SIZE, area=AREA)
    outside = AREA[:, None].expand(-1, 2, -1, -1) == 0
    assert not field.there[outside].any()
    assert not field.back[outside].any()
    assert float(field.there[~outside].abs().max()) > 5


def test_what_lies_within_the_radius_goes_along_unstretched() -> None:
    pair: Pair = ((40.0, 24.0), (46.0, 24.0))
    field = displacement([pair], SIZE, radius=6.0, area=AREA)
    near = torch.tensor([[[x, y] for x, y in ((40.5, 24.5), (36.5, 24.5), (40.5, 28.5), (44.5, 22.5))]], dtype=torch.float64)
    torch.testing.assert_close(field.forward(near)[0], near[0] + torch.tensor([6.0, 0.0], dtype=torch.float64), atol=0.01, rtol=0)
    assert not torch.allclose(displacement([pair], SIZE, radius=0.0, area=AREA).forward(near)[0], field.forward(near)[0], atol=0.1)


@pytest.mark.parametrize("length", [8, 24, 44])
def test_a_long_way_through_an_area_folds_nothing(length: int) -> None:
    """Neighbours keep their order: the Jacobian of the way back is positive everywhere."""
    pair: Pair = ((14.0 + 4, 24.0), (14.0 + length, 26.0))
    back = displacement([pair], SIZE, radius=3.0, area=AREA).inverse(middles(SIZE, SIZE))
    across, down = back[:-1, 1:] - back[:-1, :-1], back[1:, :-1] - back[:-1, :-1]
    assert float((across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]).min()) > 0


def test_there_and_back_is_where_one_was() -> None:
    field = displacement(PAIRS, SIZE, radius=3.0, area=AREA)
    points = middles(SIZE, SIZE)
    off = (field.inverse(field.forward(points)) - points).norm(dim=-1)
    assert float(off.mean()) < 0.2 and float(off.max()) < 1.5
    inverted = field.inverted()
    torch.testing.assert_close(inverted.forward(points), field.inverse(points))
    torch.testing.assert_close(inverted.inverse(points), field.forward(points))


def test_depth_is_the_distance_to_the_nearest_cell_outside() -> None:
    area = torch.rand(2, 6, 9, generator=torch.Generator().manual_seed(3)) > 0.25
    found = depth(area.float(), (12, 27))  # cells of 2 × 3 pixels
    for mask, row in zip(area.tolist(), found, strict=True):
        for i in range(6):
            for j in range(9):
                outside = [(2 * (i - k), 3 * (j - m)) for k in range(6) for m in range(9) if not mask[k][m]]
                assert float(row[i, j]) == pytest.approx(0 if not mask[i][j] else min(math.hypot(*d) for d in outside))
    assert depth(torch.ones(1, 2, 2), (4, 4)).isinf().all()


def test_capsules_lie_round_the_ways() -> None:
    pairs = (((10.0, 10.0), (30.0, 20.0)), ((60.0, 40.0), (60.0, 40.0)))
    found = capsules(pairs, SIZE, (5.0, 8.0))
    assert found.shape == (1, *SIZE)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            px, py = x + 0.5, y + 0.5
            t = min(1.0, max(0.0, ((px - 10) * 20 + (py - 10) * 10) / 500))
            off = min(math.hypot(px - 10 - 20 * t, py - 10 - 10 * t) - 5, math.hypot(px - 60, py - 40) - 8)
            if abs(off) > 1e-6:
                assert float(found[0, y, x]) == float(off < 0)


def test_a_field_is_read_between_nodes_and_continued_beyond_the_frame() -> None:
    field = torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]], dtype=torch.float64)
    at = torch.tensor([[[[4.0, 4.0], [1.0, 1.0], [-50.0, 1.0], [3.0, 2.0]]]], dtype=torch.float64)
    assert sample(field, at, (8, 8))[0, 0, 0].tolist() == pytest.approx([6.0, 0.0, 0.0, 1.0])


def test_it_warps_as_an_affine_map_does() -> None:
    """What is at a handle is found at its target."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    image = torch.stack([x, y]).unsqueeze(0)
    moved = warp(image, displacement(PAIRS, SIZE, radius=3.0, area=AREA), beyond="border")
    for handle, target in PAIRS:
        column, row = int(target[0]), int(target[1])
        off = torch.tensor([target[0] - column - 0.5, target[1] - row - 0.5])
        assert torch.dist(moved[0, :, row, column] + off, torch.tensor(handle)) < 1.0


def test_each_of_several_areas_has_a_displacement_of_its_own() -> None:
    other = AREA.clone()
    other[:, :, 50:] = 0
    pairs = PAIRS[:1]
    both = displacement(pairs, SIZE, area=torch.cat([AREA, other]))
    torch.testing.assert_close(both.there[:1], displacement(pairs, SIZE, area=AREA).there)
    torch.testing.assert_close(both.back[1:], displacement(pairs, SIZE, area=other).back)
    image = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    alone = warp(image[1:], displacement(pairs, SIZE, area=other))
    torch.testing.assert_close(warp(image, both)[1:], alone)
    assert (both.count, both.repeated(2).count, displacement(pairs, SIZE).repeated(2).count) == (2, 4, 1)
    torch.testing.assert_close(warp(image.repeat(2, 1, 1, 1), both.repeated(2))[3:], alone)


def test_a_part_of_the_picture_keeps_its_displacement() -> None:
    field = displacement(PAIRS, SIZE, radius=3.0, area=AREA)
    part = field.cropped((40, 72), (4, 4))
    assert isinstance(part, Displacement) and part.image_size == (40, 72)
    points = middles((40, 72), (40, 72))
    torch.testing.assert_close(part.forward(points), field.forward(points + 4) - 4)


@pytest.mark.parametrize("handle", [(0.0, 0.0), (80.0, 48.0), (40.0, 0.0), (20.5, 12.5)])
def test_handles_anywhere_in_an_area_without_a_border(handle: tuple[float, float]) -> None:
    """At corners and on cells' middles, too: there is nothing to fade to, so it is as without an area."""
    pairs = ((handle, (30.0, 20.0)), ((60.0, 30.0), (62.0, 30.0)))
    free, everywhere = displacement(pairs, SIZE, 5.0), displacement(pairs, SIZE, 5.0, torch.ones(1, *SIZE))
    torch.testing.assert_close(everywhere.there, free.there)
    torch.testing.assert_close(everywhere.back, free.back)
