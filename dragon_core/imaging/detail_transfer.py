"""The sharp pixels of a large draft in the light of a small edited picture, and that picture's own where it shows something else."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .crop_window import resampled
from .light_transfer import seen
from .windows import mean_within

#: Radius in pixels of the edited picture of the squares, applied twice, over which the light on an object is taken to be even.
RADIUS = 2
#: A change of less than this share of the range is not seen; of twice as much, it is taken over whole.
SEEN = 0.01
#: What is left of a change when light is taken away, as a share of the range, at which the trust in the draft has fallen to 1/e.
TOLERANCE = 0.15
#: Light makes things at most this many times brighter or darker; and of a channel in [0, 1], so little is too dark to tell.
MOST_GAIN, DARK = 3.0, 0.02


def transfer_detail(draft: Tensor, edited: Tensor, placed: Tensor) -> Tensor:
    """The draft as the model edited it at a smaller size.

    Light multiplies what it falls on, so the draft is multiplied by what the model made of its shrunk copy, even from pixel to pixel; what
    else the model changed is added. The draft so keeps what only the large picture shows, as dark or bright as it is now. Of an object that
    was placed, outline and texture are the draft's: there what is added is even, too. Where the edited picture shows something else in its
    place, it is taken itself.

    Args:
        draft: the edit as made in the pixels of the large picture, (D, C, H, W) in [0, 1], D = 1 or B.
        edited: the model's picture, (B, C, h, w) in [0, 1].
        placed: where the draft put an object or another known thing, (M, H, W) in [0, 1], M = 1 or B.

    Returns:
        (B, C, H, W) in [0, 1]; the draft to the bit where the model changed nothing that is seen.
    """
    large, small = (draft.shape[-2], draft.shape[-1]), (edited.shape[-2], edited.shape[-1])
    before = resampled(draft, small)
    fine = (placed.unsqueeze(1) > 0.5).to(before)
    share = F.interpolate(fine, size=small, mode="area")
    object_, ground = (share > 0.99).to(before), (share < 0.01).to(before)

    gain, added = _light(before, edited, object_)
    even = mean_within(added, object_, RADIUS)
    left = mean_within((added - even).abs().mean(1, keepdim=True), object_, RADIUS)
    trust = torch.exp(-((left / TOLERANCE) ** 2))
    inside = draft * resampled(gain, large) + resampled(even, large)
    inside = torch.lerp(resampled(edited, large), inside, resampled(trust, large))

    gain, added = _light(before, edited, ground)
    added = torch.where(ground > 0, added, mean_within(added, ground, RADIUS))
    outside = draft * resampled(gain, large) + resampled(added, large)
    return torch.lerp(outside, inside, fine).clamp(0, 1)


def _light(before: Tensor, after: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """What pictures (B, C, h, w) were multiplied by ``where`` (M, 1, h, w) says, and what was added: 1 and 0 where nobody sees a change."""
    change = after - before
    counts = seen(mean_within(change, where, RADIUS), SEEN)
    gain = (mean_within(after, where, RADIUS) + DARK) / (mean_within(before, where, RADIUS) + DARK)
    gain = 1 + counts * (gain.clamp(1 / MOST_GAIN, MOST_GAIN) - 1)
    return gain, counts * (after - before * gain)
