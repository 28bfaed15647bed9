"""A few handle → target pairs made into a displacement of the whole picture.

Between the pairs the displacement is a moving least squares fit of similarities (Schaefer, McPhail & Warren 2006, equation 5): each
point follows the rotation, uniform scale and shift that suit the pairs best, the nearer ones more. One pair is a shift, two are
a similarity, and however many there are, every handle arrives at its target.
With ``nearest`` each point goes with its nearest pair alone, as it is shifted: arrows that oppose each other then pull their own sides
apart, where the fit would make one compromise of them, and the picture tears halfway between.
Inside an ``area`` the displacement fades to nothing at the area's border, and it is made in short hops, so that what
lies between a target and the border is squeezed and what lies behind a handle is stretched, but nothing folds over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from .affine import Pair, Point
from .masks import on_grid

#: How what lies between pairs is displaced.
Interpolation = Literal["smooth", "nearest"]

#: Of points (P, 2), anchors (N, 2) before and after → what is added to each point.
Shift = Callable[[Tensor, Tensor, Tensor], Tensor]
#: Nodes along the longer side of the picture at which a displacement is worked out; it is smooth, so between them it is interpolated.
NODES = 128
#: Points times pairs that are worked out at once: bounds the memory.
BLOCK = 2_000_000
#: No part of a picture is made larger or smaller than this by contradicting pairs.
MOST_SCALE = 4.0
#: Hops are at most this share of an anchor's distance from the area's border, and this many.
HOP, MOST_HOPS = 0.25, 32
NEARLY = 1e-6


@dataclass(frozen=True, eq=False)
class Displacement:
    """A smooth map T of a picture of ``image_size`` (height, width) and its inverse: a :class:`.affine.Placement`.

    there, back: (M, 2, h, w), what is added to a point (x, y) to get T(p) and T⁻¹(p), in pixels, at the middles of a grid of nodes.
    """

    image_size: tuple[int, int]
    there: Tensor
    back: Tensor
    #: Of the picture that T⁻¹ leads to, where that is another one: it never is.
    source_size: tuple[int, int] | None = None

    def forward(self, points: Tensor) -> Tensor:
        """T of points (h, w, 2), or (M, h, w, 2) where there are M > 1 displacements or as many points."""
        return points + self._at(self.there, points)

    def inverse(self, points: Tensor) -> Tensor:
        return points + self._at(self.back, points)

    def inverted(self) -> Displacement:
        return replace(self, there=self.back, back=self.there)

    @property
    def count(self) -> int:
        return self.there.shape[0]

    @property
    def leaves_object(self) -> bool:
        return True  # what it is followed for is dragged somewhere

    @property
    def samples_per_cell(self) -> int:
        return 1  # it squeezes little, and that smoothly

    def cropped(self, image_size: tuple[int, int], corner: Point) -> Displacement:
        points = middles(nodes(image_size), image_size) + torch.tensor(corner, dtype=torch.float64)
        there, back = (sample(f, points.expand(f.shape[0], *points.shape).to(f), self.image_size) for f in (self.there, self.back))
        return Displacement((image_size[0], image_size[1]), there, back)

    def scaled(self, image_size: tuple[int, int]) -> Displacement:
        factor = image_size[0] / self.image_size[0]
        return Displacement((image_size[0], image_size[1]), factor * self.there, factor * self.back)

    def repeated(self, times: int) -> Displacement:
        return self.chosen(list(range(self.count)) * times)

    def chosen(self, rows: Sequence[int]) -> Displacement:
        return self if self.count == 1 else replace(self, there=self.there[list(rows)], back=self.back[list(rows)])

    def _at(self, field: Tensor, points: Tensor) -> Tensor:
        each = points if points.ndim == 4 else points.unsqueeze(0)
        found = sample(field.to(points), each.expand(field.shape[0], -1, -1, -1), self.image_size).movedim(1, -1)
        return found if points.ndim == 4 or field.shape[0] > 1 else found[0]


def displacement(
    pairs: Sequence[Pair],
    image_size: tuple[int, int],
    radius: float = 0.0,
    area: Tensor | None = None,
    interpolation: Interpolation = "smooth",
) -> Displacement:
    """The map that takes every handle to its target.

    ``area``: (M, H, W) in [0, 1], the areas outside of which nothing moves; without it everything does. Within ``radius`` pixels
    of a handle things go along with it as they are, before the displacement fades. ``interpolation``: between the pairs, see above.
    """
    shift = _similarity if interpolation == "smooth" else _nearest_shift
    size = nodes(image_size)
    points = middles(size, image_size).reshape(-1, 2)
    handles, targets = (torch.tensor([pair[end] for pair in pairs], dtype=torch.float64) for end in (0, 1))
    depths = [None] if area is None else list(depth(on_grid(area, size), image_size).unsqueeze(1))
    fields = []
    for start, end in ((handles, targets), (targets, handles)):
        ways = [_walk(points, start, end, radius, d, image_size, shift) - points for d in depths]
        fields.append(torch.stack(ways).reshape(len(ways), *size, 2).movedim(-1, 1))
    return Displacement((image_size[0], image_size[1]), fields[0], fields[1])


def displacements(
    sets: Sequence[Sequence[Pair]],
    image_size: tuple[int, int],
    radius: float = 0.0,
    areas: Tensor | None = None,
    interpolation: Interpolation = "smooth",
) -> Displacement:
    """One :func:`displacement` for all pictures, or one for each where each has pairs of its own, and an area (M, H, W) of its own."""
    if len(sets) == 1:
        return displacement(sets[0], image_size, radius, areas, interpolation)
    own: Sequence[Tensor | None] = [None] * len(sets) if areas is None else areas.split(1)
    each = [displacement(pairs, image_size, radius, area, interpolation) for pairs, area in zip(sets, own, strict=True)]
    return replace(each[0], there=torch.cat([one.there for one in each]), back=torch.cat([one.back for one in each]))


def nodes(image_size: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of the grid on which displacements of such a picture are worked out."""
    share = min(1.0, NODES / max(image_size))
    return max(1, round(image_size[0] * share)), max(1, round(image_size[1] * share))


def middles(size: tuple[int, int], image_size: tuple[int, int]) -> Tensor:
    """The points (x, y) in pixels at the middles of a grid's cells: (h, w, 2), float64."""
    (h, w), (height, width) = size, image_size
    y = (torch.arange(h, dtype=torch.float64) + 0.5) * (height / h)
    x = (torch.arange(w, dtype=torch.float64) + 0.5) * (width / w)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def sample(field: Tensor, points: Tensor, image_size: tuple[int, int]) -> Tensor:
    """A field (M, C, h, w) over a picture at points (M, ..., ..., 2) in its pixels, continued beyond the frame: (M, C, ..., ...)."""
    height, width = image_size
    return F.grid_sample(field, points / points.new_tensor([width, height]) * 2 - 1, padding_mode="border", align_corners=False)


def depth(area: Tensor, image_size: tuple[int, int]) -> Tensor:
    """How far inside the area (M, h, w) each cell's middle lies: pixels to the nearest cell outside of it, 0 outside; (M, h, w).

    The frame is no border: where an area ends at it, things may be dragged over it. Without an outside every cell is infinitely deep.
    """
    cell = (image_size[0] / area.shape[-2], image_size[1] / area.shape[-1])
    inside = (area > 0.5).cpu()
    depths = [torch.from_numpy(ndimage.distance_transform_edt(each.numpy(), sampling=cell)) for each in inside]
    bounded = ~inside.flatten(1).all(1)
    return torch.where(bounded.view(-1, 1, 1), torch.stack(depths), math.inf)


def capsules(pairs: Sequence[Pair], image_size: tuple[int, int], radii: Sequence[float]) -> Tensor:
    """The area (1, H, W) within a distance (pixels, one for each pair) of the ways from the handles to their targets."""
    size = nodes(image_size)
    points = middles(size, image_size).reshape(-1, 1, 2)
    starts, ends = (torch.tensor([pair[end] for pair in pairs], dtype=torch.float64) for end in (0, 1))
    limits = torch.tensor(list(radii), dtype=torch.float64)
    ways = ends - starts
    best = torch.full((points.shape[0],), math.inf, dtype=torch.float64)
    for chunk in torch.arange(len(pairs)).split(max(1, BLOCK // points.shape[0])):
        way = ways[chunk]
        along = ((points - starts[chunk]) * way).sum(-1) / way.square().sum(-1).clamp(min=NEARLY)
        nearest = starts[chunk] + along.clamp(0, 1).unsqueeze(-1) * way
        best = torch.minimum(best, ((points - nearest).norm(dim=-1) - limits[chunk]).amin(1))
    inside = F.interpolate(best.reshape(1, 1, *size), size=tuple(image_size), mode="bilinear", align_corners=False)
    return (inside[0] <= 0).float()


def _walk(
    points: Tensor, start: Tensor, end: Tensor, radius: float, inside: Tensor | None, image_size: tuple[int, int], shift: Shift
) -> Tensor:
    """Where the points (P, 2) come to when the anchors (N, 2) go from ``start`` to ``end``."""
    if inside is None:
        return points + _blocks(shift, points, start, end)
    hops = _hops(start, end, radius, inside, image_size)
    for hop in range(hops):
        here, there = (torch.lerp(start, end, share / hops) for share in (hop, hop + 1))
        deep = _depth_at(points, inside, image_size).unsqueeze(1)
        off = (_nearest(points, here).unsqueeze(1) - radius).clamp(min=0)
        fade = torch.where(deep.isinf(), torch.ones_like(deep), deep.square() / (deep.square() + off.square()).clamp(min=NEARLY))
        points = points + fade * _blocks(shift, points, here, there)
    return points


def _hops(start: Tensor, end: Tensor, radius: float, inside: Tensor, image_size: tuple[int, int]) -> int:
    """Enough of them that none is long beside the room that an anchor has."""
    room = torch.minimum(*(_depth_at(anchors, inside, image_size) for anchors in (start, end)))
    each = (end - start).norm(dim=1) / (HOP * (room + radius)).clamp(min=1.0)
    return min(MOST_HOPS, max(1, math.ceil(float(each.max()))))


def _depth_at(points: Tensor, inside: Tensor, image_size: tuple[int, int]) -> Tensor:
    """How deep the points (P, 2) lie in an area of so deep cells (1, h, w): (P,)."""
    if inside.isinf().any():  # all are; between infinities nothing can be interpolated: on a cell's middle the next one counts 0 times
        return torch.full_like(points[:, 0], math.inf)
    return sample(inside[None], points[None, None], image_size).flatten()


def _blocks(shift: Shift, points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    return torch.cat([shift(block, start, end) for block in points.split(max(1, BLOCK // len(start)))])


def _nearest_shift(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The shift of each point (P, 2): its nearest anchor's."""
    nearest = torch.cdist(points, start, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    return (end - start)[nearest]


def _similarity(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The shift of each point (P, 2) under the similarity that fits the anchors' ways best, weighted by 1 / distance²."""
    weight = 1 / ((points.unsqueeze(1) - start).square().sum(-1) + NEARLY)
    weight = weight / weight.sum(1, keepdim=True)
    middle_start, middle_end = weight @ start, weight @ end
    a, b = start - middle_start.unsqueeze(1), end - middle_end.unsqueeze(1)  # (P, N, 2)
    spread = (weight * a.square().sum(-1)).sum(1)
    cos = (weight * (a * b).sum(-1)).sum(1)
    sin = (weight * (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])).sum(1)
    alone = spread < NEARLY  # one pair, or several at one place: a shift
    cos, sin = (torch.where(alone, stand_in, part / spread.clamp(min=NEARLY)) for part, stand_in in ((cos, 1.0), (sin, 0.0)))
    scale = torch.hypot(cos, sin).clamp(min=NEARLY)
    allowed = scale.clamp(1 / MOST_SCALE, MOST_SCALE) / scale
    cos, sin = cos * allowed, sin * allowed
    x, y = (points - middle_start).unbind(-1)
    return middle_end + torch.stack([cos * x - sin * y, sin * x + cos * y], -1) - points


def _nearest(points: Tensor, others: Tensor) -> Tensor:
    """Distance of each point (P, 2) from the nearest of the others (N, 2): (P,)."""
    blocks = points.split(max(1, BLOCK // len(others)))
    return torch.cat([torch.cdist(block, others, compute_mode="donot_use_mm_for_euclid_dist").amin(1) for block in blocks])
