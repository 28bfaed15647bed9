"""Edit energy of moving, resizing and pasting (DragonDiffusion, equation 5).

Pulls the generation's features at every point p of the target region towards the reference's at T⁻¹(p).
"""

from __future__ import annotations

from torch import Tensor

from ...imaging.affine import Placement, warp
from ..features import Features, masked_mean, similarity_map
from .form import attraction


def correspondence_energy(generation: Features, reference: Features, target: Tensor, transform: Placement, weight: float) -> Tensor:
    size = (target.shape[-2], target.shape[-1])
    brought = tuple(warp(f, transform, mode="area", beyond="border", size=size) for f in reference)
    return attraction(weight, masked_mean(similarity_map(generation, brought), target))
