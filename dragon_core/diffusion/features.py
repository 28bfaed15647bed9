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
    have another size; None where the run has none. Where a convention has whole cells, each tap is on a grid of its own that repeats in
    the common one.
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


def exact(taps: Features) -> Features:
    """Every tap as it is, in float32 at least. On a grid that repeats them cell by cell, energies need no more: see :func:`spread`.

    Each is a view, so that a gradient stops at it, though a shallower tap has come of a deeper one.
    """
    return tuple(t.to(torch.promote_types(t.dtype, torch.float32)).view_as(t) for t in taps)


def spread(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Values (B, C, h, w) on a finer grid, repeated cell by cell; themselves where they lie on it."""
    return values if values.shape[-2:] == size else F.interpolate(values, size=size)


def similarity(a: Tensor, b: Tensor, dim: int = 1) -> Tensor:
    """S = (cos + 1) / 2 in [0, 1] over channels ``dim``. The authors use raw cos, which makes 1 / (1 + 4 cos) blow up at −1/4."""
    return (F.cosine_similarity(a, b, dim=dim, eps=1e-8) + 1) / 2


def similarity_map(a: Features, b: Features, size: tuple[int, int] | None = None) -> Tensor:
    """Mean over taps of the local similarity of two feature sets: (B, h, w), on the taps' one grid or on a finer one of ``size``."""
    maps = [similarity(x, y) for x, y in zip(a, b, strict=True)]
    return torch.stack([s if size is None else spread(s.unsqueeze(1), size).squeeze(1) for s in maps]).mean(0)


def region_mean(features: Features, mask: Tensor) -> tuple[Tensor, ...]:
    """Mean feature vector of a region by tap: (B, C_i). ``mask`` is (M, h, w); an empty region gives zeros.

    Features may lie on coarser grids than the mask, which repeat in it.
    """
    weight = mask.unsqueeze(1)
    total = weight.sum((2, 3)).clamp(min=1e-6)
    return tuple((spread(f, (mask.shape[-2], mask.shape[-1])) * weight).sum((2, 3)) / total for f in features)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of a map (B, h, w) over a region (M, h, w): (B,). An empty region gives 0. The map's grid may be coarser."""
    if values.shape[-2:] != mask.shape[-2:]:
        values = spread(values.unsqueeze(1), (mask.shape[-2], mask.shape[-1])).squeeze(1)
    return (values * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1e-6)
