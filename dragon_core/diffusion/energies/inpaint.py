"""Inpaint energy (the authors' code; docs/method.md, section 6): on average the vacated area should look like the fill region."""

from __future__ import annotations

import torch
from torch import Tensor

from ..features import Features, region_mean, similarity
from .form import attraction, nothing


def inpaint_energy(generation: Features, reference: Features, vacated: Tensor, fill: Tensor, weight: float) -> Tensor:
    if weight == 0:
        return nothing(generation)
    pairs = zip(region_mean(generation, vacated), region_mean(reference, fill), strict=True)
    energy = attraction(weight, torch.stack([similarity(g, r) for g, r in pairs]).mean(0))
    return energy * (vacated.sum((1, 2)) > 1e-6)
