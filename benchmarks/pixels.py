"""Edits in pixels alone, the way an image editor makes them: the baselines that no model is needed for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.box import dilate
from benchmarks.cases import Case, Mask, Picture
from benchmarks.smear import smear

RIM = 2
"""Pixels round the mask in which the object still shines through; a hole without them would be filled with its colour."""

Map = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""Points (N, 2), (x, y), to points (N, 2)."""


def smeared_background(case: Case) -> Picture:
    """The source with the background smeared over the object and its soft rim."""
    return smear(case.source, dilate(case.mask, RIM))


def put(under: Picture, picture: Picture, mask: Mask, inverse: Map) -> Picture:
    """``under`` with the masked part of ``picture`` on it; ``inverse`` says where in ``picture`` a point of ``under`` comes from."""
    height, width = under.shape[:2]
    rows, columns = np.indices((height, width)).reshape(2, -1)
    points = np.stack([columns, rows], axis=-1).astype(np.float64) + 0.5
    source = inverse(points) - 0.5
    inside = sample(mask[..., None].astype(np.float32), source)[:, 0] >= 0.5
    out = under.copy()
    out[rows[inside], columns[inside]] = sample(picture, source[inside])
    return out


def sample(picture: npt.NDArray[np.float32], points: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Bilinear values (N, C) of (H, W, C) at points in pixel indices, (x, y); nothing (0) outside."""
    height, width = picture.shape[:2]
    base = np.floor(points).astype(int)
    part = (points - base).astype(np.float32)
    out = np.zeros((len(points), picture.shape[2]), np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = base[:, 0] + dx, base[:, 1] + dy
            weight = (part[:, 0] if dx else 1 - part[:, 0]) * (part[:, 1] if dy else 1 - part[:, 1])
            known = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            out[known] += weight[known, None] * picture[y[known], x[known]]
    return out
