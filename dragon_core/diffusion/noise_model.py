"""How a model's latents mix picture and noise, x = α(σ) x0 + σ n, and what follows from it.

Two kinds, each in ComfyUI's own sampling variable:

- variance preserving (``VP``; Stable Diffusion 1.x, 2.x, SDXL): α = 1, σ from 0 to 15 or so. Whether the network predicts the noise or v
  makes no difference here: the host turns either into a denoised latent x̂0.
- rectified flow (``FLOW``; arXiv 2209.03003; SD3, Flux, Qwen-Image, …): α = 1 − σ, σ from 0 to 1. The network predicts v = n − x0.

The papers' latent is z = x / sqrt(α² + σ²), which is as wide as a picture's at every level; in z and σ/α both kinds are the same thing. A
step needs neither: with the *direction* d = (x − x̂0) / σ, ε̂ of a VP model and v̂ of a flow, x' = x + (σ' − σ) d is DDIM's step in both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from typing_extensions import override

#: Timesteps of Stable Diffusion, by whose noise levels shares of a schedule are told.
TIMESTEPS = 1000
#: Guidance moves x̂0 by σ/α times g. At a flow's noisiest level α is 0; from here on (about SD's noisiest level) it grows no further.
LEAST_ALPHA = 1 / 16


@dataclass(frozen=True)
class NoiseModel(ABC):
    """One kind of model. ``sigma`` has no dimension, or broadcasts over latents; all else are latents of one shape."""

    @abstractmethod
    def alpha(self, sigma: Tensor) -> Tensor:
        """How much of the picture is in x."""

    @abstractmethod
    def c_in(self, sigma: Tensor) -> Tensor:
        """What x is multiplied by before the network sees it."""

    @abstractmethod
    def noise(self, x: Tensor, direction: Tensor, sigma: Tensor) -> Tensor:
        """n̂ of a prediction: x = α x̂0 + σ n̂."""

    @abstractmethod
    def along(self, x: Tensor, noise: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        """The latent at another level, up or down, of the picture that x shows under this unit noise."""

    @abstractmethod
    def ancestral_variance(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        """Of the fresh noise in a DDPM step (arXiv 2006.11239, equation 7)."""

    @abstractmethod
    def guidance_scale(self, sigma: Tensor) -> Tensor:
        """How far x̂0 goes for g added to n̂: σ/α."""

    def variance(self, sigma: Tensor) -> Tensor:
        """α² + σ²."""
        return self.alpha(sigma) ** 2 + sigma**2

    def log_snr(self, sigma: Tensor) -> Tensor:
        """log(α² / σ²): −∞ for noise alone, ∞ for the clean picture."""
        return 2 * (self.alpha(sigma).log() - sigma.log())

    def progress(self, sigma: Tensor) -> Tensor:
        """How much of a schedule has gone by at a level, from 0 at the noisiest to 1 at the cleanest: float64.

        Told by the ratio σ/α alone, as the share of Stable Diffusion's timesteps above the one that has it. So a share means the same
        however many steps a schedule has, however they are spaced, and for every model; of equal timesteps it is the share of the steps.
        """
        logs = _log_ratios()
        at = (-self.log_snr(sigma.detach().double().cpu()) / 2).clamp(float(logs[0]), float(logs[-1]))
        above = torch.searchsorted(logs, at).clamp(1, TIMESTEPS - 1)
        low, high = logs[above - 1], logs[above]
        return 1 - (above - 1 + (at - low) / (high - low)) / (TIMESTEPS - 1)

    def gradient_scale(self, sigma: Tensor) -> Tensor:
        """∇_z is this times the gradient by the network's input, x times :meth:`c_in`."""
        return self.c_in(sigma) * self.variance(sigma).sqrt()

    def noise_part(self, x: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
        """σ n of a latent whose picture is known."""
        return x - self.alpha(sigma) * clean

    def joined(self, clean: Tensor, noise_part: Tensor, sigma: Tensor) -> Tensor:
        """The latent of a picture and σ n, which undoes :meth:`noise_part`."""
        return self.alpha(sigma) * clean + noise_part


@dataclass(frozen=True)
class VariancePreserving(NoiseModel):
    """x = x0 + σ n; DDIM's ᾱ is 1 / (1 + σ²)."""

    @override
    def alpha(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)

    @override
    def c_in(self, sigma: Tensor) -> Tensor:
        return 1 / self.variance(sigma).sqrt()

    @override
    def gradient_scale(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)  # the network's input is z

    @override
    def noise(self, x: Tensor, direction: Tensor, sigma: Tensor) -> Tensor:
        return direction

    @override
    def along(self, x: Tensor, noise: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        return x + (sigma_next - sigma) * noise

    @override
    def ancestral_variance(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        return sigma_next.square() * (sigma.square() - sigma_next.square()) / sigma.square()

    @override
    def guidance_scale(self, sigma: Tensor) -> Tensor:
        return sigma


@dataclass(frozen=True)
class RectifiedFlow(NoiseModel):
    """x = (1 − σ) x0 + σ n."""

    @override
    def alpha(self, sigma: Tensor) -> Tensor:
        return 1 - sigma

    @override
    def c_in(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)

    @override
    def noise(self, x: Tensor, direction: Tensor, sigma: Tensor) -> Tensor:
        return x + self.alpha(sigma) * direction

    @override
    def along(self, x: Tensor, noise: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        return self.alpha(sigma_next) / self.alpha(sigma) * (x - sigma * noise) + sigma_next * noise

    @override
    def ancestral_variance(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        # That of a VP model at σ/α and σ'/α', times α'²; written so that α = 0 does no harm.
        kept = sigma_next * self.alpha(sigma) / (sigma * self.alpha(sigma_next))
        return sigma_next.square() * (1 - kept.square())

    @override
    def guidance_scale(self, sigma: Tensor) -> Tensor:
        return sigma / self.alpha(sigma).clamp(min=LEAST_ALPHA)


@cache
def _log_ratios() -> Tensor:
    """log σ/α of Stable Diffusion's timesteps, rising."""
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, TIMESTEPS, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - beta, 0)
    return ((1 - kept) / kept).log() / 2


VP, FLOW = VariancePreserving(), RectifiedFlow()
