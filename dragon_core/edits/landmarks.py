"""Landmarks (DragonDiffusion, section 4: 68 of a face): a drag whose handles and targets come as two lists, from any detector.

They are pixels here; see :mod:`dragon_core.document.poses` for what detectors write.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import DragonError
from ..imaging.affine import Pair, Point
from ..imaging.masks import Regions
from .drag import Drag, DragWeights, drag

log = logging.getLogger(__name__)

#: The authors' weights for faces (docs/method.md, section 11): nothing holds the rest.
FACE = DragWeights(edit=12.0, content=0.0, inpaint=0.0)


class Landmarks(Drag):
    """A drag of landmarks. By the authors' convention it changes nothing of the latents, and nothing keeps its gradient in bounds."""

    def regions(self, size: tuple[int, int]) -> Regions:
        own = super().regions(size)
        return Regions(*(torch.ones_like(own.source),) * 2) if self.convention.only_patches else own

    def _with_patches(self, values: Tensor, source: Tensor) -> Tensor:
        return values


def landmarks(
    source: Sequence[Point | None],
    target: Sequence[Point | None],
    image_size: tuple[int, int],
    mask: Tensor | None = None,
    radius: float = 0.0,
    weights: DragWeights = FACE,
) -> Landmarks:
    """The edit that takes each landmark of ``source`` to the one of the same number in ``target``; the rest follows smoothly.

    ``mask``: (M, H, W), the area in which things may change; None: what lies round the landmarks.
    """
    dragged = drag(pair_up(source, target, image_size), image_size, mask, "area", radius, weights)
    return Landmarks(dragged.sets, dragged.carried, dragged.weights, dragged.leaves)


def pair_up(source: Sequence[Point | None], target: Sequence[Point | None], image_size: tuple[int, int]) -> tuple[Pair, ...]:
    """Pairs of the landmarks that were found in both lists and lie in the picture of (height, width)."""
    if len(source) != len(target):
        raise DragonError(f"there are {len(source)} source landmarks and {len(target)} target landmarks: both lists must go together")
    height, width = image_size
    both = [(s, t) for s, t in zip(source, target, strict=True) if s is not None and t is not None]
    inside = {s: t for s, t in reversed(both) if all(0 <= x <= width and 0 <= y <= height for x, y in (s, t))}
    if not inside:
        raise DragonError(f"none of the {len(source)} landmarks was found in both lists and lies in the picture of {width}×{height}")
    if len(inside) < len(source):
        log.warning(
            "%d of %d landmarks are left out: not found, repeated, or outside of the picture", len(source) - len(inside), len(source)
        )
    return tuple((s, inside[s]) for s in dict.fromkeys(s for s, _ in both) if s in inside)
