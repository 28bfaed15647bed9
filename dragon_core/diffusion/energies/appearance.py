"""Appearance energy (DragonDiffusion, section 3.4): on average a region should look like another picture's; its shape is left free."""

from __future__ import annotations

from torch import Tensor

from ..features import Features, region_mean, similarity
from .form import AVERAGED, Form


def appearance_energy(
    generation: Features, reference: Features, region: Tensor, wanted: Tensor, weight: float, form: Form = AVERAGED
) -> Tensor:
    """``region`` (M, h, w) on the generation's grid, ``wanted`` (M', h', w') on the reference's. The means are compared by S always."""
    pairs = zip(region_mean(generation, region), region_mean(reference, wanted), strict=True)
    return form.attraction(weight, [similarity(g, r) for g, r in pairs])
