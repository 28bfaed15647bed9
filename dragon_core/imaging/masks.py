"""Where an edit takes from, where it puts, what it leaves empty and what it must not touch (docs/method.md, section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .affine import Placement, Point, arrived, warp
from .windows import box_max

#: Mask values up to this are the grey of a blur, a resize or a JPEG, not an edit's.
FAINT = 0.1


@dataclass(frozen=True)
class Regions:
    """Soft masks (M, h, w) in [0, 1] on one grid: the object's place in the source, and in the edited picture."""

    source: Tensor
    target: Tensor

    @property
    def vacated(self) -> Tensor:
        return self.source * (1 - self.target)

    @property
    def rest(self) -> Tensor:
        return (1 - self.source) * (1 - self.target)

    def union(self, other: Regions) -> Regions:
        return Regions(either(self.source, other.source), either(self.target, other.target))


def either(a: Tensor, b: Tensor) -> Tensor:
    """Fuzzy union."""
    return 1 - (1 - a) * (1 - b)


def on_grid(mask: Tensor, size: tuple[int, int], whole_cells: bool = False) -> Tensor:
    """A mask (M, H, W) averaged onto a grid (h, w): soft at edges, and exact in area where the grid divides the picture.

    ``whole_cells``: 0 or 1, as the mask is at each cell's upper left corner.
    """
    image = mask.unsqueeze(1).float()
    soft = mask.float() if tuple(mask.shape[-2:]) == tuple(size) else F.interpolate(image, size=size, mode="area").squeeze(1)
    return _hard(F.interpolate(image, size=size).squeeze(1), soft) if whole_cells else soft


def moved_regions(mask: Tensor, transform: Placement, size: tuple[int, int], whole_cells: bool = False) -> Regions:
    """Regions of a mask (M, H, W) and its transform, on a grid (h, w) over either picture."""
    target = on_grid(arrived(mask, transform, transform.image_size), size)
    if whole_cells:
        target = _hard(warp(mask.unsqueeze(1).float(), transform, "corner", size=size).squeeze(1), target)
    return Regions(on_grid(mask, size, whole_cells), target)


def _hard(corners: Tensor, soft: Tensor) -> Tensor:
    """0 or 1 by what a mask is at the corners of cells, (M, h, w); of one that has none of them, the cells that it covers most."""
    inside = corners > 0.5
    most = (soft > 0) & (soft >= soft.amax((1, 2), keepdim=True))
    return torch.where(inside.flatten(1).any(1)[:, None, None], inside, most).float()


def centroids(mask: Tensor) -> tuple[Point, ...]:
    """The middle (x, y) in pixels of what each mask (M, H, W) covers; every one must cover something."""
    solid = (mask > 0.5).cpu().double()
    ys, xs = (torch.arange(n, dtype=torch.float64) + 0.5 for n in solid.shape[-2:])
    total = solid.sum((1, 2))
    x, y = (solid.sum(1) @ xs / total).tolist(), (solid.sum(2) @ ys / total).tolist()
    return tuple(zip(x, y, strict=True))


def grown(mask: Tensor, cells: int) -> Tensor:
    """A mask (M, h, w) made larger by ``cells`` grid cells in every direction."""
    return box_max(mask, cells) if cells > 0 else mask


def feathered(mask: Tensor, margin: int) -> Tensor:
    """A binary mask (M, h, w) grown by ``margin`` cells: 1 for the first half of them, then falling evenly to 0 at the last."""
    slope = margin // 4
    soft = grown(mask, margin - slope).unsqueeze(1)
    # Beyond the frame the mask goes on as at its border, or an edit at the border would fade towards it.
    for down, right in ((slope, 0), (0, slope)) if slope else ():  # one after the other: a square would cost the square of its side
        soft = F.avg_pool2d(F.pad(soft, (right, right, down, down), mode="replicate"), (2 * down + 1, 2 * right + 1), stride=1)
    return soft.squeeze(1)


def surroundings(region: Tensor, rest: Tensor, share: float = 0.08) -> Tensor:
    """The part of ``rest`` (M, h, w) within ``share`` of the grid's longer side around a region; all of ``rest`` where that is empty.

    What fills a gap should look like what is beside it: the mean over all the rest mixes sky into the lawn.
    """
    near = grown(region, max(1, round(share * max(region.shape[-2:])))) * rest
    return torch.where(near.sum((1, 2), keepdim=True) > 1e-6, near, rest)
