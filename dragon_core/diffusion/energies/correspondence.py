"""Edit energy of moving, resizing and pasting (DragonDiffusion, equation 5).

Pulls the generation's features at every point p of the target region towards the reference's at T⁻¹(p).
"""

from __future__ import annotations

from torch import Tensor

from ...imaging.affine import Placement, warp
from ..features import Features, grid_size, masked_mean, spread
from .form import AVERAGED, Form


def correspondence_energy(
    generation: Features,
    reference: Features,
    target: Tensor,
    transform: Placement,
    weight: float,
    form: Form = AVERAGED,
    whole_cells: bool = False,
) -> Tensor:
    """``target`` (M, h, w) on the generation's grid. ``whole_cells``: features repeat from cell to cell of the grid, and a transform
    that scales or turns looks them up so; a shift may still be by parts of a cell.
    """
    size = (target.shape[-2], target.shape[-1])
    mode = "corner" if whole_cells and not transform.leaves_object else "area"
    if whole_cells:
        finest = grid_size([(r.shape[-2], r.shape[-1]) for r in reference])
        generation, reference = tuple(spread(g, size) for g in generation), tuple(spread(r, finest) for r in reference)
    brought = (warp(r, transform, mode=mode, beyond="border", size=size) for r in reference)
    maps = [form.similarity(g, b) for g, b in zip(generation, brought, strict=True)]
    return form.attraction(weight, maps, lambda similar: masked_mean(similar, target))
