"""Mean distance from feature maps: where in the output is what was at the handle, and how far is that from the target?

Two protocols that must never be mixed: DragDiffusion's searches the whole output and counts pixels; RegionDrag's searches near the
handle and the target only and counts shares of the sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.cases import Point

ROWS_AT_ONCE = 32
"""Upsampled to 512 px, 1280 channels would take 1.3 GB at once."""


@dataclass(frozen=True)
class Distances:
    """Of one picture, a number a pair."""

    pixels: list[float]
    """Whole picture searched; pixels (DragDiffusion)."""
    near: list[float]
    """Searched in discs round handle and target; length of (Δx / width, Δy / height) (RegionDrag)."""


def distances(source: Tensor, output: Tensor, points: Sequence[tuple[Point, Point]], size: tuple[int, int]) -> Distances:
    """``source``, ``output``: feature maps (C, h, w) of two pictures of ``size`` (H, W), bilinearly enlarged to it. Points are (x, y)."""
    height, width = size
    y_weights, x_weights = _enlarging(source.shape[1], height).to(source), _enlarging(source.shape[2], width).to(source)
    norms = torch.cat(
        [(torch.einsum("yh,chw->cyw", rows, output) @ x_weights.T).norm(dim=0) for rows in y_weights.split(ROWS_AT_ONCE)]
    )
    grid = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"), dim=-1).to(source)
    pixels, near = [], []
    for handle, target in points:
        x, y = (int(min(max(round(v), 0), n - 1)) for v, n in zip(handle, (width, height), strict=True))
        wanted = torch.einsum("h,chw,w->c", y_weights[y], source, x_weights[x])
        likeness = y_weights @ torch.einsum("c,chw->hw", wanted, output) @ x_weights.T / (norms * wanted.norm()).clamp(min=1e-12)
        found = _best(likeness, grid)
        pixels.append(math.hypot(found[0] - target[0], found[1] - target[1]))
        radius = max(5.0, math.hypot(handle[0] - target[0], handle[1] - target[1]) / math.sqrt(2))
        allowed = torch.zeros_like(likeness, dtype=torch.bool)
        for centre in (handle, target):
            allowed |= (grid - grid.new_tensor(centre)).norm(dim=-1) <= radius
        found = _best(likeness.masked_fill(~allowed, -torch.inf), grid)
        near.append(math.hypot((found[0] - target[0]) / width, (found[1] - target[1]) / height))
    return Distances(pixels, near)


def _best(likeness: Tensor, grid: Tensor) -> tuple[float, float]:
    x, y = grid.reshape(-1, 2)[likeness.argmax()].tolist()
    return x, y


def _enlarging(size: int, wanted: int) -> Tensor:
    """Matrix (wanted, size) that enlarges bilinearly along one side, as ``F.interpolate`` does."""
    return F.interpolate(torch.eye(size)[None], size=wanted, mode="linear", align_corners=False)[0].T
