"""Finding the object: where a picture shows something that the clean scene does not.

Both pictures are first low-passed by the same box of side 2r+1, r = side/128: every method's output but the pixel baselines'
has gone through the VAE, whose error on fine texture is not an object, and what a picture is compared with should be as sharp
as the picture. The box does that for any method without asking which VAE it used.

In lit scenes a shadow is no object: at each pixel the background may be the clean scene, the scene with the object's shadow or
reflection, where it was or should be, or anything in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.box import box_mean
from benchmarks.cases import Mask, Picture

FOUND_THRESHOLD = 0.06
"""Mean over RGB of the absolute difference. Calibrated once, see ``benchmarks/README.md``."""
LIT_THRESHOLD = 0.04
"""The same in lit scenes, which are darker: of 22 moves the true answer is found with an IoU of 0.9 or more in 73 %, at 0.06 in 36 %."""
DEEPEST = 1.3
"""How much deeper than the true one a shadow may be and still be one."""


def difference(output: Picture, clean: Picture, shadows: Sequence[Picture] = ()) -> npt.NDArray[np.float64]:
    """How much the output differs from the clean scene, under any of the shadows, at each pixel: (H, W) in [0, 1]."""
    radius = max(1, round(max(clean.shape[:2]) / 128))
    shown, behind = box_mean(output, radius), box_mean(clean, radius)
    found: npt.NDArray[np.float64] = np.abs(shown - behind).mean(axis=-1)
    for shadow in shadows:
        shade = box_mean(shadow, radius) - behind
        depth = ((shown - behind) * shade).sum(axis=-1) / np.maximum((shade**2).sum(axis=-1), 1e-6)
        shaded = behind + np.clip(depth, 0, DEEPEST)[..., None] * shade
        found = np.minimum(found, np.abs(shown - shaded).mean(axis=-1))
    return found


def find_object(output: Picture, clean: Picture, threshold: float | None = None, shadows: Sequence[Picture] = ()) -> Mask:
    """Boolean (H, W)."""
    if threshold is None:
        threshold = LIT_THRESHOLD if shadows else FOUND_THRESHOLD
    found: Mask = difference(output, clean, shadows) > threshold
    return found
