"""Fill a hole smoothly from what surrounds it: push-pull interpolation (Gortler et al., The Lumigraph, section 3.5.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def push_pull(image: Tensor, known: Tensor) -> Tensor:
    """``image`` (B, C, h, w) where ``known`` (M, 1, h, w) is 1, smoothly continued where it is 0; unchanged if nothing is known.

    Push: average what is known at ever coarser scales. Pull: from coarse to fine, let the coarser value stand in for the unknown.
    """
    weight = known.to(image).expand(image.shape[0], 1, *image.shape[-2:])
    if min(image.shape[-2:]) == 1 or bool((weight > 0).all()):
        total = weight.sum((2, 3), keepdim=True)
        mean = (image * weight).sum((2, 3), keepdim=True) / total.clamp(min=1e-6)
        return torch.where((weight > 0) | (total == 0), image, mean)
    coarse_weight = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = F.avg_pool2d(image * weight, 2, ceil_mode=True, count_include_pad=False) / coarse_weight.clamp(min=1e-6)
    filled = push_pull(coarse, (coarse_weight > 0).to(image))
    stand_in = F.interpolate(filled, size=image.shape[-2:], mode="bilinear", align_corners=False)
    nothing_known = weight.sum((1, 2, 3), keepdim=True) == 0
    return torch.where((weight > 0) | nothing_known, image, stand_in)
