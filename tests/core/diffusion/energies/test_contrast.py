"""Contrast energy: w times the mean over the vacated area of S(F_gen(p), F_ref(p)); the one energy that pushes away."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

import tensors
from dragon_core.diffusion.energies.contrast import contrast_energy
from tensors import mean_similarity, rand

H, W = 4, 6


features = partial(tensors.features, size=(H, W))


def test_two_points_by_hand() -> None:
    """S = 0.8 and 0.5 at equal weight: 0.2 · 0.65."""
    generation = torch.tensor([[[[3.0, 0.0]], [[4.0, 9.0]]]], dtype=torch.float64)
    reference = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]], dtype=torch.float64)
    vacated = torch.tensor([[[0.5, 0.5]]], dtype=torch.float64)
    assert contrast_energy((generation,), (reference,), vacated, 0.2).tolist() == pytest.approx([0.13])


@pytest.mark.parametrize("masks", [1, 2])
def test_golden_numbers_by_loops(masks: int) -> None:
    generation, reference, vacated = features(1), features(2), rand(masks, H, W, seed=3).sigmoid()
    energy = contrast_energy(generation, reference, vacated, 0.2)
    assert energy.shape == (2,)
    for b in range(2):
        assert float(energy[b]) == pytest.approx(0.2 * mean_similarity(generation, reference, vacated, b))


def test_what_was_there_is_the_maximum() -> None:
    reference, vacated = features(4), torch.ones(1, H, W, dtype=torch.float64)
    worst = contrast_energy(reference, reference, vacated, 0.2)
    assert worst.tolist() == pytest.approx([0.2, 0.2])
    assert bool((contrast_energy(features(5), reference, vacated, 0.2) < worst).all())
    assert contrast_energy(tuple(-f for f in reference), reference, vacated, 0.2).tolist() == pytest.approx([0, 0])


def test_gradcheck() -> None:
    vacated = rand(1, H, W, seed=6).sigmoid()

    def energy(*taps: Tensor) -> Tensor:
        return contrast_energy(taps[:2], taps[2:], vacated, 0.2)

    assert torch.autograd.gradcheck(energy, tuple(f[:, :3].clone().requires_grad_() for f in (*features(7, 1), *features(8, 1))))


def test_nothing_vacated_costs_nothing() -> None:
    energy = contrast_energy(features(9), features(10), torch.zeros(1, H, W, dtype=torch.float64), 0.2)
    assert energy.tolist() == [0, 0]
