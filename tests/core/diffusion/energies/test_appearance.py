"""Appearance energy: by plain loops, with two grids of different sizes, and its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.energies.appearance import appearance_energy
from tensors import rand


def soft(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


GENERATION = rand(2, 3, 4, 5, seed=1), rand(2, 6, 4, 5, seed=2)
REFERENCE = rand(2, 3, 6, 3, seed=3), rand(2, 6, 6, 3, seed=4)
REGION, WANTED = soft(1, 4, 5, seed=5), soft(1, 6, 3, seed=6)


def mean_vector(tap: Tensor, b: int, mask: Tensor) -> list[float]:
    cells = [(i, j) for i in range(mask.shape[1]) for j in range(mask.shape[2])]
    total = sum(float(mask[0, i, j]) for i, j in cells)
    return [sum(float(tap[b, c, i, j] * mask[0, i, j]) for i, j in cells) / total for c in range(tap.shape[1])]


def test_by_loops() -> None:
    got = appearance_energy(GENERATION, REFERENCE, REGION, WANTED, 3.5)
    for b in range(2):
        found = []
        for g, r in zip(GENERATION, REFERENCE, strict=True):
            x, y = mean_vector(g, b, REGION), mean_vector(r, b, WANTED)
            cosine = sum(p * q for p, q in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))
            found.append((cosine + 1) / 2)
        assert float(got[b]) == pytest.approx(3.5 / (1 + 4 * sum(found) / 2), rel=1e-9)


def test_least_where_the_looks_agree() -> None:
    same = appearance_energy(GENERATION, GENERATION, REGION, REGION, 3.5)
    torch.testing.assert_close(same, torch.full((2,), 3.5 / 5, dtype=torch.float64))
    assert (appearance_energy(GENERATION, REFERENCE, REGION, WANTED, 3.5) > same).all()


def test_the_shape_is_free() -> None:
    """Cells of a region may change places."""
    whole = torch.ones(1, 4, 5, dtype=torch.float64)
    turned = tuple(f.flip(2, 3) for f in GENERATION)
    torch.testing.assert_close(
        appearance_energy(GENERATION, REFERENCE, whole, WANTED, 1.0), appearance_energy(turned, REFERENCE, whole, WANTED, 1.0)
    )


def test_gradient() -> None:
    def energy(a: Tensor, b: Tensor) -> Tensor:
        return appearance_energy((a, b), REFERENCE, REGION, WANTED, 3.5)

    assert torch.autograd.gradcheck(energy, tuple(f.clone().requires_grad_(True) for f in GENERATION))
