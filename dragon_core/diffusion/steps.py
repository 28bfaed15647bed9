"""Regional SDE and time travel (DiffEditor, sections 3.3 and 3.4), in sigma-space."""

from __future__ import annotations

import torch
from torch import Tensor


def regional_sde_step(x: Tensor, eps: Tensor, sigma: Tensor, sigma_next: Tensor, eta: Tensor, noise: Tensor) -> Tensor:
    """An Euler-ancestral step whose amount of fresh noise varies over the image.

    ``sigma_up² = eta² sigma'² (sigma² − sigma'²) / sigma²`` and ``x' = x0 + sqrt(sigma'² − sigma_up²) eps + sigma_up n``;
    eta is (1 or B, 1, H, W) in [0, 1]: 0 is DDIM, 1 is DDPM. ``noise`` is unit normal with the shape of ``x``.
    """
    up_squared = eta.square() * (sigma_next.square() * (sigma.square() - sigma_next.square()) / sigma.square())
    down = (sigma_next.square() - up_squared).clamp(min=0).sqrt()
    return x - sigma * eps + down * eps + up_squared.sqrt() * noise


def travel_back(x_next: Tensor, eps_positive: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """Re-noise one level, from sigma_next back up to sigma, along the conditional prediction (no evaluation needed)."""
    return x_next + eps_positive * (sigma - sigma_next)


def unit_noise(shape: torch.Size, seed: int, step: int, draw: int) -> Tensor:
    """Unit normal noise on the CPU, a pure function of seed, step and draw: the same on every device and re-run."""
    mixed = (seed * 1_000_003 + step * 1_009 + draw) % (2**63)
    return torch.randn(shape, generator=torch.Generator().manual_seed(mixed))
