"""What is put into a picture blends in at its edge where the picture it comes from shows no edge there.

A mask drawn wide takes some of the ground along, and a shadow has no end to cut along. There the rim gives way to what it comes to
lie on. At a real edge, where the object's own colour meets the mask's border, nothing changes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .masks import grown

#: How far in from the border ground may give way, as a share of the picture's shorter side.
DEPTH = 1 / 20
#: Pixels along the border that together say whether there is an edge.
RIM = 1
#: Differences of colour, in [0, 1]: what counts as an edge at the border, and what as something else than the ground there.
EDGE, OTHER = 0.08, 0.12


def blend_edges(brought: Tensor, ground: Tensor, inside: Tensor) -> Tensor:
    """``brought`` where ``inside`` (M, 1, h, w) says, ``ground`` elsewhere; pictures (B, C, h, w) with values in [0, 1]."""
    return torch.where(inside, torch.lerp(brought, ground, surplus(brought, inside)), ground)


def surplus(picture: Tensor, inside: Tensor) -> Tensor:
    """How far what ``inside`` (M, 1, h, w) covers is ground that a wide mask took along: (B, 1, h, w) for pictures (B, C, h, w)."""
    depth = max(1, round(min(picture.shape[-2:]) * DEPTH))
    within = inside.to(picture)
    last, rim = within * _next_to(1 - within), _next_to(within) * (1 - within)  # the pixels on either side of the border
    edge = (spread(picture, last, RIM) - spread(picture, rim, RIM)).abs().amax(1, keepdim=True)
    even = torch.exp(-((edge / EDGE) ** 2)) * rim
    ground, evenness = spread(picture, even + 1e-6 * rim, depth), spread(even, rim, depth)
    alike = torch.exp(-(((picture - ground).abs().amax(1, keepdim=True) / OTHER) ** 2))
    return alike * evenness * fade(inside, depth) * within


def spread(values: Tensor, weight: Tensor, radius: int) -> Tensor:
    """Weighted means of values (B, C, h, w) over what lies within about ``radius`` pixels; near 0 where no weight does."""
    total, mass = _blurred(values * weight, radius), _blurred(weight, radius)
    return total / mass.clamp(min=1e-12)


def _blurred(image: Tensor, radius: int) -> Tensor:
    for _ in range(2):
        image = F.avg_pool2d(image, (2 * radius + 1, 1), stride=1, padding=(radius, 0))
        image = F.avg_pool2d(image, (1, 2 * radius + 1), stride=1, padding=(0, radius))
    return image


def _next_to(weight: Tensor) -> Tensor:
    return grown(weight.squeeze(1), 1).unsqueeze(1)


def fade(inside: Tensor, depth: int) -> Tensor:
    """1 at the border of ``inside``, falling evenly to 0 ``depth`` pixels within; the frame is no border."""
    outside, share = (~inside).float().squeeze(1), torch.zeros_like(inside, dtype=torch.float32).squeeze(1)
    for step in range(depth):
        outside = grown(outside, 1)
        share = torch.maximum(share, outside * (1 - step / depth))
    return share.unsqueeze(1)
