"""The model's light on the draft's pixels: what diffusion changes slowly from place to place, on what pixels keep sharp."""

from __future__ import annotations

import torch
from scipy import ndimage
from torch import Tensor

from .edge_blending import without_surplus
from .masks import grown
from .windows import mean_within, smoothed

#: Radius in pixels of the squares, applied twice, over which light is taken to be even: more than two cells of a latent within an object,
#: and less around it, where shadows have edges.
RADIUS, SHADOW_RADIUS = 10, 3
#: A change of less than this share of the range is not seen; of twice as much, it is taken over whole.
SEEN = 0.01
#: An object whose values change by less than this share, in the mean over it, is as bright as it was: that much is a model's own error.
#: From twice as much on, the change is taken over whole.
NOTICED = 0.05
#: Of a picture's values: light multiplies what they are to the power of it.
GAMMA = 2.2
#: Light, in [0, 1], so faint that its change says nothing.
DARK = 0.003
#: Light makes an object's values at most this many times larger or smaller: beyond that the model shows something else in its place.
MOST_GAIN = 1.6
#: The share of a change of colour that is believed of an object whose colours are known: lamps are nearly white, and what a model changes
#: beyond that is error rather than light.
COLOUR = 0.25
#: Weights of red, green and blue in luminance (ITU-R BT.709).
LUMINANCE = (0.2126, 0.7152, 0.0722)
#: Pixels by which what the draft made up is taken larger, and over which it fades.
RIM = 4
#: Pixels around an object into which a VAE's blur carries the change of its own light. There the change further out goes on: what lies
#: nearer weighs as little as this.
SPILL, FAINT = 3, 1e-3
#: Pixels around an object in which no more of a change of colour is believed than on it: a model that draws it a little too large shows
#: its colours there, and they are no light.
BESIDE = 6


def transfer_light(draft: Tensor, edited: Tensor, round_trip: Tensor, placed: Tensor, made_up: Tensor, coloured: Tensor) -> Tensor:
    """The draft as the model sees it lit.

    A decoded latent is softer than a picture, so it is compared with the draft as the same VAE shows it: low-passed, their difference is
    light, shadow and reflection, and none of the VAE's own error. The object's is taken inside it, that of the rest outside, as light
    ends at an outline; ground that a wide mask took along is no part of the object. On an object it is a factor, so that its pattern is
    lit as its ground is; where its colours were guessed, too, the difference is added as it is. What the draft made up, where something
    was vacated, is no evidence of anything: there the model's picture stands.

    Args:
        draft: the edit as made in pixels, (D, C, H, W) in [0, 1], D = 1 or B.
        edited: the decoded edit, (B, C, H, W) in [0, 1].
        round_trip: the draft through the VAE and back, (D, C, H, W).
        placed: where an object or another known thing was put, (M, H, W) in [0, 1], M = 1 or B.
        made_up: where the draft filled something in, (M, H, W) in [0, 1].
        coloured: the part of ``placed`` whose colours are known and not the model's to change, (M, H, W) in [0, 1].

    Returns:
        (B, C, H, W) in [0, 1]; the draft to the bit where the model sees nothing to change.
    """
    change = edited - round_trip
    placed, made_up, coloured = (mask.unsqueeze(1).to(change) for mask in (placed, made_up, coloured))
    solid = solid_part(draft, placed)
    factor = light_factor(edited, round_trip, solid)
    factor = factor ** noticed(factor, solid)
    inside = torch.lerp(mean_within(change, solid, RADIUS), draft * factor - draft, coloured)
    outside = light_around(change, solid)
    light = torch.where(solid > 0, inside, outside * seen(outside, SEEN))
    open_ = smoothed(grown(made_up.squeeze(1), RIM).unsqueeze(1), RIM) * (1 - smoothed(solid, 1))
    lit = draft + light
    return torch.lerp(lit, edited.expand_as(lit), open_.expand_as(lit)).clamp(0, 1)


def solid_part(draft: Tensor, placed: Tensor) -> Tensor:
    """Where an object's own pixels are, 0 or 1, of what was ``placed`` (M, 1, H, W) in pictures (B, 3, H, W): (B, 1, H, W).

    Without the ground that a wide mask took along, nor the pixels at its border, which are part object and part ground: brightened as the
    object is, they would be a bright line around it.
    """
    solid = (without_surplus(draft, placed) > 0.5).to(draft)
    ground = (placed > 0.5).to(solid) * (1 - solid)
    return solid * (1 - grown(ground.squeeze(1), 1).unsqueeze(1))


def light_factor(edited: Tensor, round_trip: Tensor, where: Tensor) -> Tensor:
    """What a picture's values (B, C, H, W) are to be multiplied by so that it is lit as ``edited`` and not as ``round_trip`` is.

    Both in [0, 1], and compared as light that is averaged ``where`` (M, 1, H, W) alone. Exactly 1 where they are the same.
    """
    after, before = (mean_within(picture.clamp(0, 1) ** GAMMA, where, RADIUS) + DARK for picture in (edited, round_trip))
    brighter, tinted = luminance(after) / luminance(before), after / before
    return ((brighter ** (1 - COLOUR) * tinted**COLOUR) ** (1 / GAMMA)).clamp(1 / MOST_GAIN, MOST_GAIN)


def light_around(change: Tensor, solid: Tensor) -> Tensor:
    """The light in a change (B, 3, H, W) outside what is ``solid`` (M, 1, H, W), 0 or 1, of which it shows nothing: (B, 3, H, W)."""
    spill, beside = (grown(solid.squeeze(1), pixels).unsqueeze(1) for pixels in (SPILL, BESIDE))
    light = mean_within(change, (1 - solid) * (1 - (1 - FAINT) * spill), SHADOW_RADIUS)
    return torch.lerp(light, luminance(light).expand_as(light), (1 - COLOUR) * smoothed(beside, 1))


def luminance(picture: Tensor) -> Tensor:
    """Of a picture (B, 3, H, W): (B, 1, H, W), as linear in its values as these are in light."""
    return (picture * picture.new_tensor(LUMINANCE).view(1, 3, 1, 1)).sum(1, keepdim=True)


def noticed(factor: Tensor, where: Tensor) -> Tensor:
    """How much of a factor (B, 3, H, W) counts for each thing that lies ``where`` (M, 1, H, W), by the mean change of its values.

    Returns:
        (B, 1, H, W) in [0, 1]: :func:`seen` of that mean, on all of the thing.
    """
    change = factor.log().abs().amax(1, keepdim=True)
    counts = torch.zeros_like(change)
    for row, count in enumerate(counts):
        things, number = ndimage.label(where[min(row, len(where) - 1), 0].cpu().numpy())
        means = ndimage.mean(change[row, 0].cpu().numpy(), things, range(1, number + 1))
        by_thing = ramp(torch.tensor([0.0, *means], dtype=torch.float64), NOTICED)
        count[0] = by_thing[torch.from_numpy(things).long()]
    return counts


def seen(change: Tensor, least: float) -> Tensor:
    """How much of a change (B, C, H, W) counts, (B, 1, H, W): 0 up to ``least``, which nobody sees, 1 from twice as much on."""
    return ramp(change.abs().amax(1, keepdim=True), least)


def ramp(size: Tensor, least: float) -> Tensor:
    """0 up to ``least``, then rising evenly to 1 at twice as much."""
    return (size / least - 1).clamp(0, 1)
