"""DDIM inversion (arXiv 2010.02502, section 4.3) with fixed-point refinement, keeping the whole trajectory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import DragonError
from .noise_model import VP, NoiseModel

#: (x, sigma) -> (x − x̂0) / sigma of the conditional prediction: ε̂ of a VP model, v̂ of a flow.
DirectionModel = Callable[[Tensor, Tensor], Tensor]


def invert(
    x0: Tensor,
    sigmas: Tensor,
    direction: DirectionModel,
    refinement: int = 1,
    progress: Callable[[int], None] | None = None,
    noise_model: NoiseModel = VP,
) -> Tensor:
    """Walk a clean latent up to the noisiest level of a schedule.

    x0: (B, C, H, W). sigmas: (T + 1,) falling, last one 0. refinement: n extra evaluations per step at the new point, which
    turn the explicit step into the fixed point that sampling retraces exactly; 0 is plain DDIM inversion.
    Returns (T + 1, B, C, H, W), noisiest first. ``progress`` is called with the count of finished steps.
    """
    if len(sigmas) < 2 or float(sigmas[-1]) != 0.0:
        raise DragonError("inversion needs a schedule of at least one step that ends at sigma 0")
    if refinement < 0:
        raise DragonError(f"refinement cannot be negative, got {refinement}")
    x = x0
    path = [x]
    upward = sigmas.flip(0)
    for k in range(len(upward) - 1):
        low, high = upward[k], upward[k + 1]
        # The same z as at the lower level, seen at the higher one: the reference code's "no rescaling".
        seen = x * (noise_model.variance(high) / noise_model.variance(low)).sqrt()
        new = noise_model.along(x, noise_model.noise(seen, direction(seen, high), high), low, high)
        for _ in range(refinement):
            new = noise_model.along(x, noise_model.noise(new, direction(new, high), high), low, high)
        x = new
        path.append(x)
        if progress is not None:
            progress(k + 1)
    return torch.stack(path[::-1])
