"""The numbers of the authors' own code (tests/fixtures/authors), and the stand-in network they were made with."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

NUMBERS = {name: t.double() for name, t in load_file(Path(__file__).parents[1] / "fixtures" / "authors" / "numbers.safetensors").items()}

#: Pixels of the picture that a cell of the grid, and of the latent, covers.
CELL, LATENT_CELL = 4, 8


def taps(z: Tensor) -> tuple[Tensor, Tensor]:
    """Decoder features of a latent z (B, 4, h, w), deep to shallow."""
    deep = torch.einsum("oc,bchw->bohw", NUMBERS["W_tap16"].to(z), F.avg_pool2d(z, 2))
    return torch.tanh(deep), torch.tanh(torch.einsum("oc,bchw->bohw", NUMBERS["W_tap8"].to(z), z))


def eps(z: Tensor, prompt: bool) -> Tensor:
    return 1.2 * torch.tanh(torch.einsum("oc,bchw->bohw", NUMBERS["W_unet"].to(z), z) + (0.2 if prompt else -0.1))


def sigmas(run: str) -> Tensor:
    """(51,) noise levels of a run, the clean end's last, which is not 0."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2
    alphas = torch.cumprod(1 - betas, 0)
    at = alphas[[*NUMBERS[f"{run}.timesteps"].long().tolist(), 0]]
    return ((1 - at) / at).sqrt()


def pixels(mask: Tensor) -> Tensor:
    """A mask (1, 1, h, w) of the grid as one of the picture: (1, H, W)."""
    return mask[0].float().repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)


def relative_error(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).norm() / wanted.norm())
