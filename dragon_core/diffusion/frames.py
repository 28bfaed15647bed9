"""A video is a batch of pictures that the model sees together: every part of the method but the model takes it as that."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor


def as_pictures(latent: Tensor) -> Tensor:
    """(B, C, h, w) as it is, or (B, C, F, h, w) as (B · F, C, h, w), the frames of the first video first."""
    return rearrange(latent, "b c f h w -> (b f) c h w") if latent.ndim == 5 else latent


def as_video(pictures: Tensor, frames: int) -> Tensor:
    """Undoes :func:`as_pictures`. frames: how many a video has; 0 where latents are pictures."""
    return rearrange(pictures, "(b f) c h w -> b c f h w", f=frames) if frames else pictures
