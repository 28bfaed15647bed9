"""Resizing (DragonDiffusion, section 3.4): the masked object is scaled and turned about its own middle, and moved if wanted.

It is a :class:`~dragon_core.edits.move.Move` by an affine map: what a smaller object uncovers is filled like any old place.
"""

from __future__ import annotations

from torch import Tensor

from ..errors import DragonError
from ..imaging.affine import AffineWarp, Point, rotation_scale
from ..imaging.mask_checks import check_mask
from ..imaging.masks import centroids
from .move import Move, MoveWeights, StartLatent


def resize(
    mask: Tensor,
    scale: Point,
    rotation: float = 0.0,
    shift: Point = (0.0, 0.0),
    weights: MoveWeights = Move.weights,
    start: StartLatent = "noise",
) -> Move:
    """Scale what ``mask`` (M, H, W) covers by ``scale`` (x, y), turn it by ``rotation`` degrees, and move it by ``shift`` pixels.

    T(p) = c + R S (p − c) + shift, c the centroid of each mask. The object is scaled along the picture's axes before it is turned;
    positive angles turn clockwise, as y points down.
    """
    check_mask(mask)
    if min(scale) <= 0:
        raise DragonError(f"an object cannot be scaled by {min(scale):g}; use a scale above 0")
    transform = AffineWarp(
        image_size=(mask.shape[-2], mask.shape[-1]),
        shift=shift,
        matrix=rotation_scale(rotation, scale),
        centre=centroids(mask),
    )
    return Move(mask, transform, weights, start)
