"""Dragging by points (DragonDiffusion, section 3.4): what lies at each handle goes to its target, and takes its neighbourhood along.

The picture, its trajectory and the regions follow one displacement made from all pairs, see :mod:`dragon_core.imaging.point_warp`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..diffusion.convention import OURS, Convention
from ..diffusion.energies.form import nothing
from ..diffusion.energies.points import AROUND, points_energy, repulsion_energy
from ..diffusion.features import Features, Views, spread
from ..errors import DragonError
from ..imaging.affine import Pair, Pairs
from ..imaging.crop_window import CropWindow
from ..imaging.mask_checks import check_mask, kept_corner
from ..imaging.masks import Regions, either
from ..imaging.point_warp import Interpolation, capsules, displacements, sample
from .base import Task, Weights, replaced
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
    """inpaint: of the push of the handles' old places away from what was there."""

    inpaint: float = 0.2


@dataclass(frozen=True, eq=False)
class Drag(Task):
    """Pairs of points, and how the picture follows them: a :class:`Move` whose transform is a displacement.

    Make one with :func:`drag`. ``sets``: pairs for all pictures of a batch, or for each. ``leaves``: whether the old place is left behind
    (an object) or stretched (an area).
    """

    sets: tuple[Pairs, ...]
    carried: Move
    weights: DragWeights
    leaves: bool
    convention: Convention = OURS

    @property
    def image_size(self) -> tuple[int, int]:
        return self.carried.image_size

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
        sets = tuple(tuple(((hx - left, hy - top), (tx - left, ty - top)) for (hx, hy), (tx, ty) in pairs) for pairs in self.sets)
        return replaced(self, sets=sets, carried=self.carried.cropped(image_size))

    def within(self, window: CropWindow) -> Self:
        sets = tuple(tuple((window.point(handle), window.point(target)) for handle, target in pairs) for pairs in self.sets)
        return replaced(self, sets=sets, carried=self.carried.within(window))

    def on(self, device: torch.device, repeats: int) -> Drag:
        return replaced(self, carried=self.carried.on(device, repeats))

    def regions(self, size: tuple[int, int]) -> Regions:
        own = self.convention.moved_regions(self.carried.mask, self.carried.transform, size)
        if self._in_area and self.leaves:
            own = Regions(*(either(own.source, own.target),) * 2)
        return Regions(own.source, own.source) if self._in_area else own

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        def pull(generation: Features, source: Features, handles: Tensor, targets: Tensor) -> Tensor:
            return points_energy(generation, source, handles, targets, self.image_size, self.weights.edit, self.form)

        pulls = self._by_picture(pull, *self._on_grid(views, own))
        return pulls + self._repulsion(views, own) if self._in_area else pulls

    def background_energy(self, views: Views, own: Regions, combined: Regions) -> Tensor:
        # In an area the handles' old places lie in m_e, an object's lie outside of it: the push belongs where its gradient acts.
        return nothing(views.generation) if self._in_area else self._repulsion(views, own)

    def fill_clean(self, latent: Tensor) -> Tensor:
        return latent if self.convention.only_patches else self.carried.fill_clean(latent)

    def fill_noise(self, noise: Tensor, original: Tensor, fresh: Tensor) -> Tensor:
        return noise if self.convention.only_patches else self.carried.fill_noise(noise, original, fresh)

    def place_noise(self, noise: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        if self.convention.only_patches:
            return self._with_patches(noise, source)
        return self.carried.place_noise(noise, source, reference)

    def place_tokens(self, tokens: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        carries = not self.convention.only_patches
        return self.carried.place_tokens(tokens, source, reference) if carries else super().place_tokens(tokens, source, reference)

    def place_latent(self, latent: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        if self.convention.only_patches:
            return self._with_patches(latent, source)
        return self.carried.place_latent(latent, source, reference)

    def place_pixels(self, picture: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        if self.convention.only_patches:
            return self._with_patches(picture, source)
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
        def push(generation: Features, source: Features, handles: Tensor, targets: Tensor) -> Tensor:
            each = self.convention.each_pair
            return repulsion_energy(generation, source, handles, targets, self.image_size, self.weights.inpaint, each)

        return self._by_picture(push, *self._on_grid(views, own))

    def _with_patches(self, values: Tensor, source: Tensor) -> Tensor:
        def patched(values: Features, source: Features, handles: Tensor, targets: Tensor) -> Tensor:
            return with_patches(values[0], source[0], handles, targets, self.image_size)

        return self._by_picture(patched, (values,), (source,))

    def _by_picture(self, made: Callable[[Features, Features, Tensor, Tensor], Tensor], values: Features, source: Features) -> Tensor:
        """What is made of values and the source's (B, …), handles and targets (N, 2); of each picture by its own, where each has some."""
        points = [torch.tensor(pairs, dtype=torch.float64).unbind(1) for pairs in self.sets]
        if len(points) == 1:
            return made(values, source, *points[0])
        rows = max(len(values[0]), len(points))
        return torch.cat([made(_row(values, i), _row(source, i), *points[i % len(points)]) for i in range(rows)])


def _row(values: Features, index: int) -> Features:
    """One picture's of values (B, …), the first again after the last."""
    return tuple(each[index % len(each)].unsqueeze(0) for each in values)


def drag(
    pairs: Sequence[Pair],
    image_size: tuple[int, int],
    mask: Tensor | None = None,
    mask_means: MaskMeans = "auto",
    radius: float = 0.0,
    weights: DragWeights = DragWeights(),
    start: StartLatent = START,
    interpolation: Interpolation = "smooth",
) -> Drag:
    """The edit that takes every handle to its target.

    ``mask``: (M, H, W), an object or an area; None or an empty one: the area is what lies round the ways from the handles to the targets.
    ``radius``: pixels round a handle that go along as they are; 0 chooses. ``start``: what an object's old place starts from.
    ``interpolation``: how what lies between the handles follows them, see :mod:`..imaging.point_warp`.
    """
    return drag_each((tuple(pairs),), image_size, mask, mask_means, radius, weights, start, interpolation)


def drag_each(
    sets: tuple[Pairs, ...],
    image_size: tuple[int, int],
    mask: Tensor | None = None,
    mask_means: MaskMeans = "auto",
    radius: float = 0.0,
    weights: DragWeights = DragWeights(),
    start: StartLatent = START,
    interpolation: Interpolation = "smooth",
) -> Drag:
    """As :func:`drag`, with pairs for each picture of a batch, or each frame of a video; ``mask``: one, or one for each."""
    check_sets(sets, image_size)
    radius = radius or RADIUS * min(image_size)
    painted = mask is not None and bool((mask != 0).any())
    if mask is not None and painted:
        check_mask(mask)
        mask = mask.expand(len(sets), -1, -1) if len(mask) == 1 else mask
    else:
        mask = torch.cat([_round_ways(pairs, image_size, radius) for pairs in sets])
    is_object = painted and (mask_means == "object" or (mask_means == "auto" and _leaves(mask, sets)))
    if painted and not is_object:
        _check_inside(mask, sets)
    transform = displacements(sets, image_size, radius, None if is_object else mask, interpolation)
    # What an area's transform takes is put back into the area whole: there is nothing to fill.
    carried = Move(mask, transform, MoveWeights(content=weights.content), start if is_object or start == "off" else "keep")
    return Drag(sets, carried, weights, is_object)


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


def check_sets(sets: Sequence[Pairs], image_size: tuple[int, int]) -> None:
    """There must be something to drag, all of it in the picture, and no handle twice in one."""
    height, width = image_size
    for frame, pairs in enumerate(sets, 1):
        _check_pairs(pairs, image_size, _in_frame(frame, sets))
    points = [point for pairs in sets for pair in pairs for point in pair]
    if min(image_size) > SHARES and all(0 <= value <= 1 for point in points for value in point):
        raise DragonError(
            f"all points lie within the first pixel of the picture of {width}×{height}: they are shares of it, and pixels are wanted. "
            "Multiply x by the width and y by the height"
        )
    if all(handle == target for pairs in sets for handle, target in pairs):
        raise DragonError("every target is where its handle is, so nothing would move: draw at least one arrow that leads somewhere")


def _in_frame(frame: int, sets: Sequence[Pairs]) -> str:
    return f" in frame {frame}" if len(sets) > 1 else ""


def _check_pairs(pairs: Pairs, image_size: tuple[int, int], which: str) -> None:
    height, width = image_size
    if not pairs:
        raise DragonError("there are no points: give at least one handle and where it should go")
    for number, pair in enumerate(pairs, 1):
        for name, (x, y) in zip(("handle", "target"), pair, strict=True):
            if not (0 <= x <= width and 0 <= y <= height):
                raise DragonError(
                    f"the {name} of pair {number}{which}, ({x:g}, {y:g}), lies outside of the picture of {width}×{height}: points are its "
                    "pixels"
                )
    seen: dict[tuple[float, float], int] = {}
    for number, (handle, _) in enumerate(pairs, 1):
        if handle in seen:
            raise DragonError(f"pairs {seen[handle]} and {number}{which} have the same handle: a point can go to one target only")
        seen[handle] = number


def _round_ways(pairs: Pairs, image_size: tuple[int, int], radius: float) -> Tensor:
    """The area (1, H, W) in which things may change where none was painted."""
    lengths = torch.tensor(pairs, dtype=torch.float64).diff(dim=1).norm(dim=-1).flatten()
    return capsules(pairs, image_size, (REACH * radius + REACH_OF_WAY * lengths).tolist())


def _with_masks(mask: Tensor, sets: Sequence[Pairs]) -> Iterator[tuple[Tensor, Pairs]]:
    """Each mask (1, H, W) with the pairs of its picture."""
    return zip(mask.split(1), sets if len(sets) > 1 else [sets[0]] * len(mask), strict=True)


def _leaves(mask: Tensor, sets: Sequence[Pairs]) -> bool:
    """Whether any target lies off the mask: then it is an object that goes there, not an area to stay in."""
    return not all(bool(_covered(one, [target for _, target in pairs]).all()) for one, pairs in _with_masks(mask, sets))


def _check_inside(mask: Tensor, sets: Sequence[Pairs]) -> None:
    for frame, (one, pairs) in enumerate(_with_masks(mask, sets), 1):
        for name, end in (("handle", 0), ("target", 1)):
            off = ~_covered(one, [pair[end] for pair in pairs])[0]
            if off.any():
                which = f"{int(off.nonzero()[0]) + 1}{_in_frame(frame, sets)}"
                raise DragonError(
                    f"the {name} of pair {which} lies off the mask, and what is dragged in an area stays in it: paint it larger, or say "
                    "that the mask is the object"
                )


def _covered(mask: Tensor, points: Sequence[tuple[float, float]]) -> Tensor:
    """Which points each mask covers: bool (M, N)."""
    size = (mask.shape[-2], mask.shape[-1])
    places = torch.tensor([points], dtype=torch.float64).expand(mask.shape[0], -1, -1).unsqueeze(1)
    return sample(mask.unsqueeze(1).cpu().double(), places, size)[:, 0, 0] > 0.25
