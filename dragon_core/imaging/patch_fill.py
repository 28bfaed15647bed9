"""Fill a hole from what surrounds it, smoothly (:func:`push_pull`) or with structure (:func:`patch_fill`)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

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
    coarse_weight = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = F.avg_pool2d(image * weight, 2, ceil_mode=True, count_include_pad=False) / coarse_weight.clamp(min=1e-6)
    filled = push_pull(coarse, (coarse_weight > 0).to(image))
    stand_in = F.interpolate(filled, size=image.shape[-2:], mode="bilinear", align_corners=False)
    nothing_known = weight.sum((1, 2, 3), keepdim=True) == 0
    return torch.where((weight > 0) | nothing_known, image, stand_in)


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
    weight = known.to(image)
    filled, left, rim, spread = push_pull(image, weight), ~known, _rim(weight), _variance(image, weight)
    for shift in _fitting_shifts(image, weight):
        piece_known = shifted(weight, shift)
        take = left & (piece_known > 0)
        if not bool(take.any()):
            continue
        piece = shifted(image, shift)
        like = ((filled - piece).square() / spread).mean(1, keepdim=True) < ALIKE
        seam = (rim + (~known & ~left & like)) * piece_known
        if not bool(seam.any()):
            continue
        step = push_pull(filled - piece, seam)  # of rim and earlier pieces alone: other objects farther off would show in it
        filled = torch.where(take, piece + step, filled)
        left = left & ~take
        if not bool(left.any()):
            break
    return filled


def shifted(image: Tensor, by: tuple[int, int]) -> Tensor:
    """``out[y, x] = image[y - by[0], x - by[1]]`` for (B, C, h, w), zero where that is outside."""
    (down, right), (h, w) = by, image.shape[-2:]
    out = torch.zeros_like(image)
    if abs(down) < h and abs(right) < w:
        to_y, to_x = slice(max(0, down), h + min(0, down)), slice(max(0, right), w + min(0, right))
        from_y, from_x = slice(max(0, -down), h + min(0, -down)), slice(max(0, -right), w + min(0, -right))
        out[..., to_y, to_x] = image[..., from_y, from_x]
    return out


def _fitting_shifts(image: Tensor, known: Tensor) -> Iterator[tuple[int, int]]:
    """Shifts (down, right) whose picture fits into the hole, best first: found on a coarse grid, refined on ever finer ones."""
    grids = [(image, known)]
    while max(grids[-1][0].shape[-2:]) > SEARCH_SIDE:
        grids.append(_halved(*grids[-1]))
    rims = [_rim(grid_known)[0, 0].nonzero() for _, grid_known in grids[:-1]]
    for best in _ranked(*grids[-1])[:PIECES]:
        for finer, rim in zip(reversed(grids[:-1]), reversed(rims), strict=True):
            best = _refined(*finer, rim, (2 * best[0], 2 * best[1]))
        yield best


def _halved(image: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """A grid of half the size: means over what is known of 2 × 2 cells; a cell counts as known if all of it is."""
    share = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool2d(image * known, 2, ceil_mode=True, count_include_pad=False) / share.clamp(min=1e-6)
    return mean, (share > 0.999).to(image)


def _ranked(image: Tensor, known: Tensor) -> list[tuple[int, int]]:
    """All shifts that know enough of the hole and of its rim, by how well they fit."""
    hole = 1 - known
    width = max(1, round(BAND * max(image.shape[-2:])))
    rows, columns = _extent(hole, width)
    band = _grown(hole, width) * known
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


def _rim(known: Tensor) -> Tensor:
    """1 in the known cells next to the hole: (1, 1, h, w)."""
    width = max(2, round(BAND / 2 * max(known.shape[-2:])))
    return _grown(1 - known, width) * known


def _refined(image: Tensor, known: Tensor, rim: Tensor, by: tuple[int, int]) -> tuple[int, int]:
    """The shift at most one cell from ``by`` that fits best at the rim, cells (n, 2); ``by`` itself where none is better."""
    (rows, columns), (h, w) = rim.unbind(1), image.shape[-2:]
    wanted = image[0, :, rows, columns]

    def mismatch(shift: tuple[int, int]) -> float:
        y, x = rows - shift[0], columns - shift[1]
        inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
        y, x = y.clamp(0, h - 1), x.clamp(0, w - 1)
        weight = known[0, 0, y, x] * inside
        off = (wanted - image[0, :, y, x]).square().sum(0) * weight
        return float(torch.where(weight.sum() > 0, off.sum() / weight.sum().clamp(min=1), torch.inf))

    return min(((by[0] + i, by[1] + j) for i in (0, -1, 1) for j in (0, -1, 1)), key=mismatch)


def _extent(hole: Tensor, margin: int) -> tuple[slice, slice]:
    """Rows and columns of a hole (1, 1, h, w) with a margin, inside the picture."""
    found = hole[0, 0].nonzero()
    (top, left), (bottom, right) = found.min(0).values.tolist(), found.max(0).values.tolist()
    h, w = hole.shape[-2:]
    return slice(max(0, top - margin), min(h, bottom + 1 + margin)), slice(max(0, left - margin), min(w, right + 1 + margin))


def _grown(mask: Tensor, cells: int) -> Tensor:
    """A mask (B, 1, h, w) made larger by ``cells`` in every direction, first down, then across: wide squares are slow."""
    for down, right in ((cells, 0), (0, cells)):
        mask = F.max_pool2d(mask, (2 * down + 1, 2 * right + 1), stride=1, padding=(down, right))
    return mask
