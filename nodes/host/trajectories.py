"""A Trajectory of what the host's sampling has passed through."""

from __future__ import annotations

from typing import Any

import comfy.model_patcher
import torch
from torch import Tensor

from ...dragon_core.diffusion.frames import as_pictures
from ...dragon_core.diffusion.trajectory import Trajectory
from ...dragon_core.errors import DragonError
from .model import family, fingerprint, noise_model_of, weight_patches

#: Pixels that a cell of these latents covers, where the host does not say so yet (releases before 2026); 8 in all others.
CELLS = {"Flux2": 16, "HunyuanImage21": 32, "Wan22": 16, "HunyuanVideo15": 16, "LTXV": 32, "ChromaRadiance": 1}


def trajectory_of(model: comfy.model_patcher.ModelPatcher, positive: Any, path: Tensor, sigmas: Tensor, **more: Any) -> Trajectory:
    """path: (T + 1, B, C, h, w), or (T + 1, B, C, f, h, w) of videos, whose frames become pictures, in the model's scale."""
    pictures = torch.stack([as_pictures(level) for level in path])
    frames = path.shape[3] if path.ndim == 6 else 0
    said = (fingerprint(model), family(model), pixels_per_cell(model), noise_model_of(model))
    return Trajectory(pictures, sigmas.cpu().clone(), positive, *said, frames=frames, patches=weight_patches(model), **more)


def pixels_per_cell(model: comfy.model_patcher.ModelPatcher) -> int:
    """Of a picture along each side of a latent's cell."""
    latents = model.get_model_object("latent_format")
    return int(getattr(latents, "spacial_downscale_ratio", CELLS.get(type(latents).__name__, 8)))


def as_the_model_takes(model: comfy.model_patcher.ModelPatcher, latent: Tensor) -> Tensor:
    """A latent with the dimension for frames that some picture models want, too (Qwen-Image). Refuses one that is none of the model's."""
    form = model.get_model_object("latent_format")
    latent = latent.unsqueeze(2) if form.latent_dimensions == 3 and latent.ndim == 4 else latent
    hint = f"encode the picture with the VAE that belongs to the model ({family(model)})"
    if latent.ndim != form.latent_dimensions + 2 or not latent.numel():
        takes = "(pictures, channels, " + ("frames, " if form.latent_dimensions == 3 else "") + "height, width)"
        raise DragonError(f"the latent has shape {tuple(latent.shape)}, and the model takes {takes}: {hint}")
    if latent.shape[1] != form.latent_channels:
        raise DragonError(f"the latent has {latent.shape[1]} channels, and the model takes {form.latent_channels}: {hint}")
    return latent
