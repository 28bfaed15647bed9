"""A picture's trajectory, inverted through ComfyUI's own sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.samplers
import torch
from torch import Tensor

from ...dragon_core.diffusion.inversion import invert, renoise
from ...dragon_core.diffusion.noise_model import NoiseModel
from ...dragon_core.diffusion.steps import unit_noise
from ...dragon_core.diffusion.trajectory import Trajectory
from ...dragon_core.errors import DragonError
from .model import noise_model_of, require_supported
from .tokens import SHARING
from .trajectories import as_the_model_takes, trajectory_of

Options = dict[str, Any]


class InversionSampler(comfy.samplers.Sampler):
    """DDIM inversion as a SAMPLER, so that loading, conditioning, hooks, progress and previews are ComfyUI's own."""

    def __init__(self, refinement: int, noise_model: NoiseModel) -> None:
        self.refinement, self.noise_model = refinement, noise_model
        self.path: Tensor | None = None

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: Options,
        callback: Callable[..., None] | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        *rest: Any,
    ) -> Tensor:
        if latent_image is None:
            raise DragonError("DragonInvert: there is no latent to invert")
        seen = latent_image

        def direction(x: Tensor, sigma: Tensor) -> Tensor:
            nonlocal seen
            seen = model_wrap(x, sigma.reshape(1).expand(x.shape[0]), **extra_args)
            return (x - seen) / sigma

        def progress(done: int) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            if callback is not None:
                callback(done - 1, seen, seen, len(sigmas) - 1)

        self.path = invert(latent_image, sigmas, direction, self.refinement, progress, self.noise_model)
        return self.path[0]


def invert_latent(
    model: comfy.model_patcher.ModelPatcher,
    positive: Any,
    latent: Tensor,
    sigmas: Tensor,
    refinement: int,
    callback: Callable[..., None] | None,
) -> tuple[Trajectory, Tensor]:
    """Trajectory of a clean latent (B, C, h, w), or (B, C, f, h, w) of a video, in ComfyUI's scale, and the start latent in that scale."""
    require_supported(model)
    latent = as_the_model_takes(model, latent)
    _check(model, latent)
    guider = comfy.samplers.CFGGuider(model.clone())
    guider.inner_set_conds({"positive": positive})
    guider.set_cfg(1.0)
    noise_model = noise_model_of(model)
    sampler = InversionSampler(refinement, noise_model)
    start = guider.sample(torch.zeros_like(latent), latent, sampler, sigmas, callback=callback, seed=0)
    if sampler.path is None or not torch.isfinite(sampler.path).all():
        raise DragonError("inversion diverged to values that are not numbers: use more steps or another precision")
    path = sampler.path.to("cpu", torch.float32)
    # Exactly what any sampler makes of start_latent, so that all of them begin alike.
    path[0] = model.model.process_latent_in(start.cpu().float())
    return trajectory_of(model, positive, path, sigmas), start.cpu()


def renoise_latent(
    model: comfy.model_patcher.ModelPatcher, positive: Any, latent: Tensor, sigmas: Tensor, seed: int
) -> tuple[Trajectory, Tensor]:
    """As :func:`invert_latent`, under one noise of each picture's own, which the frames of a video share. Nothing is evaluated."""
    require_supported(model)
    latent = as_the_model_takes(model, latent)
    _check(model, latent)
    clean = model.model.process_latent_in(latent.float().cpu())
    still = clean[:, :, :1] if clean.ndim == 5 else clean
    noise = unit_noise(still.shape, seed, step=-2, draw=0)  # not that of the sampler with the same seed, which is -1 and on
    path = renoise(clean, sigmas.cpu(), noise.expand_as(clean), noise_model_of(model))
    start = model.model.process_latent_out(path[0].clone())
    path[0] = model.model.process_latent_in(start)
    return trajectory_of(model, positive, path, sigmas, renoised=True), start


def _check(model: comfy.model_patcher.ModelPatcher, latent: Tensor) -> None:
    if not torch.isfinite(latent).all():
        raise DragonError("the latent has values that are not numbers: check the image and the VAE (try another VAE precision)")
    if SHARING in model.model_options.get("transformer_options", {}):
        raise DragonError("invert with the unpatched model: connect DragonCrossAttnPatch's model to the sampler only")
