"""The common grid, similarity and region means, each against loops over plain numbers."""

from __future__ import annotations

import pytest
import torch

from dragon_core.diffusion.features import exact, grid_size, masked_mean, region_mean, similarity, similarity_map, to_grid
from tensors import rand, s


@pytest.mark.parametrize(
    ("taps", "expected"),
    [
        ([(8, 8), (16, 16)], (32, 32)),
        ([(16, 16), (8, 8)], (32, 32)),
        ([(8, 12), (16, 24)], (32, 48)),
        ([(12, 8), (24, 16)], (48, 32)),
        ([(5, 7), (9, 13)], (18, 26)),
        ([(8, 8)], (16, 16)),
        ([(4, 5), (8, 10), (16, 20)], (32, 40)),
    ],
)
def test_grid_is_twice_the_shallowest_tap(taps: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    assert grid_size(taps) == expected


def resize_by_hand(plane: list[list[float]], size: tuple[int, int]) -> list[list[float]]:
    """Bilinear with cell centres as sample points, edges repeated."""
    h, w = len(plane), len(plane[0])
    out = []
    for i in range(size[0]):
        row = min(max((i + 0.5) * h / size[0] - 0.5, 0.0), h - 1.0)
        line = []
        for j in range(size[1]):
            column = min(max((j + 0.5) * w / size[1] - 0.5, 0.0), w - 1.0)
            r, c = min(int(row), h - 2), min(int(column), w - 2)
            u, v = row - r, column - c
            line.append((1 - u) * ((1 - v) * plane[r][c] + v * plane[r][c + 1]) + u * ((1 - v) * plane[r + 1][c] + v * plane[r + 1][c + 1]))
        out.append(line)
    return out


@pytest.mark.parametrize("sizes", [[(2, 3), (4, 6)], [(3, 2), (6, 4)], [(3, 4), (5, 7)], [(4, 6), (2, 3)]], ids=str)
def test_taps_of_any_size_come_to_one_grid(sizes: list[tuple[int, int]]) -> None:
    taps = tuple(rand(2, 3 + n, *size, seed=n) for n, size in enumerate(sizes))
    grid = (2 * max(h for h, _ in sizes), 2 * max(w for _, w in sizes))
    out = to_grid(taps)
    assert [tuple(t.shape) for t in out] == [(2, 3, *grid), (2, 4, *grid)]
    for tap, resized in zip(taps, out, strict=True):
        for b in range(2):
            for c in range(tap.shape[1]):
                torch.testing.assert_close(resized[b, c], torch.tensor(resize_by_hand(tap[b, c].tolist(), grid)), rtol=0, atol=1e-5)


def test_grid_is_single_precision_whatever_the_model_runs_in() -> None:
    """Similarities of half-precision features would be too coarse for an energy."""
    for kind in (torch.float16, torch.bfloat16, torch.float32):
        assert to_grid((rand(1, 2, 3, 4).to(kind),))[0].dtype == torch.float32


def test_gradient_flows_through_the_grid() -> None:
    tap = rand(1, 2, 3, 4).float().requires_grad_()
    to_grid((tap,))[0].sum().backward()
    assert tap.grad is not None
    torch.testing.assert_close(tap.grad.sum(), torch.tensor(2.0 * 6 * 8))


def test_similarity_of_known_angles() -> None:
    """cos = 1, 0.6, 0, −1 gives 1, 0.8, 0.5, 0, whatever the lengths."""
    a = torch.tensor([[2.0, 0.0]] * 4, dtype=torch.float64)
    b = torch.tensor([[5.0, 0.0], [3.0, 4.0], [0.0, 7.0], [-0.1, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(similarity(a, b), torch.tensor([1.0, 0.8, 0.5, 0.0], dtype=torch.float64))


def test_similarity_lies_in_0_to_1_and_is_symmetric() -> None:
    a, b = rand(3, 320, 8, 8, seed=1).float(), rand(3, 320, 8, 8, seed=2).float()
    for x, y in ((a, b), (a, a), (a, -a), (a, 1e4 * a), (a, torch.zeros_like(a))):
        value = similarity(x, y)
        assert value.shape == (3, 8, 8)
        assert float(value.min()) >= -1e-6 and float(value.max()) <= 1 + 1e-6
        torch.testing.assert_close(value, similarity(y, x))


def test_similarity_ignores_length() -> None:
    a, b = rand(2, 5, 3, 4, seed=3), rand(2, 5, 3, 4, seed=4)
    scale = rand(2, 1, 3, 4, seed=5).abs() + 0.1
    torch.testing.assert_close(similarity(scale * a, b), similarity(a, b))


def test_no_feature_vector_makes_a_gradient_that_is_not_a_number() -> None:
    """Outside the frame the warped reference is zero, and a dead channel stack may be."""
    for a, b in ((torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2)), (torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2))):
        a.requires_grad_()
        value = similarity(a, b)
        assert torch.equal(value, torch.full((1, 2, 2), 0.5))
        value.sum().backward()
        assert a.grad is not None and torch.isfinite(a.grad).all()


def test_similarity_map_averages_the_taps() -> None:
    """Each tap counts the same, however many channels it has."""
    a, b = (rand(2, 3, 2, 4, seed=6), rand(2, 9, 2, 4, seed=7)), (rand(2, 3, 2, 4, seed=8), rand(2, 9, 2, 4, seed=9))
    got = similarity_map(a, b)
    assert got.shape == (2, 2, 4)
    for n in range(2):
        for i in range(2):
            for j in range(4):
                expected = sum(s(x[n, :, i, j].tolist(), y[n, :, i, j].tolist()) for x, y in zip(a, b, strict=True)) / 2
                assert float(got[n, i, j]) == pytest.approx(expected)


def test_similarity_map_refuses_feature_sets_of_different_length() -> None:
    with pytest.raises(ValueError, match="zip"):
        similarity_map((rand(1, 2, 2, 2),), (rand(1, 2, 2, 2), rand(1, 2, 2, 2)))


@pytest.mark.parametrize("masks", [1, 2])
def test_region_means_by_loops(masks: int) -> None:
    """Weighted by the soft mask; one mask serves every picture of the batch."""
    features = (rand(2, 3, 3, 4, seed=10), rand(2, 5, 3, 4, seed=11))
    mask = rand(masks, 3, 4, seed=12).sigmoid()
    got = region_mean(features, mask)
    assert [tuple(g.shape) for g in got] == [(2, 3), (2, 5)]
    for tap, mean in zip(features, got, strict=True):
        for n in range(2):
            weights = mask[n % masks].flatten().tolist()
            for c in range(tap.shape[1]):
                values = tap[n, c].flatten().tolist()
                expected = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
                assert float(mean[n, c]) == pytest.approx(expected)


@pytest.mark.parametrize("masks", [1, 2])
def test_masked_mean_by_loops(masks: int) -> None:
    values, mask = rand(2, 3, 4, seed=13), rand(masks, 3, 4, seed=14).sigmoid()
    got = masked_mean(values, mask)
    for n in range(2):
        weights = mask[n % masks].flatten().tolist()
        expected = sum(v * w for v, w in zip(values[n].flatten().tolist(), weights, strict=True)) / sum(weights)
        assert float(got[n]) == pytest.approx(expected)


def test_empty_regions_give_zero() -> None:
    empty = torch.zeros(1, 3, 4, dtype=torch.float64)
    assert torch.equal(masked_mean(rand(2, 3, 4), empty), torch.zeros(2, dtype=torch.float64))
    assert torch.equal(region_mean((rand(2, 5, 3, 4),), empty)[0], torch.zeros(2, 5, dtype=torch.float64))


def test_a_gradient_stops_at_exact_taps() -> None:
    """A shallow tap comes of a deep one; energies' slopes are at each alone."""
    chained = rand(1, 2, 3, 4).requires_grad_() * 1
    taps = exact((chained, chained * 3))
    assert [float(s.mean()) for s in torch.autograd.grad((taps[0] + 2 * taps[1]).sum(), taps)] == [1.0, 2.0]
