"""Energies of point dragging (DragonDiffusion, section 3.4; docs/method.md, section 6): 3×3 patches of the grid, between its cells.

Points are (N, 2), (x, y) in pixels of the picture that the features are of, float64 on the CPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..features import Features, similarity
from .form import AVERAGED, Form, nothing

#: Cells to either side of a point that belong to its patch.
AROUND = 1


def points_energy(
    generation: Features,
    reference: Features,
    handles: Tensor,
    targets: Tensor,
    image_size: tuple[int, int],
    weight: float,
    form: Form = AVERAGED,
) -> Tensor:
    """Pulls what is at each target towards what was at its handle; the mean over the pairs: (B,)."""
    wanted, found = patches(reference, handles, image_size), patches(generation, targets, image_size)
    similar = [form.similarity(f, w).mean(-1) for f, w in zip(found, wanted, strict=True)]
    return form.attraction(weight, similar).mean(1)


def repulsion_energy(
    generation: Features,
    reference: Features,
    handles: Tensor,
    targets: Tensor,
    image_size: tuple[int, int],
    weight: float,
    each_pair: bool = False,
) -> Tensor:
    """Pushes the handles' old places away from what was there, but for what belongs to a target's patch: (B,).

    ``each_pair``: the mean is taken over the places of every pair that its own target leaves, and then over the pairs.
    """
    size = (generation[0].shape[-2], generation[0].shape[-1])
    steps = cell(size, image_size)
    places = around(handles, size, image_size)  # (N, 9, 2)
    near = (places.unsqueeze(2) - targets.to(places)).abs() <= (AROUND + 0.5) * steps.to(places)
    near = near.all(-1)  # (N, 9, N): which place lies in which target's patch
    off = ~(near.diagonal(dim1=0, dim2=2).T if each_pair else near.any(2))
    if weight == 0 or not bool(off.any()):
        return nothing(generation)
    left = places[off]
    pairs = zip(at(generation, left, image_size), at(reference, left, image_size), strict=True)
    similar = torch.stack([similarity(g, r) for g, r in pairs])  # (taps, B, places)
    if not each_pair:
        return weight * similar.mean((0, 2))
    share = (off / off.sum(1, keepdim=True).clamp(min=1))[off] / len(handles)  # a pair whose target is its handle pushes at nothing
    return weight * (similar.mean(0) * share.to(similar)).sum(1)


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
