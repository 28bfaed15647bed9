"""Energies of point dragging (DragonDiffusion, section 3.4; docs/method.md, section 6): 3×3 patches of the grid, between its cells.

Points are (N, 2), (x, y) in pixels of the picture that the features are of, float64 on the CPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..features import Features, similarity
from .form import attraction, nothing

#: Cells to either side of a point that belong to its patch.
AROUND = 1


def points_energy(
    generation: Features, reference: Features, handles: Tensor, targets: Tensor, image_size: tuple[int, int], weight: float
) -> Tensor:
    """Pulls what is at each target towards what was at its handle; the mean over the pairs: (B,)."""
    wanted, found = patches(reference, handles, image_size), patches(generation, targets, image_size)
    similar = torch.stack([similarity(f, w).mean(-1) for f, w in zip(found, wanted, strict=True)]).mean(0)
    return attraction(weight, similar).mean(1)


def repulsion_energy(
    generation: Features, reference: Features, handles: Tensor, targets: Tensor, image_size: tuple[int, int], weight: float
) -> Tensor:
    """Pushes the handles' old places away from what was there, but for what belongs to a target's patch: (B,)."""
    size = (generation[0].shape[-2], generation[0].shape[-1])
    steps = cell(size, image_size)
    left = around(handles, size, image_size).flatten(0, 1)  # (9 N, 2)
    apart = ((left.unsqueeze(1) - targets.to(left)).abs() > (AROUND + 0.5) * steps.to(left)).any(-1).all(1)
    left = left[apart]
    if weight == 0 or len(left) == 0:
        return nothing(generation)
    pairs = zip(at(generation, left, image_size), at(reference, left, image_size), strict=True)
    return weight * torch.stack([similarity(g, r) for g, r in pairs]).mean((0, 2))


def patches(features: Features, points: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, ...]:
    """The 3×3 patch of each point by tap: (B, C_i, N, 9)."""
    size = (features[0].shape[-2], features[0].shape[-1])
    return at(features, around(points, size, image_size), image_size)


def around(points: Tensor, size: tuple[int, int], image_size: tuple[int, int]) -> Tensor:
    """The places of each point's patch, a cell of the grid (h, w) apart: (N, 9, 2)."""
    near = torch.arange(-AROUND, AROUND + 1, dtype=points.dtype, device=points.device)
    offsets = torch.stack(torch.meshgrid(near, near, indexing="xy"), -1).reshape(-1, 2)
    return points.unsqueeze(1) + offsets * cell(size, image_size).to(points)


def at(features: Features, points: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Features at points (..., 2), bilinear, continued beyond the frame; by tap (B, C_i, ...)."""
    height, width = image_size
    places = (points / points.new_tensor([width, height]) * 2 - 1).reshape(1, 1, -1, 2)

    def sampled(f: Tensor) -> Tensor:
        grid = places.to(f).expand(f.shape[0], -1, -1, -1)
        return F.grid_sample(f, grid, padding_mode="border", align_corners=False).reshape(*f.shape[:2], *points.shape[:-1])

    return tuple(sampled(f) for f in features)


def cell(size: tuple[int, int], image_size: tuple[int, int]) -> Tensor:
    """(width, height) in pixels of a grid's cell."""
    return torch.tensor([image_size[1] / size[1], image_size[0] / size[0]], dtype=torch.float64)
