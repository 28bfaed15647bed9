"""Colours of objects compared: CIELAB, and how far one object's colours are from another's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.cases import Case, Mask, Picture

DIRECTIONS = 16
QUANTILES = 64

_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(rgb: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """CIELAB (D65) of sRGB values (..., 3) in [0, 1]: L 0–100, a and b about ±100."""
    values = np.clip(np.asarray(rgb, dtype=np.float64), 0, 1)
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def colour_distance(first: Picture, inside: Mask, second: Picture, inside_second: Mask) -> float:
    """How far the colours inside two masks are from each other, whatever their places: in units of a*, b*.

    Sliced Wasserstein distance of the pixels in the chroma plane (a*, b*): lightness belongs to shape and shading.
    """
    angles = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    directions = np.stack([np.cos(angles), np.sin(angles)])
    steps = (np.arange(QUANTILES) + 0.5) / QUANTILES
    ranks, other = (np.quantile(lab(colours)[:, 1:] @ directions, steps, axis=0) for colours in (first[inside], second[inside_second]))
    return float(np.abs(ranks - other).mean())


def look_error(output: Picture, case: Case) -> float | None:
    """Mean colour error of the object's pixels (in the chroma plane) against the true answer, over the same for the unedited source.

    The right colours in the right places: a colour transfer that turns a ribbon along with its box shows here. None for other tasks.
    """
    if case.edit.task != "appearance":
        return None
    wanted = lab(case.truth[case.truth_mask])[:, 1:]
    error, unedited = (np.linalg.norm(lab(p[case.truth_mask])[:, 1:] - wanted, axis=-1).mean() for p in (output, case.source))
    return float(error / max(unedited, 1e-9))


def colour_share(output: Picture, case: Case) -> float | None:
    """Distance of the object's colours to the reference's, over the same for the unedited source; None for other tasks."""
    if case.edit.task != "appearance":
        return None
    unedited = colour_distance(case.source, case.truth_mask, *case.needed_reference)
    return colour_distance(output, case.truth_mask, *case.needed_reference) / max(unedited, 1e-9)
