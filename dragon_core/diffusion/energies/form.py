"""The base form w / (1 + 4 S) (DragonDiffusion, equation 5): falls as similarity S in [0, 1] grows; and how several taps enter it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..features import Features, similarity

#: What is left of an attraction's weight where everything is alike, S = 1.
LEAST = 1 / 5

#: A reduction of one tap's map, such as its mean over a region.
Reduction = Callable[[Tensor], Tensor]


def attraction(weight: float, s: Tensor) -> Tensor:
    """w / (1 + 4 S): the whole weight at S = 0, a fifth at 1."""
    return weight / (1 + 4 * s)


def nothing(features: Features) -> Tensor:
    """No energy: zeros (B,), which need no backward pass."""
    return features[0].new_zeros(features[0].shape[0])


def _as_it_is(values: Tensor) -> Tensor:
    return values


@dataclass(frozen=True)
class Form:
    """How what the taps say becomes one energy (docs/method.md, section 6).

    taps: "similarity": S is averaged over the taps, and there is one w / (1 + 4 S). "mean" or "sum": every tap has a w / (1 + 4 S) of
    its own, and their mean or sum counts. raw_cosine: the cosine in [-1, 1] stands in for S; the form then has a pole at −1/4.
    """

    taps: Literal["similarity", "mean", "sum"] = "similarity"
    raw_cosine: bool = False

    def similarity(self, a: Tensor, b: Tensor, dim: int = 1) -> Tensor:
        """S in [0, 1], or the cosine in [-1, 1], over channels ``dim``."""
        return F.cosine_similarity(a, b, dim=dim, eps=1e-8) if self.raw_cosine else similarity(a, b, dim)

    def attraction(self, weight: float, by_tap: Sequence[Tensor], reduced: Reduction = _as_it_is) -> Tensor:
        """w / (1 + 4 S) of the taps' similarities, each ``reduced``: what ``reduced`` gives of one."""
        if self.taps == "similarity":
            return attraction(weight, reduced(torch.stack(tuple(by_tap)).mean(0)))
        each = torch.stack([attraction(weight, reduced(s)) for s in by_tap])
        return each.mean(0) if self.taps == "mean" else each.sum(0)


#: The pack's own.
AVERAGED = Form()
