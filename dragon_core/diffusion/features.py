"""Multi-scale features: the taps of the UNet's decoder, brought to one grid (DragonDiffusion, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DragonError

#: The decoder features of one evaluation, deep to shallow, each (B, C_i, h_i, w_i).
Features = tuple[Tensor, ...]

NO_REFERENCE = "this edit takes from a second picture, and there is none: invert it too and connect it to DragonGuidanceBranch's reference"


@dataclass(frozen=True)
class Views:
    """What energies compare at one noise level, each on its common grid.

    generation, source: the edited and the untouched picture. reference: a second picture (paste, appearance), whose grid may
    have another size; None where the run has none.
    """

    generation: Features
    source: Features
    reference: Features | None = None

    def required_reference(self) -> Features:
        """The second picture's features. Raises :class:`DragonError` where the run has none."""
        if self.reference is None:
            raise DragonError(NO_REFERENCE)
        return self.reference


def grid_size(taps: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The common grid of taps of the given (h, w): twice the shallowest one, image / 4 for Stable Diffusion."""
    h, w = max(taps)
    return 2 * h, 2 * w


def to_grid(taps: Features) -> Features:
    """Every tap resized bilinearly to the common grid."""
    size = grid_size([(t.shape[-2], t.shape[-1]) for t in taps])
    return tuple(F.interpolate(t.float(), size=size, mode="bilinear", align_corners=False) for t in taps)


def similarity(a: Tensor, b: Tensor, dim: int = 1) -> Tensor:
    """S = (cos + 1) / 2 in [0, 1] over channels ``dim``. The authors use raw cos, which makes 1 / (1 + 4 cos) blow up at −1/4."""
    return (F.cosine_similarity(a, b, dim=dim, eps=1e-8) + 1) / 2


def similarity_map(a: Features, b: Features) -> Tensor:
    """Mean over taps of the local similarity of two feature sets on one grid: (B, h, w)."""
    return torch.stack([similarity(x, y) for x, y in zip(a, b, strict=True)]).mean(0)


def region_mean(features: Features, mask: Tensor) -> tuple[Tensor, ...]:
    """Mean feature vector of a region by tap: (B, C_i). ``mask`` is (M, h, w); an empty region gives zeros."""
    weight = mask.unsqueeze(1)
    total = weight.sum((2, 3)).clamp(min=1e-6)
    return tuple((f * weight).sum((2, 3)) / total for f in features)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of a map (B, h, w) over a region (M, h, w): (B,). An empty region gives 0."""
    return (values * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1e-6)
