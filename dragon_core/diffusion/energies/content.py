"""Content energy (DragonDiffusion, equation 6): what lies outside source and target stays as it was."""

from __future__ import annotations

from torch import Tensor

from ..features import Features, masked_mean
from .form import AVERAGED, Form, nothing


def content_energy(generation: Features, reference: Features, rest: Tensor, weight: float, form: Form = AVERAGED) -> Tensor:
    """Of all that ``rest`` (M, h, w) covers, place by place; no energy at a weight of 0."""
    if weight == 0:
        return nothing(generation)
    maps = [form.similarity(g, r) for g, r in zip(generation, reference, strict=True)]
    return form.attraction(weight, maps, lambda similar: masked_mean(similar, rest))
