"""Content energy: w / (1 + 4 mean over the rest of S(F_gen(p), F_ref(p)))."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

import tensors
from dragon_core.diffusion.energies.content import content_energy
from tensors import mean_similarity, rand

H, W = 4, 6


features = partial(tensors.features, size=(H, W))


def test_two_points_by_hand() -> None:
    """S = 0.8 at weight 1 and 0 at weight ⅓: mean 0.6, so 6 / (1 + 2.4)."""
    generation = torch.tensor([[[[3.0, -1.0]], [[4.0, 0.0]]]], dtype=torch.float64)
    reference = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]], dtype=torch.float64)
    rest = torch.tensor([[[1.0, 1 / 3]]], dtype=torch.float64)
    assert content_energy((generation,), (reference,), rest, 6.0).tolist() == pytest.approx([6 / 3.4])


@pytest.mark.parametrize("masks", [1, 2])
def test_golden_numbers_by_loops(masks: int) -> None:
    generation, reference, rest = features(1), features(2), rand(masks, H, W, seed=3).sigmoid()
    energy = content_energy(generation, reference, rest, 6.0)
    assert energy.shape == (2,)
    for b in range(2):
        assert float(energy[b]) == pytest.approx(6 / (1 + 4 * mean_similarity(generation, reference, rest, b)))


def test_an_untouched_rest_is_the_minimum_with_no_slope() -> None:
    reference = features(4)
    generation = tuple(f.clone().requires_grad_() for f in reference)
    rest = torch.ones(1, H, W, dtype=torch.float64)
    energy = content_energy(generation, reference, rest, 6.0)
    assert energy.tolist() == pytest.approx([1.2, 1.2])
    for slope in torch.autograd.grad(energy.sum(), generation):
        torch.testing.assert_close(slope, torch.zeros_like(slope))
    assert bool((content_energy(features(5), reference, rest, 6.0) > energy).all())


def test_gradcheck() -> None:
    rest = rand(1, H, W, seed=6).sigmoid()

    def energy(*taps: Tensor) -> Tensor:
        return content_energy(taps[:2], taps[2:], rest, 6.0)

    assert torch.autograd.gradcheck(energy, tuple(f[:, :3].clone().requires_grad_() for f in (*features(7, 1), *features(8, 1))))


def test_no_rest_pulls_nowhere() -> None:
    generation = tuple(f.requires_grad_() for f in features(9))
    energy = content_energy(generation, features(10), torch.zeros(1, H, W, dtype=torch.float64), 6.0)
    for slope in torch.autograd.grad(energy.sum(), generation):
        assert float(slope.abs().max()) == 0
