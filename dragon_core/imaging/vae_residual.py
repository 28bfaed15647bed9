"""What a VAE loses on the way through a latent, given back where the edited picture still shows the same thing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Difference of two pictures, as a share of their range, at which the trust in the lost detail has fallen to 1/e.
TOLERANCE = 0.15
#: Side in pixels of the square over which pictures are compared: about one cell of a latent.
WINDOW = 9


def add_vae_residual(edited: Tensor, draft: Tensor, round_trip: Tensor, strength: float = 1.0) -> Tensor:
    """The edited picture with the detail that its draft lost.

    The VAE's error on the draft is known: it is ``draft - round_trip``. Where the edited picture agrees with the round trip it shows
    the same thing, so it has the same error; where the model changed something, it has another one and keeps what it has.

    Args:
        edited: the decoded edit, (B, C, H, W) in [0, 1].
        draft: the edit as made in pixels, (D, C, H, W) in [0, 1], D = 1 or B.
        round_trip: the draft through the VAE and back, (D, C, H, W).
        strength: share of the detail that is given back, in [0, 1]. 0 gives ``edited``.

    Returns:
        (B, C, H, W) in [0, 1].
    """
    differs = (edited - round_trip).abs().mean(1, keepdim=True)
    margin = WINDOW // 2
    differs = F.avg_pool2d(F.pad(differs, (margin,) * 4, mode="replicate"), WINDOW, stride=1)
    trust = torch.exp(-((differs / TOLERANCE) ** 2))
    return (edited + strength * trust * (draft - round_trip)).clamp(0, 1)
