"""Content energy (DragonDiffusion, equation 6): what lies outside source and target stays as it was."""

from __future__ import annotations

from torch import Tensor

from ..features import Features, masked_mean, similarity_map
from .form import attraction, nothing


def content_energy(generation: Features, reference: Features, rest: Tensor, weight: float) -> Tensor:
    if weight == 0:
        return nothing(generation)
    return attraction(weight, masked_mean(similarity_map(generation, reference), rest))
