"""Fill a hole from its border: what an editor without a model would do.

Normalised convolution, coarse to fine: at each scale the known pixels' mean stands in for the unknown ones nearby, and
the widest scale reaches everything. ``out = box(known · picture) / box(known)`` with the smallest box that sees a known pixel.
"""

from __future__ import annotations

import numpy as np

from benchmarks.box import box_mean
from benchmarks.cases import Mask, Picture


def smear(picture: Picture, hole: Mask) -> Picture:
    """``picture`` (H, W, 3) with the ``hole`` (H, W) filled smoothly from around it; the rest is untouched."""
    if hole.all():
        raise ValueError("The hole is the whole picture: there is no border to fill it from.")
    out = picture.astype(np.float64)
    unknown = hole.copy()
    radius = 1
    while unknown.any():
        weight = box_mean(~hole, radius)[..., None]
        filled = box_mean(np.where(hole[..., None], 0.0, picture), radius) / np.maximum(weight, 1e-12)
        reached = unknown & (weight[..., 0] > 1e-9)
        out[reached] = filled[reached]
        unknown &= ~reached
        radius *= 2
    for _ in range(4):  # take the steps between scales away
        out[hole] = box_mean(out, 2)[hole]
    return out.astype(np.float32)
