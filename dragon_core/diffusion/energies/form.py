"""The base form w / (1 + 4 S) (DragonDiffusion, equation 5): falls as similarity S in [0, 1] grows."""

from __future__ import annotations

from torch import Tensor

from ..features import Features

#: What is left of an attraction's weight where everything is alike, S = 1.
LEAST = 1 / 5


def attraction(weight: float, s: Tensor) -> Tensor:
    return weight / (1 + 4 * s)


def nothing(features: Features) -> Tensor:
    """No energy: zeros (B,), which need no backward pass."""
    return features[0].new_zeros(features[0].shape[0])
