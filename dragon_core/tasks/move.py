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
from ..features import Views
from ..fill import push_pull
from ..regions import Regions, moved_regions, on_grid, surroundings
from ..transforms import AffineWarp, warp

log = logging.getLogger(__name__)

#: A latent cell belongs to a region that covers this much of it.
COVERED = 0.4
#: Mask values up to this are the grey of a blur or a JPEG, not the object's.
FAINT = 0.1
#: How far "swap" looks along the shift for noise that was not the object's.
MAX_HOPS = 8

#: The start latent: the object's part moves along, and its old place holds fresh noise, the noise from where it goes, or
#: what was there; "off" leaves the start latent alone.
StartLatent = Literal["swap", "noise", "keep", "off"]


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
    start: StartLatent = "swap"

    def __post_init__(self) -> None:
        if self.start not in get_args(StartLatent):
            raise DragonError(f"unknown treatment of the start latent: {self.start!r}; use one of {get_args(StartLatent)}")
        check_mask(self.mask)
        if tuple(self.transform.image_size) != self.image_size:
            raise DragonError(f"the transform is for a picture of {self.transform.image_size}, the mask of {self.image_size}")
        inside, before = _area_inside(self.mask, self.transform), (self.mask > 0.5).float().sum((1, 2))
        if (inside == 0).any():
            raise DragonError("the move takes the whole object out of the picture; use a smaller shift")
        if (inside < 0.98 * before * abs(_determinant(self.transform))).any():
            log.warning("part of the moved object leaves the picture and is cropped")

    @property
    def image_size(self) -> tuple[int, int]:
        return self.mask.shape[-2], self.mask.shape[-1]

    @property
    def content_weight(self) -> float:
        return self.weights.content

    def cropped(self, image_size: tuple[int, int]) -> Move:
        if tuple(image_size) == self.image_size:
            return self
        top, left = ((own - kept) // 2 for own, kept in zip(self.image_size, image_size, strict=True))
        mask = self.mask[:, top : top + image_size[0], left : left + image_size[1]]
        x, y = self.transform.centre
        return replace(self, mask=mask, transform=replace(self.transform, image_size=image_size, centre=(x - left, y - top)))

    @property
    def leads(self) -> bool:
        return self.start != "off"

    @property
    def needs_reference(self) -> bool:
        return False

    def on(self, device: torch.device, repeats: int) -> Move:
        mask = self.mask if self.mask.shape[0] == 1 or repeats == 1 else self.mask.repeat(repeats, 1, 1)
        return self if mask is self.mask and mask.device == device else replace(self, mask=mask.to(device))

    def regions(self, size: tuple[int, int]) -> Regions:
        return moved_regions(self.mask, self.transform, size)

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        return edit_energy(views.generation, views.source, own.target, self.transform, self.weights.edit)

    def repair_energy(self, views: Views, own: Regions, combined: Regions) -> Tensor:
        vacated = own.source * (1 - combined.target)
        push = contrast_energy(views.generation, views.source, vacated, self.weights.contrast)
        fill = surroundings(vacated, combined.rest)
        return push + inpaint_energy(views.generation, views.source, vacated, fill, self.weights.inpaint)

    def clear_clean(self, latent: Tensor) -> Tensor:
        if self.start in ("keep", "off"):
            return latent
        painted = (self.mask > FAINT).float()
        touched = on_grid(painted, (latent.shape[-2], latent.shape[-1])).unsqueeze(1) > 0
        return torch.where(touched, push_pull(latent, ~touched), latent)

    def clear_noise(self, noise: Tensor, original: Tensor, fresh: Tensor) -> Tensor:
        if self.start in ("keep", "off"):
            return noise
        source = on_grid(self.mask, (noise.shape[-2], noise.shape[-1])).unsqueeze(1) > COVERED
        return torch.where(source, self._from_beyond(original, source, fresh) if self.start == "swap" else fresh, noise)

    def place(self, latent: Tensor, source: Tensor, reference: Tensor | None, mode: str) -> Tensor:
        if self.start == "off":
            return latent
        moved = warp(self.mask.unsqueeze(1).float(), self.transform).squeeze(1)
        target = on_grid(moved, (latent.shape[-2], latent.shape[-1])).unsqueeze(1) > COVERED
        known = warp(torch.ones_like(latent[:, :1]), self.transform, mode="nearest") > 0.5  # comes from inside the picture
        return torch.where(target & known, warp(source, self.transform, mode=mode, beyond="border"), latent)

    def _from_beyond(self, original: Tensor, source: Tensor, fallback: Tensor) -> Tensor:
        """At p, the noise of the first of T(p), T(T(p)), … that lies in the picture and off the object; else the fallback's."""
        inverse = self.transform.inverted()
        found, free = fallback, torch.zeros_like(source)
        values, usable = original, (~source).to(original)
        for _ in range(MAX_HOPS):
            values, usable = warp(values, inverse, mode="nearest"), warp(usable, inverse, mode="nearest")
            fresh = (usable > 0.5) & ~free
            found, free = torch.where(fresh, values, found), free | fresh
        return found


def check_mask(mask: Tensor) -> None:
    """An object mask must be (M, H, W), finite, and cover something but not everything."""
    if mask.ndim != 3:
        raise DragonError(f"the mask must have shape (masks, height, width), got {tuple(mask.shape)}")
    if not torch.isfinite(mask).all():
        raise DragonError("the mask has values that are not numbers (NaN or infinite)")
    if float(mask.min()) < -0.01 or float(mask.max()) > 1.01:
        raise DragonError("the mask has values outside 0 and 1: use a MASK, not an image scaled to 0–255")
    covered = (mask > 0.5).float().mean((1, 2))
    if (covered == 0).any():
        raise DragonError("the mask is empty: paint over the object that should move")
    if (covered == 1).any():
        raise DragonError("the mask covers the whole picture: paint only over the object that should move")


def _area_inside(mask: Tensor, transform: AffineWarp) -> Tensor:
    """Pixels of each transformed mask that lie in the picture: (M,)."""
    return (warp(mask.unsqueeze(1).float(), transform) > 0.5).float().sum((1, 2, 3))


def _determinant(transform: AffineWarp) -> float:
    (a, b), (c, d) = transform.matrix
    return a * d - b * c
