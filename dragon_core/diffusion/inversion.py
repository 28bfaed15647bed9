"""A picture's trajectory: by DDIM inversion (arXiv 2010.02502, section 4.3) with fixed-point refinement, or by noise alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import DragonError
from .noise_model import VP, NoiseModel

#: (x, sigma) -> (x − x̂0) / sigma of the conditional prediction: ε̂ of a VP model, v̂ of a flow.
DirectionModel = Callable[[Tensor, Tensor], Tensor]

#: A level up to this one is clean: Stable Diffusion's own last one, ᾱ_0, is 0.029 where ComfyUI's is 0.
CLEAN = 0.05


def invert(
    x0: Tensor,
    sigmas: Tensor,
    direction: DirectionModel,
    refinement: int = 1,
    progress: Callable[[int], None] | None = None,
    noise_model: NoiseModel = VP,
) -> Tensor:
    """Walk a clean latent up to the noisiest level of a schedule.

    x0: (B, C, H, W). sigmas: (T + 1,) falling, last one 0 (or that of ᾱ_0). refinement: n extra evaluations per step at the new
    point, which turn the explicit step into the fixed point that sampling retraces exactly; 0 is plain DDIM inversion.
    Returns (T + 1, B, C, H, W), noisiest first. ``progress`` is called with the count of finished steps.
    """
    _check_schedule(sigmas)
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


def renoise(x0: Tensor, sigmas: Tensor, noise: Tensor, noise_model: NoiseModel = VP) -> Tensor:
    """A clean latent under one noise at every level, which asks the model nothing (kin: DDCM, arXiv 2312.04965).

    x0, noise: (B, C, H, W), the noise unit. sigmas: (T + 1,) falling, last one 0. Returns (T + 1, B, C, H, W), noisiest first.
    What the model would have made of it differs from x0 by what `edits.chain.edited_residual` carries along.
    """
    _check_schedule(sigmas)
    return torch.stack([*(noise_model.joined(x0, sigma * noise, sigma) for sigma in sigmas[:-1]), x0])


def _check_schedule(sigmas: Tensor) -> None:
    if len(sigmas) < 2 or float(sigmas[-1]) > CLEAN:
        raise DragonError("inversion needs a schedule of at least one step that ends at sigma 0")
