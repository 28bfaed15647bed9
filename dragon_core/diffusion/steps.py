"""Regional SDE and time travel (DiffEditor, sections 3.3 and 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from .noise_model import VP, NoiseModel


def regional_sde_step(
    x: Tensor, direction: Tensor, sigma: Tensor, sigma_next: Tensor, eta: Tensor, noise: Tensor, noise_model: NoiseModel = VP
) -> Tensor:
    """An Euler-ancestral step whose amount of fresh noise varies over the image.

    ``sigma_up² = eta² sigma'² (sigma² − sigma'²) / sigma²`` and ``x' = x0 + sqrt(sigma'² − sigma_up²) eps + sigma_up n``, of a VP model;
    eta is (1 or B, 1, H, W) in [0, 1]: 0 is DDIM, 1 is DDPM. ``noise`` is unit normal with the shape of ``x``.
    """
    up_squared = eta.square() * noise_model.ancestral_variance(sigma, sigma_next)
    down = (sigma_next.square() - up_squared).clamp(min=0).sqrt()
    clean = x - sigma * direction
    return noise_model.joined(clean, down * noise_model.noise(x, direction, sigma), sigma_next) + up_squared.sqrt() * noise


def travel_back(x_next: Tensor, noise: Tensor, sigma: Tensor, sigma_next: Tensor, noise_model: NoiseModel = VP) -> Tensor:
    """Re-noise one level, from sigma_next back up to sigma, along the conditional prediction."""
    return noise_model.along(x_next, noise, sigma_next, sigma)


def unit_noise(shape: torch.Size, seed: int, step: int, draw: int) -> Tensor:
    """Unit normal noise on the CPU, a pure function of seed, step and draw: the same on every device and re-run."""
    mixed = (seed * 1_000_003 + step * 1_009 + draw) % (2**63)
    return torch.randn(shape, generator=torch.Generator().manual_seed(mixed))
