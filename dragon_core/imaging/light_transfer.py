"""The model's light on the draft's pixels: what diffusion changes slowly from place to place, on what pixels keep sharp."""

from __future__ import annotations

import torch
from torch import Tensor

from .edge_blending import surplus
from .masks import grown
from .windows import mean_within, smoothed

#: Radius in pixels of the squares, applied twice, over which light is taken to be even: two cells of a latent within an object, and less
#: around it, where shadows have edges.
RADIUS, SHADOW_RADIUS = 8, 3
#: A change of less than this share of the range is not seen; of twice as much, it is taken over whole.
SEEN = 0.02
#: Pixels by which what the draft made up is taken larger, and over which it fades.
RIM = 4


def transfer_light(draft: Tensor, edited: Tensor, round_trip: Tensor, placed: Tensor, made_up: Tensor) -> Tensor:
    """The draft as the model sees it lit.

    A decoded latent is softer than a picture, so it is compared with the draft as the same VAE shows it: low-passed, their difference is
    light, shadow and reflection, and none of the VAE's own error. The object's is taken inside it, that of the rest outside, as light
    ends at an outline; ground that a wide mask took along is no part of the object. What the draft made up, where something was vacated,
    is no evidence of anything: there the model's picture stands.

    Args:
        draft: the edit as made in pixels, (D, C, H, W) in [0, 1], D = 1 or B.
        edited: the decoded edit, (B, C, H, W) in [0, 1].
        round_trip: the draft through the VAE and back, (D, C, H, W).
        placed: where an object or another known thing was put, (M, H, W) in [0, 1], M = 1 or B.
        made_up: where the draft filled something in, (M, H, W) in [0, 1].

    Returns:
        (B, C, H, W) in [0, 1]; the draft to the bit where the model sees nothing to change.
    """
    change = edited - round_trip
    placed, made_up = (mask.unsqueeze(1).to(change) for mask in (placed, made_up))
    solid = (placed * (1 - surplus(draft, placed > 0.5)) > 0.5).to(change)
    inside, outside = mean_within(change, solid, RADIUS), mean_within(change, 1 - solid, SHADOW_RADIUS)
    light = torch.lerp(outside * seen(outside, SEEN), inside, smoothed(solid, 1))
    open_ = smoothed(grown(made_up.squeeze(1), RIM).unsqueeze(1), RIM) * (1 - smoothed(solid, 1))
    lit = draft + light
    return torch.lerp(lit, edited.expand_as(lit), open_.expand_as(lit)).clamp(0, 1)


def seen(change: Tensor, least: float) -> Tensor:
    """How much of a change (B, C, H, W) counts, (B, 1, H, W): 0 up to ``least``, which nobody sees, 1 from twice as much on."""
    return (change.abs().amax(1, keepdim=True) / least - 1).clamp(0, 1)
