"""Box filters: the mean over a square window, and growing a mask by one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.cases import Mask


def box_mean(values: npt.ArrayLike, radius: int) -> npt.NDArray[np.float64]:
    """Mean over the (2·radius+1)² window around each pixel of (H, W) or (H, W, C); edge pixels are repeated outwards."""
    out = np.asarray(values, dtype=np.float64)
    width = 2 * radius + 1
    for axis in (0, 1):
        pad = [(0, 0)] * out.ndim
        pad[axis] = (radius, radius)
        sums = np.cumsum(np.pad(out, pad, mode="edge"), axis=axis)
        first = np.take(sums, [width - 1], axis=axis)
        later = np.take(sums, range(width, sums.shape[axis]), axis=axis) - np.take(sums, range(sums.shape[axis] - width), axis=axis)
        out = np.concatenate([first, later], axis=axis) / width
    return out


def dilate(mask: Mask, radius: int) -> Mask:
    """The mask grown by ``radius`` pixels in every direction (a square)."""
    grown: Mask = box_mean(mask, radius) > 0.5 / (2 * radius + 1) ** 2
    return grown
