"""Contrast energy (the authors' code; docs/method.md, section 6): push the vacated area away from what was there."""

from __future__ import annotations

from torch import Tensor

from ..features import Features, masked_mean, similarity_map
from .form import nothing


def contrast_energy(generation: Features, reference: Features, vacated: Tensor, weight: float) -> Tensor:
    """``weight`` times the mean S over ``vacated`` (M, h, w), to be minimised; no energy at a weight of 0."""
    if weight == 0:
        return nothing(generation)
    return weight * masked_mean(similarity_map(generation, reference, (vacated.shape[-2], vacated.shape[-1])), vacated)
