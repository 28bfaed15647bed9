"""Where did the content of a dragged point go? (spec/benchmark.md, section 2)

The true answer says what should lie round each target. That patch, the object cut out of its background, is looked for all
over the output, cut out of *its* background in the same way: the least sum of squared differences, weighted by a Gaussian
window, is where the content went. Cutting out (what looks like the clean scene becomes one flat colour, and a fourth channel
says so) makes the match blind to the background, which differs from place to place, and lets outlines count, without which
the inside of a balloon could be anywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.cases import Case, Picture
from benchmarks.finding import FOUND_THRESHOLD, difference

Array = npt.NDArray[np.float64]

REACH = 1 / 12
"""Radius of the patch as a share of the side: wide enough for an outline, narrow enough for the point."""
LOST = 0.75
"""A best match that leaves this share of the patch's energy unexplained is no match: the content is gone."""


def drag_distance(output: Picture, case: Case) -> float | None:
    """Mean over the pairs of the distance from where the handle's content went to its target, as a share of the side.

    Content that is nowhere counts as the whole side. None for cases without points.
    """
    if not case.edit.points:
        return None
    radius = max(2, round(REACH * case.side))
    wanted, found = (np.pad(cut_out(picture, case.clean), ((radius, radius), (radius, radius), (0, 0))) for picture in (case.truth, output))
    spectrum = np.fft.rfft2(found, axes=(0, 1)), np.fft.rfft2(np.square(found), axes=(0, 1))
    distances = []
    for _, (x, y) in case.edit.points:
        row, column = (int(np.clip(np.floor(v), 0, size - 1)) for v, size in zip((y, x), case.mask.shape, strict=True))
        patch = wanted[row : row + 2 * radius + 1, column : column + 2 * radius + 1]
        found_at = _best_match(patch, spectrum, found.shape[:2], case.mask.shape)
        distances.append(float(case.side) if found_at is None else float(np.hypot(found_at[0] - row, found_at[1] - column)))
    return float(np.mean(distances)) / case.side


def cut_out(picture: Picture, clean: Picture) -> Array:
    """(H, W, 4): what differs from the clean scene, times how surely it does (a soft edge about the threshold); 0 elsewhere."""
    shown = np.clip(difference(picture, clean) / FOUND_THRESHOLD - 0.5, 0, 1)[..., None]
    return np.concatenate([(picture.astype(np.float64) - 0.5) * shown, 0.5 * shown], axis=-1)


def _best_match(
    patch: Array, spectrum: tuple[npt.NDArray[np.complex128], npt.NDArray[np.complex128]], padded: tuple[int, int], size: tuple[int, int]
) -> tuple[int, int] | None:
    """(row, column) of the window that differs least from ``patch`` (k, k, 4); None where none is like it.

    Σ w (patch − image)² = Σ w patch² − 2 Σ w patch · image + Σ w image², the sums over all places at once by Fourier transform.
    """
    axis = np.linspace(-2, 2, patch.shape[0])
    window = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2))[..., None]
    own = float((window * np.square(patch)).sum())

    def correlate(template: Array, image: npt.NDArray[np.complex128]) -> Array:
        kernel = np.conj(np.fft.rfft2(template, s=padded, axes=(0, 1)))
        both: Array = np.fft.irfft2((kernel * image).sum(axis=-1), s=padded)[: size[0], : size[1]]
        return both

    off = own - 2 * correlate(window * patch, spectrum[0]) + correlate(np.broadcast_to(window, patch.shape), spectrum[1])
    best = np.unravel_index(int(off.argmin()), off.shape)
    return None if own == 0 or off[best] > LOST * own else (int(best[0]), int(best[1]))
