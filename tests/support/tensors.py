"""Tensors that many tests of the core use: noise by seed, features of two taps, masks of one block."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rand(*shape: int, seed: int = 0) -> Tensor:
    """Unit normal, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def features(seed: int, batch: int = 2, *, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Two taps of 3 and 5 channels on one grid (h, w)."""
    return rand(batch, 3, *size, seed=seed), rand(batch, 5, *size, seed=seed + 100)


def block(size: tuple[int, int], top: int, bottom: int, left: int, right: int) -> Tensor:
    """A mask (1, H, W) of one block."""
    mask = torch.zeros(1, *size)
    mask[0, top:bottom, left:right] = 1
    return mask


def s(a: list[float], b: list[float]) -> float:
    """S = (cos + 1) / 2 of two vectors, by hand."""
    return (sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b)) + 1) / 2


def mean_similarity(a: tuple[Tensor, ...], b: tuple[Tensor, ...], weight: Tensor, picture: int) -> float:
    """The weighted mean over a grid of S, itself the mean over the taps, of one picture of a batch: by loops. weight: (M, h, w)."""
    total = mass = 0.0
    for i, row in enumerate(weight[picture % len(weight)].tolist()):
        for j, share in enumerate(row):
            local = [s(x[picture, :, i, j].tolist(), y[picture, :, i, j].tolist()) for x, y in zip(a, b, strict=True)]
            total, mass = total + share * sum(local) / len(local), mass + share
    return total / mass
