"""Inpaint energy: w / (1 + 4 S(mean over the vacated area of F_gen, mean over the fill of F_ref)), means first, then S."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

import tensors
from dragon_core.diffusion.energies.inpaint import inpaint_energy
from tensors import rand, s

H, W = 4, 6


features = partial(tensors.features, size=(H, W))


def mean_by_hand(tap: Tensor, mask: Tensor) -> list[float]:
    """Mean vector of one picture's tap (C, h, w) over one mask (h, w)."""
    weights = mask.flatten().tolist()
    return [sum(v * w for v, w in zip(channel.flatten().tolist(), weights, strict=True)) / sum(weights) for channel in tap]


def two_masks(masks: int) -> tuple[Tensor, Tensor]:
    return rand(masks, H, W, seed=30).sigmoid(), rand(masks, H, W, seed=31).sigmoid()


def test_by_hand_means_come_first() -> None:
    """Vacated (6, 0) and (0, 8) have mean (3, 4); fill (1, 1) and (1, −1) have mean (1, 0): S = 0.8, not the mean of four."""
    generation = torch.tensor([[[[6.0, 0.0, 50.0]], [[0.0, 8.0, 50.0]]]], dtype=torch.float64)
    reference = torch.tensor([[[[1.0, 1.0, 50.0]], [[1.0, -1.0, 50.0]]]], dtype=torch.float64)
    mask = torch.tensor([[[1.0, 1.0, 0.0]]], dtype=torch.float64)
    assert inpaint_energy((generation,), (reference,), mask, mask, 0.8).tolist() == pytest.approx([0.8 / 4.2])


@pytest.mark.parametrize("masks", [1, 2])
def test_golden_numbers_by_loops(masks: int) -> None:
    generation, reference, (vacated, fill) = features(1), features(2), two_masks(masks)
    energy = inpaint_energy(generation, reference, vacated, fill, 0.8)
    assert energy.shape == (2,)
    for b in range(2):
        pairs = zip(generation, reference, strict=True)
        by_tap = [s(mean_by_hand(g[b], vacated[b % masks]), mean_by_hand(r[b], fill[b % masks])) for g, r in pairs]
        assert float(energy[b]) == pytest.approx(0.8 / (1 + 4 * sum(by_tap) / 2))


def test_arrangement_inside_the_regions_is_free() -> None:
    """Only the means count: shuffling the vacated cells changes nothing."""
    generation, reference = features(3), features(4)
    vacated, fill = torch.zeros(1, H, W, dtype=torch.float64), torch.zeros(1, H, W, dtype=torch.float64)
    vacated[:, 1:3, 1:3], fill[:, :, 4:] = 1, 1
    shuffled = tuple(g.clone() for g in generation)
    for g in shuffled:
        g[:, :, 1:3, 1:3] = g[:, :, 1:3, 1:3].flip(2, 3)
    before, after = (inpaint_energy(g, reference, vacated, fill, 0.8) for g in (generation, shuffled))
    torch.testing.assert_close(after, before)


def test_fill_in_the_vacated_place_is_the_minimum() -> None:
    """The vacated place filled with the mean look of the fill gives w / 5."""
    reference, (vacated, fill) = features(5), two_masks(1)
    generation = []
    for f in reference:
        means = torch.tensor([mean_by_hand(f[b], fill[0]) for b in range(2)], dtype=torch.float64)
        generation.append(means[:, :, None, None].expand_as(f))
    best = inpaint_energy(tuple(generation), reference, vacated, fill, 0.8)
    assert best.tolist() == pytest.approx([0.16, 0.16])
    assert bool((inpaint_energy(features(6), reference, vacated, fill, 0.8) > best).all())


def test_gradcheck() -> None:
    vacated, fill = two_masks(1)

    def energy(*taps: Tensor) -> Tensor:
        return inpaint_energy(taps[:2], taps[2:], vacated, fill, 0.8)

    assert torch.autograd.gradcheck(energy, tuple(f[:, :3].clone().requires_grad_() for f in (*features(7, 1), *features(8, 1))))


@pytest.mark.parametrize("masks", [1, 2])
def test_nothing_vacated_costs_nothing_and_pulls_nowhere(masks: int) -> None:
    generation = tuple(f.requires_grad_() for f in features(9))
    _, fill = two_masks(masks)
    energy = inpaint_energy(generation, features(10), torch.zeros(masks, H, W, dtype=torch.float64), fill, 0.8)
    assert energy.tolist() == [0, 0]
    for slope in torch.autograd.grad(energy.sum(), generation):
        assert float(slope.abs().max()) == 0


def test_a_picture_with_nothing_vacated_does_not_silence_its_neighbour() -> None:
    generation, reference, (vacated, fill) = features(11), features(12), two_masks(2)
    vacated = vacated * torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1)
    energy = inpaint_energy(generation, reference, vacated, fill, 0.8)
    assert float(energy[0]) == 0 and float(energy[1]) > 0.1
