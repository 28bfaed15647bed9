"""Object moving (DragonDiffusion, section 3.4): the masked object appears at its transform, its old place is filled.

The transform is a general affine map, so the same edit resizes and rotates.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from ..diffusion.convention import OURS, Convention
from ..diffusion.energies.contrast import contrast_energy
from ..diffusion.energies.correspondence import correspondence_energy
from ..diffusion.energies.form import LEAST, Form
from ..diffusion.energies.inpaint import inpaint_energy
from ..diffusion.features import Views
from ..errors import DragonError
from ..imaging.affine import Placement, arrived, unrepeated, warp
from ..imaging.crop_window import CropWindow
from ..imaging.edge_blending import blend_edges, placed
from ..imaging.mask_checks import check_mask, check_same_size, is_picture, kept_corner
from ..imaging.masks import FAINT, Regions, on_grid, surroundings
from ..imaging.patch_fill import patch_fill
from ..imaging.windows import Part, extent, steps_to
from .base import MOVE_KAPPA, Task, Weights, replaced

log = logging.getLogger(__name__)

#: A latent cell belongs to a region that covers this much of it.
COVERED = 0.4
#: How far beyond its mask an object shows: in cells of a latent, and in pixels of a picture.
CELL_RIM, PIXEL_RIM = 1, 3
#: An object of less than this share of its former area has become smaller.
SMALLER = 0.85
#: The rim leaves at least this share of what lies off the mask to fill from.
LEAST_LEFT = 0.1
#: How far "swap" looks along the shift for noise that was not the object's.
MAX_HOPS = 8

#: The start latent: the object's part moves along, and its old place holds fresh noise, the noise from where it goes, or
#: what was there; "off" leaves the start latent alone. Only a plain shift exchanges cells one by one: where the object is scaled
#: or turned, "swap" would put the same noise into several places, and is "noise".
StartLatent = Literal["swap", "noise", "keep", "off"]


@dataclass(frozen=True)
class MoveWeights(Weights):
    """contrast: of the vacated place's push away from what was there. inpaint: of its pull towards the look of what is near."""

    contrast: float = 0.2
    inpaint: float = 0.8


@dataclass(frozen=True, eq=False)
class Move(Task):
    """Move what ``mask`` (M, H, W) covers by ``transform``.

    fill: (M, H, W), what the old place should come to look like; None: what lies near it.
    """

    masks = ("mask", "fill")
    mask: Tensor
    transform: Placement
    weights: MoveWeights = MoveWeights()
    start: StartLatent = "swap"
    fill: Tensor | None = None
    convention: Convention = OURS

    def __post_init__(self) -> None:
        if self.start not in get_args(StartLatent):
            raise DragonError(f"unknown treatment of the start latent: {self.start!r}; use one of {get_args(StartLatent)}")
        check_mask(self.mask)
        if self.fill is not None:
            check_mask(self.fill, "the mask of what to fill from", "what the old place should look like")
            check_same_size(self.fill, self.mask, "the mask of what to fill from")
        if tuple(self.transform.image_size) != self.image_size:
            raise DragonError(f"the transform is for a picture of {self.transform.image_size}, the mask of {self.image_size}")
        if self.transform.count not in (1, self.mask.shape[0]):
            raise DragonError(f"there are {self.transform.count} transforms for {self.mask.shape[0]} masks")
        remaining = share_inside(self.mask, self.transform)
        if (remaining == 0).any():
            raise DragonError("the edit takes the whole object out of the picture; use a smaller shift")
        if (remaining < 0.98).any():
            log.warning("part of the edited object leaves the picture and is cropped")

    @property
    def image_size(self) -> tuple[int, int]:
        return self.mask.shape[-2], self.mask.shape[-1]

    @property
    def form(self) -> Form:
        return self.convention.moving

    @property
    def least_energy(self) -> float:
        return LEAST * (self.weights.edit + self.weights.inpaint)

    def cropped(self, image_size: tuple[int, int]) -> Move:
        if tuple(image_size) == self.image_size:
            return self
        transform = self.transform.cropped(image_size, kept_corner(self.image_size, image_size))
        return replaced(super().cropped(image_size), transform=transform)

    def within(self, window: CropWindow) -> Move:
        taken = super().within(window)
        transform = self.transform.cropped(window.extent, window.corner).scaled(window.size)
        return replaced(taken, fill=if_any(taken.fill), transform=transform)

    @property
    def edits_trajectory(self) -> bool:
        return self.start != "off"

    @property
    def keeps_colour(self) -> bool:
        return True

    @property
    def shrinks(self) -> bool:
        return shrinks_in_place(self.regions(self.image_size))

    @property
    def kappa(self) -> float:
        return MOVE_KAPPA

    def on(self, device: torch.device, repeats: int) -> Move:
        return replaced(super().on(device, repeats), transform=self.transform.repeated(repeats))

    def regions(self, size: tuple[int, int]) -> Regions:
        return self.convention.moved_regions(self.mask, self.transform, size)

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        whole = self.convention.whole_cells
        return correspondence_energy(views.generation, views.source, own.target, self.transform, self.weights.edit, self.form, whole)

    def background_energy(self, views: Views, own: Regions, combined: Regions) -> Tensor:
        vacated = own.source * (1 - combined.target)
        push = contrast_energy(views.generation, views.source, vacated, self.weights.contrast)
        return push + filling_energy(views, vacated, self.fill, combined.rest, self.weights.inpaint, self.convention)

    def fill_clean(self, latent: Tensor) -> Tensor:
        return latent if self.start in ("keep", "off") else filled(latent, self.mask)

    def fill_noise(self, noise: Tensor, original: Tensor, fresh: Tensor) -> Tensor:
        if self.start in ("keep", "off"):
            return noise
        source = covered(self.mask, noise)
        swap = self.start == "swap" and self.transform.leaves_object
        return torch.where(source, self._from_beyond(original, source, fresh) if swap else fresh, noise)

    def place_noise(self, noise: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        if self.start == "off":
            return noise
        grid = (noise.shape[-2], noise.shape[-1])
        # Where an enlarged object has no noise of its own left, the noise that lies there stays: repeated, it would show as blocks.
        free = unrepeated(self.transform, grid, grid, noise.device).unsqueeze(-3)
        return torch.where(free, self.place_tokens(noise, source, reference), noise)

    def place_tokens(self, tokens: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        if self.start == "off":
            return tokens
        # None is taken from beside the object, where it stays in its place, too.
        own = warp(covered(self.mask, tokens).to(tokens), self.transform, "nearest") > 0.5
        return torch.where(self._target(tokens) & own, warp(source, self.transform, "nearest", beyond="border"), tokens)

    def place_latent(self, latent: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        return self._placed(latent, source, placed)

    def place_pixels(self, picture: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        # Kept, the object itself would be the ground.
        return self._placed(picture, source, placed if self.start == "keep" else blend_edges)

    def _target(self, values: Tensor) -> Tensor:
        """The cells of ``values`` (B, C, h, w) that the object comes to cover: bool (M, 1, h, w), some for each mask."""
        target = covered(self._arrived, values)
        if not target.flatten(1).any(1).all():
            raise DragonError("the edit leaves less of the object than one cell of the latent: use a larger scale or mask")
        return target

    def _placed(self, latent: Tensor, source: Tensor, put: Callable[[Callable[[Part], Tensor], Tensor, Tensor], Tensor]) -> Tensor:
        if self.start == "off":
            return latent
        target = self._target(latent)
        rows, columns = part = extent(target, 1)
        known = warp(torch.ones_like(latent[:, :1]), self.transform, mode="nearest", part=part) > 0.5  # comes from inside the picture
        inside = torch.zeros_like(target.expand(max(len(target), len(known)), -1, -1, -1))
        inside[..., rows, columns] = target[..., rows, columns] & known
        return put(lambda where: warp(source, self.transform, mode="area", beyond="border", part=where), latent, inside)

    @cached_property
    def _arrived(self) -> Tensor:
        """The mask at its new place: (M, H, W)."""
        return arrived(self.mask, self.transform)

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


def filling_energy(views: Views, vacated: Tensor, fill: Tensor | None, rest: Tensor, weight: float, convention: Convention) -> Tensor:
    """Inpaint energy (B,) of a vacated place (M, h, w), whose look is to be what ``fill`` (M, H, W) covers, or what of ``rest`` is near."""
    if fill is not None:
        wanted = convention.on_grid(fill, (vacated.shape[-2], vacated.shape[-1]))
    else:
        wanted = rest if convention.fill_from_all else surroundings(vacated, rest)
    return inpaint_energy(views.generation, views.source, vacated, wanted, weight, convention.filling)


def shrinks_in_place(own: Regions) -> bool:
    """Whether an object becomes so much smaller, within its old place, that its old body would show all round the new one."""
    before, after = own.source.sum((1, 2)), own.target.sum((1, 2))
    return bool(((after < SMALLER * before) & ((own.source * own.target).sum((1, 2)) > after / 2)).any())


def if_any(mask: Tensor | None) -> Tensor | None:
    """A mask of what to look like, or None, the surroundings, where a crop has left nothing of it."""
    if mask is not None and not (mask > 0.5).flatten(1).any(1).all():
        log.warning("what to fill from lies outside of the crop: its surroundings are taken instead; use a larger crop")
        return None
    return mask


def covered(mask: Tensor, latent: Tensor) -> Tensor:
    """The cells of a latent (B, C, h, w) that a mask (M, H, W) covers: bool (M, 1, h, w)."""
    return on_grid(mask, (latent.shape[-2], latent.shape[-1])).unsqueeze(1) > COVERED


def support(mask: Tensor, latent: Tensor) -> Tensor:
    """The cells of a latent (B, C, h, w) that a mask (M, H, W) reaches into at all: bool (M, 1, h, w)."""
    return on_grid((mask > FAINT).float(), (latent.shape[-2], latent.shape[-1])).unsqueeze(1) > 0


def filled(clean: Tensor, mask: Tensor) -> Tensor:
    """A clean latent (B, C, h, w) in which what surrounds a mask (M, H, W) goes on through every cell that the mask touches.

    So do the cells next to those: an encoder sees that far, and in a picture of pixels an object's edge is soft.
    """
    rim = PIXEL_RIM if is_picture(clean, mask) else CELL_RIM
    return patch_fill(clean, ~hole(mask, clean, rim).unsqueeze(1))


def hole(mask: Tensor, clean: Tensor, rim: int) -> Tensor:
    """What is to be filled in ``clean`` (B, C, h, w), of a mask (M, H, W) and ``rim`` cells around: bool (M, h, w), never all of them.

    The rim gives way where it would take nearly all there is to fill from, as between a mask and the frame next to it. Of a mask that
    touches every cell, those are left that it covers least.
    """
    share, reached = on_grid(mask, (clean.shape[-2], clean.shape[-1])), support(mask, clean).squeeze(1)
    found = torch.where(reached.all(2, keepdim=True).all(1, keepdim=True), share > share.amin((1, 2), keepdim=True), reached)
    enough = LEAST_LEFT * (~found).sum((1, 2), keepdim=True)
    away = steps_to(reached)
    for cells in range(1, rim + 1):
        wider = away <= cells
        found = torch.where((~wider).sum((1, 2), keepdim=True) >= enough, wider, found)
    return found


def share_inside(mask: Tensor, transform: Placement) -> Tensor:
    """The share of each mask's pixels (M, H, W) that the transform leaves in the picture: (M,)."""
    height, width = transform.image_size
    h, w = mask.shape[-2:]
    ys, xs = (torch.arange(n, dtype=torch.float64) + 0.5 for n in (h, w))
    x, y = transform.forward(torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)).unbind(-1)
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    solid = (mask > 0.5).cpu()
    return (solid & inside).sum((1, 2)) / solid.sum((1, 2))
