"""Where an edit takes from, where it puts, what it leaves empty and what it must not touch (docs/method.md, section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .affine import Placement, Point, arrived
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


def on_grid(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask (M, H, W) averaged onto a grid (h, w): soft at edges, and exact in area where the grid divides the picture."""
    if tuple(mask.shape[-2:]) == tuple(size):
        return mask.float()
    return F.interpolate(mask.unsqueeze(1).float(), size=size, mode="area").squeeze(1)


def moved_regions(mask: Tensor, transform: Placement, size: tuple[int, int]) -> Regions:
    """Regions of a mask (M, H, W) and its transform, on a grid (h, w)."""
    return Regions(on_grid(mask, size), on_grid(arrived(mask, transform), size))


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
    return F.avg_pool2d(F.pad(soft, (slope,) * 4, mode="replicate"), 2 * slope + 1, stride=1).squeeze(1) if slope else soft.squeeze(1)


def surroundings(region: Tensor, rest: Tensor, share: float = 0.08) -> Tensor:
    """The part of ``rest`` (M, h, w) within ``share`` of the grid's longer side around a region; all of ``rest`` where that is empty.

    What fills a gap should look like what is beside it: the mean over all the rest mixes sky into the lawn.
    """
    near = grown(region, max(1, round(share * max(region.shape[-2:])))) * rest
    return torch.where(near.sum((1, 2), keepdim=True) > 1e-6, near, rest)
