"""Finding the object: where a picture shows something that the clean scene does not.

Both pictures are first low-passed by the same box of side 2r+1, r = side/128: every method's output but the pixel baselines'
has gone through the VAE, whose error on fine texture is not an object, and what a picture is compared with should be as sharp
as the picture. The box does that for any method without asking which VAE it used.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.box import box_mean
from benchmarks.cases import Mask, Picture

FOUND_THRESHOLD = 0.06
"""Mean over RGB of the absolute difference. Calibrated once, see ``benchmarks/README.md``."""


def difference(output: Picture, clean: Picture) -> npt.NDArray[np.float64]:
    """How much the output differs from the clean scene at each pixel: (H, W) in [0, 1]."""
    radius = max(1, round(max(clean.shape[:2]) / 128))
    found: npt.NDArray[np.float64] = np.abs(box_mean(output, radius) - box_mean(clean, radius)).mean(axis=-1)
    return found


def find_object(output: Picture, clean: Picture, threshold: float = FOUND_THRESHOLD) -> Mask:
    """Boolean (H, W)."""
    found: Mask = difference(output, clean) > threshold
    return found
