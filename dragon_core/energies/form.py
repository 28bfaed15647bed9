"""The base form w / (1 + 4 S) (DragonDiffusion, equation 5): falls as similarity S in [0, 1] grows."""

from __future__ import annotations

from torch import Tensor


def attraction(weight: float, s: Tensor) -> Tensor:
    return weight / (1 + 4 * s)
