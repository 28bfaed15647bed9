"""How well light and shadow follow an edit, in lit scenes: what a copy of pixels gets wrong.

Errors are in units of CIE L* or of gradient energy; the table shows them over those of the draft alone (the edit in pixels), since how
much there is to get right differs from case to case.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.box import box_mean, dilate
from benchmarks.cases import Case, Mask, Picture

Floats = npt.NDArray[np.float64]

LOW_PASS = 32
"""The box that low-passes is side / 32 in radius: light varies slowly, texture does not."""
RIM = 3
"""Pixels on either side of the vacated place's border in which a seam is looked for."""


def light_error(output: Picture, case: Case) -> float | None:
    """Mean |ΔL*| to the truth inside the truth's mask, of both pictures low-passed inside it. None where nothing is to stand there."""
    if not case.shadows or not case.truth_mask.any():
        return None
    radius = max(1, round(case.side / LOW_PASS))
    difference = _lightness(_mean_inside(output, case.truth_mask, radius)) - _lightness(_mean_inside(case.truth, case.truth_mask, radius))
    return float(np.abs(difference)[case.truth_mask].mean())


def shadow_error(output: Picture, case: Case) -> float | None:
    """Mean |ΔL*| to the truth where a shadow or a reflection was or should be, outside the objects."""
    if not case.shadows or not case.shadow_mask.any():
        return None
    return float(np.abs(_lightness(output) - _lightness(case.truth))[case.shadow_mask].mean())


def seam(output: Picture, case: Case) -> float | None:
    """Mean gradient energy on the rim of the vacated place that the truth does not have there. None where nothing is vacated."""
    rim = dilate(case.vacated, RIM) & dilate(~case.vacated, RIM) & ~dilate(case.truth_mask, RIM)
    if not case.shadows or not rim.any():
        return None
    surplus = gradient_energy(output) - gradient_energy(case.truth)
    return float(np.maximum(surplus, 0)[rim].mean()) * 1e3


def _mean_inside(picture: Picture, mask: Mask, radius: int) -> Floats:
    weight = mask.astype(np.float64)[..., None]
    mean: Floats = box_mean(picture * weight, radius) / np.maximum(box_mean(weight, radius), 1e-6)
    return mean


def _lightness(picture: npt.NDArray[np.floating]) -> Floats:
    """CIE L* of sRGB values in [0, 1]: (H, W) in [0, 100]."""
    srgb = np.clip(picture, 0, 1).astype(np.float64)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness: Floats = np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)
    return lightness


def gradient_energy(picture: Picture) -> Floats:
    """Squared gradient of each pixel, summed over channels: (H, W)."""
    rows, columns = np.gradient(picture.astype(np.float64), axis=(0, 1))
    energy: Floats = (rows**2 + columns**2).sum(axis=-1)
    return energy
