"""The generic energies as edits of their own, so that users can compose what no task does (docs/method.md, section 6).

A chain of Similarity, Contrast, Inpaint and Content over the right regions guides just as a Move does; Contrast and Inpaint over
an object take it away. But for Inpaint they only guide: the trajectory is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch
from torch import Tensor

from ..diffusion.convention import OURS, Convention
from ..diffusion.energies.appearance import appearance_energy
from ..diffusion.energies.content import content_energy
from ..diffusion.energies.contrast import contrast_energy
from ..diffusion.energies.correspondence import correspondence_energy
from ..diffusion.energies.form import LEAST
from ..diffusion.features import Features, Views, region_mean
from ..errors import DragonError
from ..imaging.affine import AffineWarp, Point, arrived
from ..imaging.crop_window import CropWindow
from ..imaging.mask_checks import check_mask, check_same_size, cropped_mask
from ..imaging.masks import Regions, either, on_grid
from .base import Edit, ReferenceEdit, replaced
from .move import covered, filled, filling_energy, if_any, support

if TYPE_CHECKING:
    from typing_extensions import Self

CPU = torch.device("cpu")

#: What a hole starts from: its surroundings (or the fill's mean) under fresh noise, or what was there.
HoleStart = Literal["noise", "keep"]


@dataclass(frozen=True, eq=False)
class Primitive(Edit):
    """What the primitives have in common: a mask (M, H, W), a weight >= 0, and that nothing is done to the trajectory."""

    masks: ClassVar[tuple[str, ...]] = ("mask",)
    mask: Tensor
    weight: float
    convention: Convention = field(default=OURS, kw_only=True)

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_mask(self.mask, "the mask", "the region that is meant")

    @property
    def image_size(self) -> tuple[int, int] | None:
        return self.mask.shape[-2], self.mask.shape[-1]

    @property
    def least_energy(self) -> float:
        return LEAST * self.weight

    def scaled(self, share: float) -> Self:
        return replaced(self, weight=share * self.weight)

    def regions(self, size: tuple[int, int]) -> Regions:
        """Whatever was in the mask leaves it: the rest does not reach there, and its gradient acts outside m_e."""
        source = self.convention.on_grid(self.mask, size)
        return Regions(source, torch.zeros_like(source))


@dataclass(frozen=True, eq=False)
class Content(Primitive):
    """Hold what ``mask`` covers as it was, beside what other edits hold. It neither frees nor touches anything."""

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if not bool((self.mask > 0.5).all()):  # all of the picture may be held
            check_mask(self.mask, "the mask", "what should stay")

    def regions(self, size: tuple[int, int]) -> Regions:
        empty = torch.zeros_like(on_grid(self.mask, size))
        return Regions(empty, empty)

    def background_energy(self, views: Views, own: Regions, combined: Regions) -> Tensor:
        held = self.convention.on_grid(self.mask, (own.source.shape[-2], own.source.shape[-1]))
        return content_energy(views.generation, views.source, held, self.weight, self.form)


@dataclass(frozen=True, eq=False)
class ContentElsewhere(Edit):
    """Hold everything that no edit of the chain touches, in a picture of any size."""

    weight: float
    device: torch.device = CPU
    convention: Convention = OURS

    def __post_init__(self) -> None:
        check_weight(self.weight)

    @property
    def image_size(self) -> tuple[int, int] | None:
        return None

    @property
    def content_weight(self) -> float:
        return self.weight

    def scaled(self, share: float) -> Self:
        return replaced(self, weight=share * self.weight)

    def on(self, device: torch.device, repeats: int) -> Self:
        return replaced(self, device=device)

    def regions(self, size: tuple[int, int]) -> Regions:
        empty = torch.zeros(1, *size, device=self.device)
        return Regions(empty, empty)


@dataclass(frozen=True, eq=False)
class Contrast(Primitive):
    """Push what ``mask`` covers away from what was there, where no other edit puts something."""

    @property
    def least_energy(self) -> float:
        return 0.0

    def background_energy(self, views: Views, own: Regions, combined: Regions) -> Tensor:
        return contrast_energy(views.generation, views.source, own.source * (1 - combined.target), self.weight)


@dataclass(frozen=True, eq=False)
class Inpaint(Primitive):
    """Fill ``mask`` with the look of what lies around it, or of what ``fill`` (M, H, W) covers in the source."""

    masks = ("mask", "fill")
    fill: Tensor | None = None
    start: HoleStart = "noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start not in get_args(HoleStart):
            raise DragonError(f"unknown treatment of the start latent: {self.start!r}; use one of {get_args(HoleStart)}")
        if self.fill is not None:
            check_mask(self.fill, "the mask of what to fill from", "what the hole should look like")
            check_same_size(self.fill, self.mask, "the mask of what to fill from")

    @property
    def edits_trajectory(self) -> bool:
        return self.start != "keep"

    def within(self, window: CropWindow) -> Self:
        taken = super().within(window)
        return replaced(taken, fill=if_any(taken.fill))

    def background_energy(self, views: Views, own: Regions, combined: Regions) -> Tensor:
        return filling_energy(views, own.source * (1 - combined.target), self.fill, combined.rest, self.weight, self.convention)

    def fill_clean(self, latent: Tensor) -> Tensor:
        if self.start == "keep":
            return latent
        if self.fill is None:
            return filled(latent, self.mask)
        (mean,) = region_mean((latent,), on_grid(self.fill, (latent.shape[-2], latent.shape[-1])).to(latent))
        return torch.where(support(self.mask, latent), mean[..., None, None], latent)

    def fill_noise(self, noise: Tensor, original: Tensor, fresh: Tensor) -> Tensor:
        return noise if self.start == "keep" else torch.where(covered(self.mask, noise), fresh, noise)


@dataclass(frozen=True, eq=False)
class LocalSimilarity(Primitive):
    """Make the picture at ``mask`` moved by ``shift`` (x, y) pixels look, point by point, like the source at the mask."""

    shift: Point = (0.0, 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not bool((arrived(self.mask, self._transform) > 0.5).flatten(1).any(1).all()):
            raise DragonError("the shift takes the whole region out of the picture; use a smaller one")

    def within(self, window: CropWindow) -> Self:
        return replaced(super().within(window), shift=(self.shift[0] * window.scale, self.shift[1] * window.scale))

    @property
    def _transform(self) -> AffineWarp:
        return AffineWarp((self.mask.shape[-2], self.mask.shape[-1]), self.shift)

    def regions(self, size: tuple[int, int]) -> Regions:
        target = self.convention.moved_regions(self.mask, self._transform, size).target
        return Regions(torch.zeros_like(target), target)

    def shown(self, size: tuple[int, int]) -> Tensor:
        return either(super().shown(size), on_grid(self.mask, size))

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        return self._pull(views.generation, views.source, own)

    def _pull(self, generation: Features, wanted: Features, own: Regions) -> Tensor:
        whole = self.convention.whole_cells
        return correspondence_energy(generation, wanted, own.target, self._transform, self.weight, self.form, whole)


@dataclass(frozen=True, eq=False)
class LocalSimilarityToReference(LocalSimilarity, ReferenceEdit):
    """The same with the second picture, as large as the first, in the source's stead: a ``ReferenceEdit``."""

    def cropped_reference(self, reference_size: tuple[int, int]) -> Self:
        cropped_mask(self.mask, reference_size, "mask", "second picture")  # refuses a picture of another size
        return self

    @property
    def lies_over(self) -> bool:
        return True

    def within_reference(self, window: CropWindow) -> Self:
        return self  # its mask is the first picture's

    def reference_region(self, size: tuple[int, int]) -> Tensor:
        return on_grid(self.mask, size)

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        return self._pull(views.generation, views.required_reference(), own)


@dataclass(frozen=True, eq=False)
class MeanSimilarity(Primitive):
    """Make ``mask`` look, on average, like what ``like`` (M, H, W) covers in the source; shape and detail are left free.

    For the second picture's look in the source's stead see :class:`~dragon_core.edits.appearance.Appearance` without transfer.
    """

    masks = ("mask", "like")
    like: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mask(self.like, "the reference mask", "what it should look like")
        check_same_size(self.like, self.mask, "the reference mask")

    def regions(self, size: tuple[int, int]) -> Regions:
        target = self.convention.on_grid(self.mask, size)
        return Regions(torch.zeros_like(target), target)

    def shown(self, size: tuple[int, int]) -> Tensor:
        return either(super().shown(size), on_grid(self.like, size))

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        wanted = self.convention.on_grid(self.like, (own.target.shape[-2], own.target.shape[-1]))
        return appearance_energy(views.generation, views.source, own.target, wanted, self.weight, self.form)


def check_weight(weight: float) -> None:
    """A primitive's weight must be >= 0."""
    if weight < 0:
        raise DragonError("an energy's weight cannot be negative; use 0 to switch it off")
