"""Object moving (DragonDiffusion, section 3.4): the masked object appears at its transform, its old place is filled.

The transform is a general affine map, so the same edit resizes and rotates.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from ..energies.contrast import contrast_energy
from ..energies.edit import edit_energy
from ..energies.inpaint import inpaint_energy
from ..errors import DragonError
from ..features import Features
from ..regions import Regions, moved_regions, on_grid
from ..transforms import AffineWarp, warp

log = logging.getLogger(__name__)

#: The start latent: the object's part moves along, and its old place holds fresh noise, the noise from under its target, or
#: what was there; "off" leaves the start latent alone.
StartLatent = Literal["noise", "swap", "keep", "off"]


@dataclass(frozen=True)
class MoveWeights:
    """Weights of the four energies, each >= 0. Defaults: the authors' for SD-1.5 (algorithm.md section 11)."""

    edit: float = 4.0
    content: float = 6.0
    contrast: float = 0.2
    inpaint: float = 0.8

    def __post_init__(self) -> None:
        if min(self.edit, self.content, self.contrast, self.inpaint) < 0:
            raise DragonError("energy weights cannot be negative; use 0 to switch a term off")


@dataclass(frozen=True, eq=False)
class Move:
    """Move what ``mask`` (M, H, W) covers by ``transform``."""

    mask: Tensor
    transform: AffineWarp
    weights: MoveWeights = MoveWeights()
    start: StartLatent = "noise"

    def __post_init__(self) -> None:
        if self.start not in get_args(StartLatent):
            raise DragonError(f"unknown treatment of the start latent: {self.start!r}; use one of {get_args(StartLatent)}")
        check_mask(self.mask)
        inside, before = _area_inside(self.mask, self.transform), float((self.mask > 0.5).sum())
        if inside == 0:
            raise DragonError("the move takes the whole object out of the picture; use a smaller shift")
        if inside < 0.98 * before * abs(_determinant(self.transform)):
            log.warning("part of the moved object leaves the picture and is cropped")

    @property
    def image_size(self) -> tuple[int, int]:
        return self.mask.shape[-2], self.mask.shape[-1]

    @property
    def content_weight(self) -> float:
        return self.weights.content

    def on(self, device: torch.device, repeats: int) -> Move:
        mask = self.mask if self.mask.shape[0] == 1 or repeats == 1 else self.mask.repeat(repeats, 1, 1)
        return self if mask is self.mask and mask.device == device else replace(self, mask=mask.to(device))

    def regions(self, size: tuple[int, int]) -> Regions:
        return moved_regions(self.mask, self.transform, size)

    def edit_energy(self, generation: Features, reference: Features, own: Regions) -> Tensor:
        return edit_energy(generation, reference, own.target, self.transform, self.weights.edit)

    def repair_energy(self, generation: Features, reference: Features, own: Regions, combined: Regions) -> Tensor:
        vacated = own.source * (1 - combined.target)
        push = contrast_energy(generation, reference, vacated, self.weights.contrast)
        return push + inpaint_energy(generation, reference, vacated, combined.rest, self.weights.inpaint)

    def edit_start(self, latent: Tensor, original: Tensor, noise: Tensor) -> Tensor:
        if self.start == "off":
            return latent
        size = (latent.shape[-2], latent.shape[-1])
        moved = warp(self.mask.unsqueeze(1).float(), self.transform).squeeze(1)
        source, target = (on_grid(m, size).unsqueeze(1) > 0.4 for m in (self.mask, moved))
        if self.start == "noise":
            latent = torch.where(source, noise, latent)
        elif self.start == "swap":
            latent = torch.where(source, warp(original, self.transform.inverted(), mode="nearest"), latent)
        return torch.where(target, warp(original, self.transform, mode="nearest"), latent)


def check_mask(mask: Tensor) -> None:
    """An object mask must be (M, H, W), finite, and cover something but not everything."""
    if mask.ndim != 3:
        raise DragonError(f"the mask must have shape (masks, height, width), got {tuple(mask.shape)}")
    if not torch.isfinite(mask).all():
        raise DragonError("the mask has values that are not numbers (NaN or infinite)")
    covered = (mask > 0.5).float().mean((1, 2))
    if (covered == 0).any():
        raise DragonError("the mask is empty: paint over the object that should move")
    if (covered == 1).any():
        raise DragonError("the mask covers the whole picture: paint only over the object that should move")


def _area_inside(mask: Tensor, transform: AffineWarp) -> float:
    return float((warp(mask.unsqueeze(1).float(), transform) > 0.5).sum())


def _determinant(transform: AffineWarp) -> float:
    (a, b), (c, d) = transform.matrix
    return a * d - b * c
