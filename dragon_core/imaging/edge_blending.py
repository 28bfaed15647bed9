"""What is put into a picture blends in at its edge where the picture it comes from shows no edge there.

A mask drawn wide takes some of the ground along, and a shadow has no end to cut along. There the rim gives way to what it comes to
lie on. At a real edge, where the object's own colour meets the mask's border, nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .windows import Part, box_max, box_mean, extent, steps_to

#: How far in from the border ground may give way, as a share of the picture's shorter side.
DEPTH = 1 / 20
#: Pixels along the border that together say whether there is an edge.
RIM = 1
#: Differences of colour, in [0, 1]: what counts as an edge at the border, and what as something else than the ground there.
EDGE, OTHER = 0.08, 0.12


def placed(brought: Callable[[Part], Tensor], ground: Tensor, inside: Tensor) -> Tensor:
    """``brought`` where ``inside`` (M, 1, h, w) says, ``ground`` (B, C, h, w) elsewhere. ``brought`` is asked for the part that is used."""
    return _put(brought, ground, inside, 0, lambda own, below, where: torch.where(where, own, below))


def blend_edges(brought: Callable[[Part], Tensor], ground: Tensor, inside: Tensor) -> Tensor:
    """The same for pictures with values in [0, 1], whose rim gives way where it shows no edge."""
    depth = depth_of(ground)

    def soft(own: Tensor, below: Tensor, where: Tensor) -> Tensor:
        return torch.where(where, torch.lerp(own, below, _surplus(own, where, depth)), below)

    return _put(brought, ground, inside, depth + 2 * RIM + 1, soft)


def _put(
    brought: Callable[[Part], Tensor],
    ground: Tensor,
    inside: Tensor,
    margin: int,
    join: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    rows, columns = part = extent(inside, margin)
    own, below, where = brought(part), ground[..., rows, columns], inside[..., rows, columns]
    out = ground.expand(max(len(own), len(ground), len(inside)), -1, -1, -1).clone()
    out[..., rows, columns] = join(own, below, where)
    return out


def surplus(picture: Tensor, inside: Tensor) -> Tensor:
    """How far what ``inside`` (M, 1, h, w) covers is ground that a wide mask took along: (B, 1, h, w) for pictures (B, C, h, w)."""
    depth = depth_of(picture)
    rows, columns = extent(inside, depth + 2 * RIM + 1)  # as far as anything below looks
    result = torch.zeros_like(picture[:, :1].expand(max(len(picture), len(inside)), -1, -1, -1))
    result[..., rows, columns] = _surplus(picture[..., rows, columns], inside[..., rows, columns], depth)
    return result


def without_surplus(picture: Tensor, mask: Tensor) -> Tensor:
    """A mask (M, 1, h, w) in [0, 1] less the ground that it took along in pictures (B, C, h, w), see :func:`surplus`."""
    return mask * (1 - surplus(picture, mask > 0.5))


def depth_of(picture: Tensor) -> int:
    """Pixels in from a border in which ground may give way, for a whole picture (B, C, h, w)."""
    return max(1, round(min(picture.shape[-2:]) * DEPTH))


def _surplus(picture: Tensor, inside: Tensor, depth: int) -> Tensor:
    within = inside.to(picture)
    last, rim = within * box_max(1 - within, 1), box_max(within, 1) * (1 - within)  # the pixels on either side of the border
    edge = (spread(picture, last, RIM) - spread(picture, rim, RIM)).abs().amax(1, keepdim=True)
    even = torch.exp(-((edge / EDGE) ** 2)) * rim
    ground, evenness = spread(picture, even + 1e-6 * rim, depth), spread(even, rim, depth)
    alike = torch.exp(-(((picture - ground).abs().amax(1, keepdim=True) / OTHER) ** 2))
    return alike * evenness * fade(inside, depth) * within


def spread(values: Tensor, weight: Tensor, radius: int) -> Tensor:
    """Weighted means of values (B, C, h, w) over what lies within about ``radius`` pixels; near 0 where no weight does."""
    total, mass = (box_mean(box_mean(part, radius), radius) for part in (values * weight, weight))
    return total / mass.clamp(min=1e-12)


def fade(inside: Tensor, depth: int) -> Tensor:
    """1 at the border of ``inside`` (M, 1, h, w), falling evenly to 0 ``depth`` pixels within; the frame is no border."""
    return (1 - (steps_to(~inside.squeeze(1)) - 1) / depth).clamp(0, 1).unsqueeze(1)
