"""Appearance replacement (DragonDiffusion, section 3.4): the object keeps its shape and takes the look of another picture's object."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor

from ..diffusion.convention import OURS, Convention
from ..diffusion.energies.appearance import appearance_energy
from ..diffusion.features import Views
from ..errors import DragonError
from ..imaging.colour_transfer import transfer_colours
from ..imaging.edge_blending import without_surplus
from ..imaging.mask_checks import check_mask
from ..imaging.masks import Regions, on_grid
from .base import ReferenceTask, Weights, required

#: Times that a picture's colours are mapped and cut to its range. 3 leave 0.084 of the way to the reference's colours, 1 leaves 0.105
#: (mean of 8 tuning cases of the benchmark), and more change little.
PICTURE_PASSES = 3


#: A cell belongs to an object that covers this much of it, or, where none is so much covered, as much as any.
COVERED = 0.5


@dataclass(frozen=True)
class AppearanceWeights(Weights):
    """The authors' for this task."""

    edit: float = 3.5
    content: float = 5.0


@dataclass(frozen=True, eq=False)
class Appearance(ReferenceTask):
    """Give what ``mask`` (M, H, W) covers the look of what ``reference_mask`` (M', H', W') covers in the second picture.

    transfer: how much of the reference's latent colours the trajectory takes on, in [0, 1]; 0 leaves all to guidance, as in the paper.
    """

    masks = ("mask",)
    mask: Tensor
    reference_mask: Tensor
    weights: AppearanceWeights = AppearanceWeights()
    transfer: float = 1.0
    convention: Convention = OURS

    def __post_init__(self) -> None:
        check_mask(self.mask, "the mask", "the object that should change its look")
        check_mask(self.reference_mask, "the reference mask", "the object whose look is wanted")
        if not 0.0 <= self.transfer <= 1.0:
            raise DragonError(f"the transfer must lie within 0 and 1, got {self.transfer:g}")

    @property
    def image_size(self) -> tuple[int, int]:
        return self.mask.shape[-2], self.mask.shape[-1]

    @property
    def edits_trajectory(self) -> bool:
        return self.transfer > 0

    def regions(self, size: tuple[int, int]) -> Regions:
        target = self.convention.on_grid(self.mask, size)
        return Regions(torch.zeros_like(target), target)

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        reference = views.required_reference()
        wanted = self.convention.on_grid(self.reference_mask, self.convention.grid(reference))
        return appearance_energy(views.generation, reference, own.target, wanted, self.weights.edit, self.form)

    # The noise has the shape, which stays: it is not placed.

    def place_tokens(self, tokens: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        """At each place of the object what lies there in the second one, were that stretched over it: *ours*.

        Where keys know their place, a look must come from somewhere near, and from one token each.
        """
        reference = required(reference)
        inside, wanted = (mask.squeeze(1) for mask in self._inside(tokens, reference))
        count = max(len(each) for each in (inside, wanted, tokens, reference))
        placed, theirs = tokens.expand(count, -1, -1, -1).clone(), reference.expand(count, -1, -1, -1)
        for i in range(count):
            at, origin = likewise(inside[i % len(inside)], wanted[i % len(wanted)])
            placed[i, :, at[0], at[1]] = theirs[i, :, origin[0], origin[1]]
        return placed

    def place_latent(self, latent: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        reference = required(reference)
        if self.transfer == 0:
            return latent
        inside, wanted = self._inside(latent, reference)
        return torch.lerp(latent, transfer_colours(latent, inside, reference, wanted), self.transfer * inside)

    def place_pixels(self, picture: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        reference = required(reference)
        if self.transfer == 0:
            return picture
        # Ground that a wide mask takes along is no part of the object, here or there.
        both = zip((picture, reference), self._inside(picture, reference), strict=True)
        inside, wanted = (without_surplus(values, mask) for values, mask in both)
        coloured = picture
        for _ in range(PICTURE_PASSES):  # what leaves the picture's range is cut off, and missing from the colours
            coloured = transfer_colours(coloured.clamp(0, 1), inside, reference, wanted)
        return torch.lerp(picture, coloured, self.transfer * inside)

    def _inside(self, values: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Both masks, each on the grid of its picture's values: (M, 1, h, w)."""
        inside = on_grid(self.mask, (values.shape[-2], values.shape[-1]))
        wanted = self.reference_region((reference.shape[-2], reference.shape[-1]))
        return inside.unsqueeze(1).to(values), wanted.unsqueeze(1).to(values)


def likewise(inside: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of one object, (2, n) rows and columns, and for each the cell of another that lies likewise in it, (2, n).

    Each axis is shifted and stretched so that both objects have one middle and one spread; from there it is the nearest cell of the other.
    inside, wanted: (h, w) and (h', w') in [0, 1], each on the grid of its picture.
    """
    here, there = ((mask >= mask.max().clamp(max=COVERED)).cpu() for mask in (inside, wanted))
    at, others = (mask.nonzero().double() for mask in (here, there))
    (middle, spread), (their_middle, their_spread) = ((cells.mean(0), cells.std(0, correction=0)) for cells in (at, others))
    stretch = torch.where(spread > 0, their_spread / spread, torch.zeros_like(spread))
    places = ((at - middle) * stretch + their_middle).round().long()
    rows, columns = (places[:, axis].clamp(0, size - 1) for axis, size in enumerate(there.shape))
    nearest = ndimage.distance_transform_edt(~there.numpy(), return_distances=False, return_indices=True)
    return at.long().T.to(inside.device), torch.from_numpy(nearest).long()[:, rows, columns].to(inside.device)
