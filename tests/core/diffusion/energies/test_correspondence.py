"""Edit energy: w / (1 + 4 mean over the target of S(F_gen(p), F_ref(T⁻¹ p))), looked up point by point."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

import tensors
from dragon_core.diffusion.energies.correspondence import correspondence_energy
from dragon_core.imaging.affine import AffineWarp
from tensors import rand, s

H, W, CELL = 5, 7, 4
SIZE = (H * CELL, W * CELL)


features = partial(tensors.features, size=(H, W))


def target_block(masks: int = 1) -> Tensor:
    """Rows 1–3, columns 3–5 in different strengths; a second mask has others."""
    mask = torch.zeros(masks, H, W, dtype=torch.float64)
    mask[:, 1:4, 3:6] = rand(masks, 3, 3, seed=9).sigmoid()
    return mask


def test_two_points_by_hand() -> None:
    """One cell right: S = 0.8 for (3, 4) on (1, 0) and 0.5 for (0, 2) on (1, 0), so 10 / (1 + 4 · 0.65) = 10 / 3.6."""
    reference, generation = torch.zeros(1, 2, 2, 2, dtype=torch.float64), torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    reference[0, :, 0, 0], reference[0, :, 1, 0] = (torch.tensor([1.0, 0.0], dtype=torch.float64) for _ in range(2))
    generation[0, :, 0, 1] = torch.tensor([3.0, 4.0])
    generation[0, :, 1, 1] = torch.tensor([0.0, 2.0])
    target = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]], dtype=torch.float64)
    energy = correspondence_energy((generation,), (reference,), target, AffineWarp((8, 8), shift=(4, 0)), 10.0)
    assert energy.tolist() == pytest.approx([10 / 3.6])


@pytest.mark.parametrize("masks", [1, 2])
@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (2, 1), (1, -1)])
def test_golden_numbers_by_loops(right: int, down: int, masks: int) -> None:
    generation, reference, target = features(1), features(2), target_block(masks)
    energy = correspondence_energy(generation, reference, target, AffineWarp(SIZE, shift=(right * CELL, down * CELL)), 4.0)
    assert energy.shape == (2,)
    for b in range(2):
        total = weight = 0.0
        for i in range(1, 4):
            for j in range(3, 6):
                pairs = zip(generation, reference, strict=True)
                local = [s(g[b, :, i, j].tolist(), r[b, :, i - down, j - right].tolist()) for g, r in pairs]
                m = float(target[b % masks, i, j])
                total += m * sum(local) / 2
                weight += m
        assert float(energy[b]) == pytest.approx(4 / (1 + 4 * total / weight))


def test_enlarged_object_is_matched_between_cells() -> None:
    """Scale 2 about the corner: the target's cell (i, j) looks at ((i + ½) / 2 − ½, …), between cells, on smooth features."""
    y, x = torch.meshgrid(torch.arange(H, dtype=torch.float64), torch.arange(W, dtype=torch.float64), indexing="ij")
    reference = (torch.stack((y, x, torch.ones_like(x))).unsqueeze(0),)
    generation = (rand(1, 3, H, W, seed=3),)
    target = target_block()
    energy = correspondence_energy(generation, reference, target, AffineWarp(SIZE, matrix=((2.0, 0.0), (0.0, 2.0))), 4.0)
    total = weight = 0.0
    for i in range(1, 4):
        for j in range(3, 6):
            m = float(target[0, i, j])
            total += m * s(generation[0][0, :, i, j].tolist(), [(i + 0.5) / 2 - 0.5, (j + 0.5) / 2 - 0.5, 1.0])
            weight += m
    assert float(energy) == pytest.approx(4 / (1 + 4 * total / weight))


def test_an_object_in_its_new_place_is_the_minimum() -> None:
    """w / 5 where the generation has the reference's features at the target; more for anything else."""
    reference = features(4)
    generation = tuple(torch.roll(f, (1, 2), (2, 3)) for f in reference)
    transform = AffineWarp(SIZE, shift=(2 * CELL, CELL))
    best = correspondence_energy(generation, reference, target_block(), transform, 4.0)
    assert best.tolist() == pytest.approx([0.8, 0.8])
    assert bool((correspondence_energy(features(5), reference, target_block(), transform, 4.0) > best).all())
    assert bool((correspondence_energy(reference, reference, target_block(), transform, 4.0) > best).all()), "left where it was"


def test_nothing_outside_the_target_counts() -> None:
    generation, reference, target = features(6), features(7), target_block()
    transform = AffineWarp(SIZE, shift=(CELL, 0))
    changed = tuple(torch.where(target.unsqueeze(1) > 0, g, torch.randn_like(g)) for g in generation)
    before, after = (correspondence_energy(g, reference, target, transform, 4.0) for g in (generation, changed))
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("shift", [(CELL, 0), (5.3, -2.2)])
def test_gradcheck(shift: tuple[float, float]) -> None:
    generation, reference = ((f[:, :2].clone() for f in features(seed, 1)) for seed in (8, 9))
    transform = AffineWarp(SIZE, shift=shift, matrix=((1.1, 0.2), (-0.1, 0.9)), centre=(12.0, 9.0))

    def energy(*taps: Tensor) -> Tensor:
        return correspondence_energy(taps[:2], taps[2:], target_block(), transform, 4.0)

    assert torch.autograd.gradcheck(energy, tuple(f.requires_grad_() for f in (*generation, *reference)))
