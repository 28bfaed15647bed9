"""One affine map serves moving, resizing, rotating and pasting: T(p) = c + A (p − c) + d, in image pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DragonError
from .windows import Part, extent

#: (x, y) in pixels.
Point = tuple[float, float]
#: A handle and its target.
Pair = tuple[Point, Point]
#: Those of one picture.
Pairs = tuple[Pair, ...]

#: All of a grid.
WHOLE = (slice(None), slice(None))
#: Of a cell: so much a corner may fall short of the next cell by rounding.
CORNER_SLACK = 1e-6


class Placement(Protocol):
    """A map T of a picture to a picture, and its inverse, or one for each picture of a batch."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the picture that T(p) lies in."""

    @property
    def source_size(self) -> tuple[int, int] | None:
        """The same of the picture that p lies in, where that is another one."""

    @property
    def count(self) -> int:
        """How many maps there are: 1 that serves all pictures, or one for each."""

    @property
    def leaves_object(self) -> bool:
        """Whether T, T∘T, … leave the object that T is for, so that they find what lies beyond it."""

    @property
    def samples_per_cell(self) -> int:
        """How finely, each way, its result must be sampled so that no value is skipped."""

    def forward(self, points: Tensor) -> Tensor:
        """T of points (..., 2), or (M, ..., 2) where M > 1 pictures have maps of their own."""

    def inverse(self, points: Tensor) -> Tensor:
        """T⁻¹ of points, likewise."""

    def inverted(self) -> Placement:
        """The map that undoes this one."""

    def cropped(self, image_size: tuple[int, int], corner: Point) -> Placement:
        """The same in the part of the picture that has this size and begins at ``corner``, for source and target alike."""

    def scaled(self, image_size: tuple[int, int]) -> Placement:
        """The same in a picture that was scaled to this size, by one factor for x and y."""

    def repeated(self, times: int) -> Placement:
        """For as many times the pictures: where each has a map of its own, all of them in turn."""

    def chosen(self, rows: Sequence[int]) -> Placement:
        """Of maps that pictures have of their own, those of the pictures ``rows``, in that order; one for all stays."""


@dataclass(frozen=True)
class AffineWarp:
    """T(p) = centre + matrix (p − centre) + shift, a :class:`Placement`. Points are (x, y) in pixels.

    ``shift``, ``centre``: one for all pictures of a batch, or one for each. ``source_size``: (height, width) of the picture that p
    lies in where that is another one, as in pasting.
    """

    image_size: tuple[int, int]
    shift: Point | tuple[Point, ...] = (0.0, 0.0)
    matrix: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))
    centre: Point | tuple[Point, ...] = (0.0, 0.0)
    source_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        (a, b), (c, d) = self.matrix
        if abs(a * d - b * c) < 1e-6:
            raise DragonError("the transform squeezes the object to nothing; use a scale above 0")

    @property
    def leaves_object(self) -> bool:
        return self.matrix == ((1.0, 0.0), (0.0, 1.0))  # a resized object's middle stays in it

    @property
    def count(self) -> int:
        return max(len(self.centres), len(self.shifts))

    @property
    def samples_per_cell(self) -> int:
        """More than one where it shrinks."""
        stretch = torch.linalg.svdvals(torch.tensor(self.matrix, dtype=torch.float64))
        return max(1, min(8, math.ceil(1 / float(stretch[-1]) - 1e-6)))

    @property
    def centres(self) -> Tensor:
        """(M, 2), one row where it serves all pictures."""
        return torch.tensor(self.centre, dtype=torch.float64).view(-1, 2)

    @property
    def shifts(self) -> Tensor:
        """(M, 2), one row where it serves all pictures."""
        return torch.tensor(self.shift, dtype=torch.float64).view(-1, 2)

    def forward(self, points: Tensor) -> Tensor:
        centre, shift = _over(points, self.centres), _over(points, self.shifts)
        return (points - centre) @ points.new_tensor(self.matrix).T + centre + shift

    def inverse(self, points: Tensor) -> Tensor:
        centre, shift = _over(points, self.centres), _over(points, self.shifts)
        return (points - centre - shift) @ torch.linalg.inv(points.new_tensor(self.matrix)).T + centre

    def inverted(self) -> AffineWarp:
        inverse = torch.linalg.inv(torch.tensor(self.matrix, dtype=torch.float64))
        (a, b), (c, d) = inverse.tolist()
        sizes = {} if self.source_size is None else {"image_size": self.source_size, "source_size": self.image_size}
        return replace(self, matrix=((a, b), (c, d)), shift=each_point(-self.shifts @ inverse.T), **sizes)

    def cropped(self, image_size: tuple[int, int], corner: Point) -> AffineWarp:
        return replace(self, image_size=image_size, centre=each_point(self.centres - torch.tensor(corner, dtype=torch.float64)))

    def scaled(self, image_size: tuple[int, int]) -> AffineWarp:
        factor = image_size[0] / self.image_size[0]
        return replace(self, image_size=image_size, shift=each_point(factor * self.shifts), centre=each_point(factor * self.centres))

    def repeated(self, times: int) -> AffineWarp:
        return self.chosen(list(range(self.count)) * times) if self.count > 1 else self

    def chosen(self, rows: Sequence[int]) -> AffineWarp:
        shift, centre = (each_point(each[list(rows)] if len(each) > 1 else each) for each in (self.shifts, self.centres))
        return replace(self, shift=shift, centre=centre)


def each_point(points: Tensor) -> tuple[Point, ...]:
    """Points (M, 2) as :class:`AffineWarp` keeps them."""
    return tuple((float(x), float(y)) for x, y in points.tolist())


def _over(points: Tensor, each: Tensor) -> Tensor:
    """One value (1, 2) or one a picture (M, 2), to be broadcast over points (..., 2): (2,) or (M, 1, ..., 1, 2)."""
    each = each.to(points)
    return each[0] if len(each) == 1 else each.view(-1, *(1 for _ in points.shape[:-1]), 2)


def rotation_scale(degrees: float, scale: Point) -> tuple[tuple[float, float], tuple[float, float]]:
    """R S: scaled by ``scale`` (x, y) along the picture's axes, then turned by ``degrees``, clockwise as y points down."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    (sx, sy) = scale
    return (cos * sx, -sin * sy), (sin * sx, cos * sy)


def warp(
    image: Tensor,
    transform: Placement,
    mode: str = "bilinear",
    beyond: str = "zeros",
    size: tuple[int, int] | None = None,
    part: Part | None = None,
) -> Tensor:
    """``out(p) = image(T⁻¹ p)`` for images (B, C, h, w) on any grid over the transform's source picture.

    ``mode`` is "bilinear", "area" (the same, averaged over what a cell covers where the transform shrinks), or "nearest" where values
    must not be mixed (noise keeps its variance); "corner" is "nearest" to the upper left corners of cells rather than to their middles,
    as PyTorch's interpolate and with it the authors' code have it. ``beyond`` the frame are "zeros", or the values at its "border".
    ``size``: the grid of ``out``, where it is not the image's. ``part``: what of ``out`` is wanted, where it is not all.
    """
    h, w = size or (image.shape[-2], image.shape[-1])
    fine = transform.samples_per_cell if mode == "area" else 1
    wanted = WHOLE if part is None else tuple(slice(p.start * fine, p.stop * fine) for p in part)
    points = _came_from(transform, (h * fine, w * fine), wanted, 0.0 if mode == "corner" else 0.5)
    height, width = transform.source_size or transform.image_size
    points = points / points.new_tensor([width, height])
    nearest = mode in ("nearest", "corner")
    if nearest:  # grid_sample rounds halves to even: a shift by half a cell would take every other value twice
        cells = points.new_tensor([image.shape[-1], image.shape[-2]])
        points = ((points * cells + (CORNER_SLACK if mode == "corner" else 0)).floor() + 0.5) / cells
    grid = (points * 2 - 1).to(image)
    batch = max(image.shape[0], grid.shape[0] if grid.ndim == 4 else 1)
    image, grid = image.expand(batch, -1, -1, -1), grid.expand(batch, -1, -1, -1)
    out = F.grid_sample(image, grid, mode="nearest" if nearest else "bilinear", padding_mode=beyond, align_corners=False)
    return out if fine == 1 else F.avg_pool2d(out, fine)


def landing(mask: Tensor, transform: Placement, size: tuple[int, int], margin: int = 2) -> Part:
    """The part of a grid over the transform's picture in which a mask (M, h, w) arrives, and ``margin`` cells around; perhaps empty."""
    if not isinstance(transform, AffineWarp):
        return slice(0, size[0]), slice(0, size[1])
    rows, columns = extent(mask > 0, 1)
    height, width = transform.source_size or transform.image_size
    ys, xs = (
        (torch.tensor([p.start, p.stop]).double()) * (pixels / cells)
        for p, pixels, cells in ((rows, height, mask.shape[-2]), (columns, width, mask.shape[-1]))
    )
    corners = transform.forward(torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)).reshape(-1, 2)
    found = []
    for places, pixels, cells in zip(corners.flip(-1).unbind(-1), transform.image_size, size, strict=True):
        low, high = (float(end) * cells / pixels for end in (places.min(), places.max()))
        first = min(max(0, math.floor(low) - margin), cells)
        found.append(slice(first, max(first, min(cells, math.ceil(high) + margin))))
    return found[0], found[1]


def arrived(mask: Tensor, transform: Placement, size: tuple[int, int] | None = None) -> Tensor:
    """A mask (M, h, w) at its new place, (M, h', w') on a grid of ``size`` over the transform's picture, or on the mask's own."""
    h, w = size or (mask.shape[-2], mask.shape[-1])
    rows, columns = part = landing(mask, transform, (h, w))
    out = torch.zeros(max(len(mask), transform.count), h, w, device=mask.device)
    if rows.start < rows.stop and columns.start < columns.stop:
        out[:, rows, columns] = warp(mask.unsqueeze(1).float(), transform, "area", size=(h, w), part=part).squeeze(1)
    return out


def unrepeated(transform: Placement, size: tuple[int, int], source: tuple[int, int], device: torch.device) -> Tensor:
    """Where a "nearest" :func:`warp` from a grid ``source`` to a grid ``size`` puts each value for the first time: bool (h, w), or
    (M, h, w) where pictures have centres of their own.

    Enlarging takes values several times, and repeated noise is no longer white. Of equals the one nearest to its origin counts.
    """
    height, width = transform.source_size or transform.image_size
    at = _came_from(transform, size)
    at = at * at.new_tensor([source[1] / width, source[0] / height])
    firsts = torch.stack([_firsts(each, source) for each in at]) if at.ndim == 4 else _firsts(at, source)
    return firsts.to(device)


def _firsts(at: Tensor, source: tuple[int, int]) -> Tensor:
    """Which of the places (h, w, 2), counted in cells of a grid ``source``, is the nearest to the middle of its cell: bool (h, w)."""
    column, row = at.floor().unbind(-1)
    inside = (column >= 0) & (column < source[1]) & (row >= 0) & (row < source[0])
    cell = torch.where(inside, row * source[1] + column, torch.zeros_like(row)).long().flatten()
    order = torch.arange(cell.numel(), device=at.device) * 1e-9
    away = torch.where(inside, (at - at.floor() - 0.5).abs().amax(-1), torch.full_like(row, math.inf)).flatten() + order
    nearest = torch.full((source[0] * source[1],), math.inf, dtype=away.dtype, device=at.device).scatter_reduce(0, cell, away, "amin")
    return (inside.flatten() & (away == nearest[cell])).view(inside.shape)


def _came_from(transform: Placement, size: tuple[int, int], part: tuple[slice, ...] = WHOLE, within: float = 0.5) -> Tensor:
    """T⁻¹ of the cell centres of (part of) a grid over the transform's picture: (h, w, 2) or (M, h, w, 2), pixels of its source picture.

    ``within``: 0 for the cells' upper left corners.

    float64 and so on the CPU, wherever the picture lies: Apple's GPUs and some of Intel's have no such numbers.
    """
    (h, w), (height, width) = size, transform.image_size
    y = (torch.arange(h, dtype=torch.float64) + within) * (height / h)
    x = (torch.arange(w, dtype=torch.float64) + within) * (width / w)
    rows, columns = part
    return transform.inverse(torch.stack(torch.meshgrid(x[columns], y[rows], indexing="xy"), dim=-1))
