"""Dragging by points (DragonDiffusion, section 3.4): what lies at each handle goes to its target, and takes its neighbourhood along.

The picture, its trajectory and the regions follow one displacement made from all pairs, see :mod:`dragon_core.imaging.point_warp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..diffusion.convention import OURS, Convention
from ..diffusion.energies.form import LEAST, nothing
from ..diffusion.energies.points import AROUND, points_energy, repulsion_energy
from ..diffusion.features import Features, Views, spread
from ..errors import DragonError
from ..imaging.affine import Pair
from ..imaging.crop_window import CropWindow
from ..imaging.mask_checks import check_mask, kept_corner
from ..imaging.masks import Regions, either
from ..imaging.point_warp import capsules, displacement, sample
from .base import Edit, Weights, replaced
from .move import Move, MoveWeights, StartLatent, shrinks_in_place

if TYPE_CHECKING:
    from typing_extensions import Self

#: What a mask is: the object that goes where its points go, leaving its place; or the area in which things may be stretched.
MaskMeans = Literal["auto", "object", "area"]

#: What an object's old place starts from, unless told.
START: StartLatent = "swap"
#: Points of a picture larger than this that all lie within one pixel are shares of it.
SHARES = 8
#: Default radius as a share of the shorter side.
RADIUS = 0.05
#: Without a mask things may change within so many radii of the ways, and this share of a way's length.
REACH, REACH_OF_WAY = 2.0, 0.25


@dataclass(frozen=True)
class DragWeights(Weights):
    edit: float = 4.0
    content: float = 6.0
    inpaint: float = 0.2


@dataclass(frozen=True, eq=False)
class Drag(Edit):
    """Pairs of points, and how the picture follows them: a :class:`Move` whose transform is a displacement.

    Make one with :func:`drag`. ``leaves``: whether the old place is left behind (an object) or stretched (an area).
    """

    pairs: tuple[Pair, ...]
    carried: Move
    weights: DragWeights
    leaves: bool
    convention: Convention = OURS

    @property
    def image_size(self) -> tuple[int, int]:
        return self.carried.image_size

    @property
    def content_weight(self) -> float:
        return self.weights.content

    @property
    def least_energy(self) -> float:
        return LEAST * self.weights.edit

    @property
    def edits_trajectory(self) -> bool:
        return self.carried.edits_trajectory

    @property
    def keeps_colour(self) -> bool:
        return True

    @property
    def shrinks(self) -> bool:
        return not self._in_area and shrinks_in_place(self.regions(self.image_size))

    def cropped(self, image_size: tuple[int, int]) -> Drag:
        left, top = kept_corner(self.image_size, image_size)
        pairs = tuple(((hx - left, hy - top), (tx - left, ty - top)) for (hx, hy), (tx, ty) in self.pairs)
        return replaced(self, pairs=pairs, carried=self.carried.cropped(image_size))

    def within(self, window: CropWindow) -> Self:
        pairs = tuple((window.point(handle), window.point(target)) for handle, target in self.pairs)
        return replaced(self, pairs=pairs, carried=self.carried.within(window))

    def on(self, device: torch.device, repeats: int) -> Drag:
        return replaced(self, carried=self.carried.on(device, repeats))

    def regions(self, size: tuple[int, int]) -> Regions:
        own = self.convention.moved_regions(self.carried.mask, self.carried.transform, size)
        if self._in_area and self.leaves:
            own = Regions(*(either(own.source, own.target),) * 2)
        return Regions(own.source, own.source) if self._in_area else own

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        generation, source = self._on_grid(views, own)
        pull = points_energy(generation, source, self._handles, self._targets, self.image_size, self.weights.edit, self.form)
        return pull + self._repulsion(views, own) if self._in_area else pull

    def background_energy(self, views: Views, own: Regions, combined: Regions) -> Tensor:
        # In an area the handles' old places lie in m_e, an object's lie outside of it: the push belongs where its gradient acts.
        return nothing(views.generation) if self._in_area else self._repulsion(views, own)

    def fill_clean(self, latent: Tensor) -> Tensor:
        return latent if self.convention.only_patches else self.carried.fill_clean(latent)

    def fill_noise(self, noise: Tensor, original: Tensor, fresh: Tensor) -> Tensor:
        return noise if self.convention.only_patches else self.carried.fill_noise(noise, original, fresh)

    def place_noise(self, noise: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        if self.convention.only_patches:
            return with_patches(noise, source, self._handles, self._targets, self.image_size)
        return self.carried.place_noise(noise, source, reference)

    def place_tokens(self, tokens: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        carries = not self.convention.only_patches
        return self.carried.place_tokens(tokens, source, reference) if carries else super().place_tokens(tokens, source, reference)

    def place_latent(self, latent: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        if self.convention.only_patches:
            return with_patches(latent, source, self._handles, self._targets, self.image_size)
        return self.carried.place_latent(latent, source, reference)

    def place_pixels(self, picture: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        if self.convention.only_patches:
            return with_patches(picture, source, self._handles, self._targets, self.image_size)
        return self.carried.place_pixels(picture, source, reference)

    @property
    def _in_area(self) -> bool:
        """Whether everything happens in one region, as it always does in the authors' code."""
        return self.convention.only_patches or not self.leaves

    def _on_grid(self, views: Views, own: Regions) -> tuple[Features, Features]:
        """Features of generation and source with a value for each cell of the grid, to sample at points."""
        size = (own.source.shape[-2], own.source.shape[-1])
        generation, source = (tuple(spread(f, size) for f in features) for features in (views.generation, views.source))
        return generation, source

    def _repulsion(self, views: Views, own: Regions) -> Tensor:
        generation, source = self._on_grid(views, own)
        each = self.convention.each_pair
        return repulsion_energy(generation, source, self._handles, self._targets, self.image_size, self.weights.inpaint, each)

    @cached_property
    def _handles(self) -> Tensor:
        return torch.tensor([handle for handle, _ in self.pairs], dtype=torch.float64)

    @cached_property
    def _targets(self) -> Tensor:
        return torch.tensor([target for _, target in self.pairs], dtype=torch.float64)


def drag(
    pairs: Sequence[Pair],
    image_size: tuple[int, int],
    mask: Tensor | None = None,
    mask_means: MaskMeans = "auto",
    radius: float = 0.0,
    weights: DragWeights = DragWeights(),
    start: StartLatent = START,
) -> Drag:
    """The edit that takes every handle to its target.

    ``mask``: (M, H, W), an object or an area; None or an empty one: the area is what lies round the ways from the handles to the targets.
    ``radius``: pixels round a handle that go along as they are; 0 chooses. ``start``: what an object's old place starts from.
    """
    check_pairs(pairs, image_size)
    radius = radius or RADIUS * min(image_size)
    painted = mask is not None and bool((mask != 0).any())
    if mask is not None and painted:
        check_mask(mask)
    else:
        lengths = torch.tensor([[h, t] for h, t in pairs], dtype=torch.float64).diff(dim=1).norm(dim=-1).flatten()
        mask = capsules(pairs, image_size, (REACH * radius + REACH_OF_WAY * lengths).tolist())
    is_object = painted and (mask_means == "object" or (mask_means == "auto" and _leaves(mask, pairs)))
    if painted and not is_object:
        _check_inside(mask, pairs)
    transform = displacement(pairs, image_size, radius, None if is_object else mask)
    # What an area's transform takes is put back into the area whole: there is nothing to fill.
    carried = Move(mask, transform, MoveWeights(content=weights.content), start if is_object or start == "off" else "keep")
    return Drag(tuple(pairs), carried, weights, is_object)


def with_patches(latent: Tensor, source: Tensor, handles: Tensor, targets: Tensor, image_size: tuple[int, int]) -> Tensor:
    """``latent`` (B, C, h, w) with the 3×3 cells of ``source`` round each handle at its target, as far as both lie in the frame.

    handles, targets: (N, 2), pixels (x, y). It is all that the authors' code changes of a start latent.
    """
    latent = latent.clone()
    height, width = latent.shape[-2:]
    cells = torch.tensor([width / image_size[1], height / image_size[0]], dtype=torch.float64)
    for (hx, hy), (tx, ty) in zip((handles * cells).long().tolist(), (targets * cells).long().tolist(), strict=True):
        for dy in range(-AROUND, AROUND + 1):
            for dx in range(-AROUND, AROUND + 1):
                x, y, to_x, to_y = hx + dx, hy + dy, tx + dx, ty + dy
                if 0 <= x < width and 0 <= to_x < width and 0 <= y < height and 0 <= to_y < height:
                    latent[..., to_y, to_x] = source[..., y, x]
    return latent


def check_pairs(pairs: Sequence[Pair], image_size: tuple[int, int]) -> None:
    """There must be something to drag, all of it in the picture, and no handle twice."""
    height, width = image_size
    if not pairs:
        raise DragonError("there are no points: give at least one handle and where it should go")
    for number, pair in enumerate(pairs, 1):
        for name, (x, y) in zip(("handle", "target"), pair, strict=True):
            if not (0 <= x <= width and 0 <= y <= height):
                raise DragonError(
                    f"the {name} of pair {number}, ({x:g}, {y:g}), lies outside of the picture of {width}×{height}: points are its pixels"
                )
    if min(image_size) > SHARES and all(0 <= value <= 1 for pair in pairs for point in pair for value in point):
        raise DragonError(
            f"all points lie within the first pixel of the picture of {width}×{height}: they are shares of it, and pixels are wanted. "
            "Multiply x by the width and y by the height"
        )
    if all(handle == target for handle, target in pairs):
        raise DragonError("every target is where its handle is, so nothing would move: draw at least one arrow that leads somewhere")
    seen: dict[tuple[float, float], int] = {}
    for number, (handle, _) in enumerate(pairs, 1):
        if handle in seen:
            raise DragonError(f"pairs {seen[handle]} and {number} have the same handle: a point can go to one target only")
        seen[handle] = number


def _leaves(mask: Tensor, pairs: Sequence[Pair]) -> bool:
    """Whether any target lies off the mask: then it is an object that goes there, not an area to stay in."""
    return not bool(_covered(mask, [target for _, target in pairs]).all())


def _check_inside(mask: Tensor, pairs: Sequence[Pair]) -> None:
    for name, end in (("handle", 0), ("target", 1)):
        off = ~_covered(mask, [pair[end] for pair in pairs]).all(0)
        if off.any():
            raise DragonError(
                f"the {name} of pair {int(off.nonzero()[0]) + 1} lies off the mask, and what is dragged in an area stays in it: paint "
                "it larger, or say that the mask is the object"
            )


def _covered(mask: Tensor, points: Sequence[tuple[float, float]]) -> Tensor:
    """Which points each mask covers: bool (M, N)."""
    size = (mask.shape[-2], mask.shape[-1])
    places = torch.tensor([points], dtype=torch.float64).expand(mask.shape[0], -1, -1).unsqueeze(1)
    return sample(mask.unsqueeze(1).cpu().double(), places, size)[:, 0, 0] > 0.25
