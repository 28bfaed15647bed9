"""Object pasting (DragonDiffusion, section 3.4): the object of a second picture appears in this one, at a place and size."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..diffusion.convention import OURS, Convention
from ..diffusion.energies.correspondence import correspondence_energy
from ..diffusion.features import Views
from ..errors import DragonError
from ..imaging.affine import AffineWarp, arrived, rotation_scale, unrepeated, warp
from ..imaging.crop_window import CropWindow
from ..imaging.edge_blending import blend_edges, placed
from ..imaging.mask_checks import check_mask, warn_of_ground
from ..imaging.masks import Regions, centroids
from ..imaging.windows import Part
from .base import ReferenceTask, Weights, replaced, required
from .move import covered, share_inside

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PasteWeights(Weights):
    """The defaults are those of most tasks."""


@dataclass(frozen=True, eq=False)
class Paste(ReferenceTask):
    """Put what ``reference_mask`` (1, H', W') covers in the second picture into the first.

    place_at: (x, y) pixels of the first picture where the object's centroid goes. scale: its size there, 1 being its own, pixel for
    pixel. rotation: degrees clockwise. size: (height, width) of the first picture, None until it is known.
    """

    reference_mask: Tensor
    place_at: tuple[float, float]
    scale: float = 1.0
    rotation: float = 0.0
    weights: PasteWeights = PasteWeights()
    image_size: tuple[int, int] | None = None
    convention: Convention = OURS

    def __post_init__(self) -> None:
        check_mask(self.reference_mask, "the reference mask", "the object to paste")
        if self.reference_mask.shape[0] > 1:
            raise DragonError(f"there are {self.reference_mask.shape[0]} reference masks: pasting takes one, for all pictures of a batch")
        warn_of_ground(self.reference_mask, "the reference mask")
        if self.scale <= 0:
            raise DragonError(f"the scale must be above 0, got {self.scale:g}; 1 keeps the object's size")

    @property
    def edits_trajectory(self) -> bool:
        return True

    @property
    def keeps_colour(self) -> bool:
        return True

    def cropped(self, image_size: tuple[int, int]) -> Paste:
        placed = replaced(self, image_size=image_size)
        inside = float(share_inside(self.reference_mask, placed.transform)[0])
        if inside == 0:
            width, height = image_size[1], image_size[0]
            raise DragonError(f"the pasted object lies outside the picture of {width}×{height} pixels: change x and y")
        if inside < 0.98:
            log.warning("part of the pasted object leaves the picture and is cropped")
        return placed

    def within(self, window: CropWindow) -> Paste:
        return replaced(self, place_at=window.point(self.place_at), scale=self.scale * window.scale, image_size=window.size)

    def within_reference(self, window: CropWindow) -> Paste:
        return replaced(super().within_reference(window), scale=self.scale / window.scale)

    @cached_property
    def transform(self) -> AffineWarp:
        """From pixels of the second picture to pixels of the first: T(p) = c + A (p − c) + d, c the mask's centroid."""
        if self.image_size is None:
            raise DragonError("the size of the picture to paste into is not known yet")
        h, w = self.reference_mask.shape[-2:]
        x, y = centroids(self.reference_mask)[0]
        shift = (self.place_at[0] - x, self.place_at[1] - y)
        matrix = rotation_scale(self.rotation, (self.scale, self.scale))
        return AffineWarp(self.image_size, shift, matrix, centre=(x, y), source_size=(h, w))

    @cached_property
    def _arrived(self) -> Tensor:
        """The mask at its place in the first picture: (1, H, W)."""
        return arrived(self.reference_mask, self.transform, self.image_size)

    def regions(self, size: tuple[int, int]) -> Regions:
        target = self.convention.moved_regions(self.reference_mask, self.transform, size).target
        return Regions(torch.zeros_like(target), target)

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        whole = self.convention.whole_cells
        return correspondence_energy(
            views.generation, views.required_reference(), own.target, self.transform, self.weights.edit, self.form, whole
        )

    def place_noise(self, noise: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        reference, grid = required(reference), (noise.shape[-2], noise.shape[-1])
        # What an enlarged object's noise cannot fill keeps the noise that lies there: repeated, it would show as blocks.
        free = unrepeated(self.transform, grid, (reference.shape[-2], reference.shape[-1]), noise.device)
        return torch.where(free, self.place_tokens(noise, source, reference), noise)

    def place_tokens(self, tokens: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        grid = (tokens.shape[-2], tokens.shape[-1])
        return torch.where(self._target(tokens), warp(required(reference), self.transform, "nearest", "border", grid), tokens)

    def place_latent(self, latent: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        return placed(self._brought(latent, required(reference)), latent, self._target(latent))

    def place_pixels(self, picture: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        return blend_edges(self._brought(picture, required(reference)), picture, self._target(picture))

    def _target(self, values: Tensor) -> Tensor:
        """The cells of ``values`` (B, C, h, w) that the object comes to cover: bool (1, 1, h, w)."""
        target = covered(self._arrived, values)
        if not bool(target.any()):
            raise DragonError("the pasted object is smaller than one cell of the latent: use a larger scale")
        return target

    def _brought(self, values: Tensor, reference: Tensor) -> Callable[[Part], Tensor]:
        grid = (values.shape[-2], values.shape[-1])
        return lambda part: warp(reference, self.transform, "area", "border", grid, part)
