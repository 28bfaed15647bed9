"""A VAE with the shapes of the real ones, which need weights nobody has here: cells of pixels, projected to channels and back."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor


class LinearVAE:
    """What ComfyUI's nodes ask of a VAE.

    A latent's channels are the mean colour of each quarter of a cell, and random mixtures of them: decoding gives back pictures that are
    even over quarters of cells. With ``frames`` it is as a video's: the first picture by itself, then four to a latent's frame, of which
    the last one is kept; encoded and decoded pictures have a dimension for frames, as ComfyUI's have.
    """

    def __init__(self, channels: int, cell: int = 8, frames: bool = False) -> None:
        self.cell, self.frames = cell, frames
        self._mix, _ = torch.linalg.qr(torch.randn(max(channels, 12), 12, generator=torch.Generator().manual_seed(7)))
        self._mix = self._mix[:channels]

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (N, H, W, 3) in [0, 1] → (N, C, h, w), or (1, C, f, h, w) of a video's."""
        half = self.cell // 2
        if self.frames:
            pictures = torch.cat((pictures[:1], pictures[4::4]))
        colours = rearrange(pictures[..., :3], "n (h i a) (w j b) c -> n (i j c) h w (a b)", i=2, j=2, a=half, b=half).mean(-1)
        latent = torch.einsum("kc,nchw->nkhw", self._mix, 2 * colours - 1)
        return rearrange(latent, "n c h w -> 1 c n h w") if self.frames else latent

    def decode(self, latent: Tensor) -> Tensor:
        """The way back: (N, H, W, 3), or (1, F, H, W, 3) of a video's."""
        half = self.cell // 2
        flat = rearrange(latent, "1 c n h w -> n c h w") if self.frames else latent
        colours = torch.einsum("ck,nkhw->nchw", torch.linalg.pinv(self._mix), flat) / 2 + 0.5
        pictures = repeat(colours, "n (i j c) h w -> n (h i a) (w j b) c", i=2, j=2, c=3, a=half, b=half).clamp(0, 1)
        if not self.frames:
            return pictures
        return torch.cat((pictures[:1], pictures[1:].repeat_interleave(4, 0))).unsqueeze(0)
