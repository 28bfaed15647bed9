"""The energies of point dragging against loops over pairs, patches and cells with plain numbers."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

import tensors
from dragon_core.diffusion.energies.points import patches, points_energy, repulsion_energy
from tensors import s

#: 24 × 40 pixels on a grid of 6 × 10: cells of 4 pixels. Not square, so that x and y cannot change places unseen.
SIZE, GRID, CELL = (24, 40), (6, 10), 4
HANDLES = [(7.3, 9.1), (22.0, 14.0), (38.9, 3.0)]
TARGETS = [(13.7, 11.9), (28.5, 6.2), (30.0, 20.5)]


features = partial(tensors.features, size=GRID)


def tensor(points: list[tuple[float, float]]) -> Tensor:
    return torch.tensor(points, dtype=torch.float64)


def read(feature: list[list[list[float]]], x: float, y: float) -> list[float]:
    """Bilinear between the middles of cells, by hand; the border goes on beyond the frame."""
    u = min(max(x / CELL - 0.5, 0.0), GRID[1] - 1.0)
    v = min(max(y / CELL - 0.5, 0.0), GRID[0] - 1.0)
    j, i = min(int(u), GRID[1] - 2), min(int(v), GRID[0] - 2)
    a, b = u - j, v - i
    return [(1 - b) * ((1 - a) * c[i][j] + a * c[i][j + 1]) + b * ((1 - a) * c[i + 1][j] + a * c[i + 1][j + 1]) for c in feature]


def patch(x: float, y: float) -> list[tuple[float, float]]:
    return [(x + CELL * dx, y + CELL * dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def test_each_pair_pulls_its_patch_and_the_mean_counts() -> None:
    generation, reference = features(0), features(1)
    found = points_energy(generation, reference, tensor(HANDLES), tensor(TARGETS), SIZE, 4.0)
    for row in range(2):
        total = 0.0
        for handle, target in zip(HANDLES, TARGETS, strict=True):
            similar = 0.0
            for g, r in zip(generation, reference, strict=True):
                for there, here in zip(patch(*target), patch(*handle), strict=True):
                    similar += s(read(g[row].tolist(), *there), read(r[row].tolist(), *here)) / 18
            total += 4.0 / (1 + 4 * similar)
        assert float(found[row]) == pytest.approx(total / 3)


def test_departure_pushes_from_what_was_there_but_for_what_belongs_to_a_target() -> None:
    generation, reference = features(2), features(3)
    found = repulsion_energy(generation, reference, tensor(HANDLES), tensor(TARGETS), SIZE, 0.2)
    left = [
        p for handle in HANDLES for p in patch(*handle) if all(abs(p[0] - x) > 1.5 * CELL or abs(p[1] - y) > 1.5 * CELL for x, y in TARGETS)
    ]
    assert 9 < len(left) < 27
    for row in range(2):
        similar = [
            s(read(g[row].tolist(), *p), read(r[row].tolist(), *p)) for g, r in zip(generation, reference, strict=True) for p in left
        ]
        assert float(found[row]) == pytest.approx(0.2 * sum(similar) / len(similar))


def test_pins_push_nothing_away() -> None:
    generation = features(4)
    assert repulsion_energy(generation, features(5), tensor(HANDLES), tensor(HANDLES), SIZE, 1.0).tolist() == [0.0, 0.0]


def test_content_that_has_arrived_is_the_least() -> None:
    """Features moved by whole cells: S = 1 at the target, so w / 5."""
    reference = features(6)
    generation = tuple(torch.roll(f, (1, 2), (2, 3)) for f in reference)
    arrived = points_energy(generation, reference, tensor([(14.0, 10.0)]), tensor([(22.0, 14.0)]), SIZE, 4.0)
    torch.testing.assert_close(arrived, torch.full((2,), 0.8, dtype=torch.float64))


def test_the_gradient_is_that_of_the_energy_and_stays_at_the_patches() -> None:
    reference = features(7)
    generation = tuple(f.requires_grad_() for f in features(8))
    where = tensor(HANDLES[:1]), tensor(TARGETS[:1])

    def total(*g: Tensor) -> Tensor:
        return points_energy(g, reference, *where, SIZE, 4.0) + repulsion_energy(g, reference, *where, SIZE, 0.2)

    assert torch.autograd.gradcheck(total, generation)
    points_energy(generation, reference, *where, SIZE, 4.0).sum().backward()
    touched = generation[0].grad.abs().sum((0, 1)) > 0
    rows, columns = torch.nonzero(touched, as_tuple=True)
    assert touched.any()
    assert all(abs((int(c) + 0.5) * CELL - 13.7) < 2 * CELL for c in columns)
    assert all(abs((int(r) + 0.5) * CELL - 11.9) < 2 * CELL for r in rows)


def test_patches_have_a_place_for_each_pair_and_each_of_nine_cells() -> None:
    assert [tuple(p.shape) for p in patches(features(9), tensor(HANDLES), SIZE)] == [(2, 3, 3, 9), (2, 5, 3, 9)]
