"""Fill a hole from what surrounds it, smoothly (:func:`push_pull`) or with structure (:func:`patch_fill`)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .windows import Part, box_max, extent

#: The search for what continues into a hole runs on at most so many cells a side, and is refined below.
SEARCH_SIDE = 48
#: Width of the band round the hole that a piece must agree with, as a share of the searched picture's side.
BAND = 1 / 16
#: A piece must know at least this much of the hole.
LEAST_COVER = 0.3
#: Weight of a piece's difference from the smooth fill inside the hole: keeps whole other objects from being copied there.
PLAINNESS = 0.2
#: Cost of a piece from a whole picture's height above or below: floors, horizons and light are alike along a row.
LEVEL = 1.0
#: Two pieces show the same where they differ by less than this share of the picture's variance: elsewhere an edge lies between them.
ALIKE = 0.25
#: So many pieces are tried, best first, until the hole is full.
PIECES = 24


def push_pull(image: Tensor, known: Tensor) -> Tensor:
    """``image`` (B, C, h, w) where ``known`` (M, 1, h, w) is 1, smoothly continued where it is 0; unchanged if nothing is known.

    Push: average what is known at ever coarser scales. Pull: from coarse to fine, let the coarser value stand in for the unknown
    (Gortler et al., The Lumigraph, section 3.5.2).
    """
    weight = known.to(image).expand(image.shape[0], 1, *image.shape[-2:])
    if min(image.shape[-2:]) == 1 or bool((weight > 0).all()):
        total = weight.sum((2, 3), keepdim=True)
        mean = (image * weight).sum((2, 3), keepdim=True) / total.clamp(min=1e-6)
        return torch.where((weight > 0) | (total == 0), image, mean)
    coarse, coarse_weight = _averaged(image, weight)
    filled = push_pull(coarse, (coarse_weight > 0).to(image))
    stand_in = _doubled(filled, image)
    nothing_known = weight.sum((1, 2, 3), keepdim=True) == 0
    return torch.where((weight > 0) | nothing_known, image, stand_in)


def _push_pull_part(image: Tensor, known: Tensor, part: Part, size: tuple[int, int]) -> Tensor:
    """:func:`push_pull` of a picture of ``size`` (height, width) in a part (1, C, h, w) of it, beyond which nothing is known.

    The same as of all the picture, for as many scales as the part begins and ends at whole cells of.
    """
    rows, columns = part
    uneven = any(p.start % 2 or (p.stop % 2 and p.stop < side) for p, side in zip(part, size, strict=True))
    if uneven or max(size) <= SEARCH_SIDE or min(image.shape[-2:]) == 1:
        whole, whole_known = (each.new_zeros(*each.shape[:2], *size) for each in (image, known))
        whole[..., rows, columns], whole_known[..., rows, columns] = image, known
        return push_pull(whole, whole_known)[..., rows, columns]
    coarse, share = _averaged(image, known)
    coarse_part = (slice(rows.start // 2, -(-rows.stop // 2)), slice(columns.start // 2, -(-columns.stop // 2)))
    filled = _push_pull_part(coarse, (share > 0).to(image), coarse_part, (-(-size[0] // 2), -(-size[1] // 2)))
    return torch.where(known > 0, image, _doubled(filled, image))


def _doubled(coarse: Tensor, fine: Tensor) -> Tensor:
    """Coarse cells interpolated on the grid of ``fine``, of whose cells each is the mean of 2 × 2, also at an odd side's end."""
    return F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., : fine.shape[-2], : fine.shape[-1]]


def _averaged(image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted means of 2 × 2 cells, and the share of each that has weight."""
    share = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    return F.avg_pool2d(image * weight, 2, ceil_mode=True, count_include_pad=False) / share.clamp(min=1e-6), share


def patch_fill(image: Tensor, known: Tensor) -> Tensor:
    """``image`` (B, C, h, w) with its hole, where ``known`` (M, 1, h, w) is 0, filled by pieces of itself that continue its rim.

    Horizons, floor boards and patterns go on through the hole, which a smooth fill would wipe out. The picture is shifted so that
    it agrees with itself in a band round the hole (shift maps: Pritch et al. 2009; He and Sun 2012), and what is left of a step at
    the seam, with the rim and with earlier pieces that show the same, is spread smoothly over the piece (Pérez et al. 2003). Where nothing
    fits, the fill is smooth.
    """
    known = known.to(torch.bool).expand(image.shape[0], 1, *image.shape[-2:])
    return torch.cat([_patch_fill(picture[None], own[None]) for picture, own in zip(image, known, strict=True)])


def _patch_fill(image: Tensor, known: Tensor) -> Tensor:
    """:func:`patch_fill` for one picture (1, C, h, w)."""
    if bool(known.all()) or not bool(known.any()):
        return image
    weight, size = known.to(image), (image.shape[-2], image.shape[-1])
    align = 2 ** round(math.log2(max(1.0, _rim_width(image))))
    rows, columns = part = extent(~known, _rim_width(image) + align, align)  # nothing farther off has to do with the hole
    filled, own = image[..., rows, columns].clone(), known[..., rows, columns]
    left, rim, variance = ~own, _rim(weight, part), _variance(image, weight)
    for shift in _fitting_shifts(image, weight):
        piece_known = shifted(weight, shift, part)
        take = left & (piece_known > 0)
        if not bool(take.any()):
            continue
        piece = shifted(image, shift, part)
        like = ((filled - piece).square() / variance).mean(1, keepdim=True) < ALIKE
        seam = (rim + (~own & ~left & like)) * piece_known
        if not bool(seam.any()):
            continue
        step = _push_pull_part(filled - piece, seam, part, size)  # of rim and earlier pieces alone: other objects would show in it
        filled = torch.where(take, piece + step, filled)
        left = left & ~take
        if not bool(left.any()):
            break
    else:
        filled = torch.where(left, push_pull(image, weight)[..., rows, columns], filled)
    whole = image.clone()
    whole[..., rows, columns] = filled
    return whole


def shifted(image: Tensor, by: tuple[int, int], part: Part | None = None) -> Tensor:
    """``out[y, x] = image[y - by[0], x - by[1]]`` for (B, C, h, w), zero where that is outside; only ``part`` of it if given."""
    places = part or (slice(0, image.shape[-2]), slice(0, image.shape[-1]))
    out = image.new_zeros(*image.shape[:-2], *(place.stop - place.start for place in places))
    to, source = [], []
    for place, shift, side in zip(places, by, image.shape[-2:], strict=True):
        first, last = max(place.start, shift), min(place.stop, side + shift)  # of what is shifted into the part
        if first >= last:
            return out
        to.append(slice(first - place.start, last - place.start))
        source.append(slice(first - shift, last - shift))
    out[..., to[0], to[1]] = image[..., source[0], source[1]]
    return out


def _fitting_shifts(image: Tensor, known: Tensor) -> Iterator[tuple[int, int]]:
    """Shifts (down, right) whose picture fits into the hole, best first: found on a coarse grid, refined on ever finer ones."""
    grids = [(image, known)]
    while max(grids[-1][0].shape[-2:]) > SEARCH_SIDE:
        grids.append(_halved(*grids[-1]))
    finer = [RimSearch.of(*grid) for grid in grids[:-1]]
    for best in _ranked(*grids[-1])[:PIECES]:
        for search in reversed(finer):
            best = search.refined((2 * best[0], 2 * best[1]))
        yield best


def _halved(image: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """A grid of half the size: means over what is known of 2 × 2 cells; a cell counts as known if all of it is."""
    mean, share = _averaged(image, known)
    return mean, (share > 0.999).to(image)


def _ranked(image: Tensor, known: Tensor) -> list[tuple[int, int]]:
    """All shifts that know enough of the hole and of its rim, by how well they fit."""
    hole = 1 - known
    width = max(1, round(BAND * max(image.shape[-2:])))
    rows, columns = extent(hole > 0, width)
    band = box_max(hole, width) * known
    size = (rows.stop - rows.start, columns.stop - columns.start)
    beyond = (size[0] // 2, size[1] // 2)  # a piece may reach out of the picture by half the hole's size
    around = (beyond[1], beyond[1], beyond[0], beyond[0])
    pieces = F.pad(image, around)[0].unfold(1, size[0], 1).unfold(2, size[1], 1)  # (C, down, right, rows, columns)
    piece_known = F.pad(known, around)[0, 0].unfold(0, size[0], 1).unfold(1, size[1], 1)
    spread = _variance(image, known).view(-1, 1, 1, 1)
    smooth = push_pull(image, known)

    def mismatch(wanted: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        aim, weight = wanted[0, :, rows, columns][:, None], where[0, 0, rows, columns]
        off, share = [], []
        for row, row_known in zip(pieces.unbind(1), piece_known.unbind(0), strict=True):  # all at once, they would fill the memory
            both = row_known * weight
            off.append(((row - aim).square().div(spread).mean(0) * both).sum((-2, -1)))
            share.append(both.sum((-2, -1)))
        shares = torch.stack(share)
        return torch.stack(off) / shares.clamp(min=1e-6), shares / weight.sum().clamp(min=1e-6)

    at_rim, rim_known = mismatch(image, band)
    inside, cover = mismatch(smooth, hole)
    down = rows.start + beyond[0] - torch.arange(cover.shape[0], device=image.device)
    cost = at_rim + PLAINNESS * inside + LEVEL * down.abs().unsqueeze(1) / image.shape[-2]
    usable = (cover >= LEAST_COVER) & (rim_known >= 0.5)
    order = torch.argsort(torch.where(usable, cost, torch.inf).flatten(), stable=True)[: int(usable.sum())].tolist()
    across = cost.shape[1]
    return [(rows.start + beyond[0] - i // across, columns.start + beyond[1] - i % across) for i in order]


def _variance(image: Tensor, known: Tensor) -> Tensor:
    """Variance (1, C, 1, 1) of what is known of a picture (1, C, h, w)."""
    total = known.sum().clamp(min=1)
    mean = (image * known).sum((2, 3), keepdim=True) / total
    return (((image - mean) * known).square().sum((2, 3), keepdim=True) / total).clamp(min=1e-6)


def _rim(known: Tensor, part: Part) -> Tensor:
    """1 in the known cells next to the hole, in a part of (1, 1, h, w)."""
    rows, columns = part
    return box_max(1 - known[..., rows, columns], _rim_width(known)) * known[..., rows, columns]


def _rim_width(grid: Tensor) -> int:
    """Cells of a whole grid (…, h, w) that a rim is wide."""
    return max(2, round(BAND / 2 * max(grid.shape[-2:])))


@dataclass(frozen=True, eq=False)
class RimSearch:
    """A grid on which the best of neighbouring shifts is looked for.

    cells: (h * w, C + 1), values and whether they are known. rim: (n, 2), rows and columns of the known cells next to the hole.
    known: how badly the shifts fit that were tried.
    """

    cells: Tensor
    size: tuple[int, int]
    rim: Tensor
    known: dict[tuple[int, int], float] = field(default_factory=dict)

    @classmethod
    def of(cls, image: Tensor, known: Tensor) -> RimSearch:
        """Of a picture (1, C, h, w) with a hole."""
        part = extent(known == 0, _rim_width(known))
        rim = _rim(known, part)[0, 0].nonzero() + torch.tensor([part[0].start, part[1].start], device=known.device)
        return cls(torch.cat([image, known], 1)[0].flatten(1).T.contiguous(), (image.shape[-2], image.shape[-1]), rim)

    def refined(self, by: tuple[int, int]) -> tuple[int, int]:
        """The shift at most one cell from ``by`` that fits best at the rim; ``by`` itself where none is better."""
        near = [(by[0] + i, by[1] + j) for i in (0, -1, 1) for j in (0, -1, 1)]
        for shift in near:
            if shift not in self.known:  # pieces that lie beside each other ask for the same
                self.known[shift] = self._mismatch(shift)
        return min(near, key=self.known.__getitem__)

    @cached_property
    def _wanted(self) -> tuple[Tensor, Tensor]:
        """Where the rim's cells are in ``cells``, and what is there."""
        at = self.rim[:, 0] * self.size[1] + self.rim[:, 1]
        return at, self.cells[at, :-1]

    @cached_property
    def _ends(self) -> tuple[list[int], list[int]]:
        """The rim's first and last row and column."""
        return self.rim.amin(0).tolist(), self.rim.amax(0).tolist()

    def _mismatch(self, shift: tuple[int, int]) -> float:
        at, wanted = self._wanted
        at = at - (shift[0] * self.size[1] + shift[1])
        if not all(a - by >= 0 and b - by < side for a, b, by, side in zip(*self._ends, shift, self.size, strict=True)):
            place = self.rim - torch.tensor(shift, device=self.rim.device)
            inside = ((place >= 0) & (place < torch.tensor(self.size, device=self.rim.device))).all(1)
            at, wanted = at[inside], wanted[inside]
        found = self.cells[at]
        weight = found[:, -1]
        total = weight.sum()
        return float(torch.where(total > 0, (wanted - found[:, :-1]).square().sum(1) @ weight / total.clamp(min=1), torch.inf))
