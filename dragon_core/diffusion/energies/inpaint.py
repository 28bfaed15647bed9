"""Inpaint energy (the authors' code; docs/method.md, section 6): on average the vacated area should look like the fill region."""

from __future__ import annotations

from torch import Tensor

from ..features import Features
from .appearance import appearance_energy
from .form import AVERAGED, Form, nothing


def inpaint_energy(
    generation: Features, reference: Features, vacated: Tensor, fill: Tensor, weight: float, form: Form = AVERAGED
) -> Tensor:
    """``vacated``, ``fill``: (M, h, w) on the features' grid. No energy at a weight of 0, nor where nothing is vacated."""
    if weight == 0:
        return nothing(generation)
    return appearance_energy(generation, reference, vacated, fill, weight, form) * (vacated.sum((1, 2)) > 1e-6)
