"""A sampler run that keeps every level it passes: the trajectory of a picture the model makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_patcher
import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from ...dragon_core.diffusion.trajectory import Trajectory
from ...dragon_core.errors import DragonError
from .model import require_supported
from .tokens import SHARING
from .trajectories import as_the_model_takes, trajectory_of

Options = dict[str, Any]


class RecordingEuler(comfy.samplers.Sampler):
    """ComfyUI's own euler, which is DDIM without noise in these variables; what its callback is shown is kept."""

    def __init__(self) -> None:
        self.levels: list[Tensor] = []

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: Options,
        callback: Callable[..., None] | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        def keep(step: int, denoised: Tensor, x: Tensor, steps: int) -> None:
            self.levels.append(x.to("cpu", torch.float32, copy=True))
            if callback is not None:
                callback(step, denoised, x, steps)

        euler = comfy.samplers.sampler_object("euler")
        x = euler.sample(model_wrap, sigmas, extra_args, keep, noise, latent_image, denoise_mask, disable_pbar)
        self.levels.append(x.to("cpu", torch.float32, copy=True))
        return x


def record_sampling(
    model: comfy.model_patcher.ModelPatcher,
    positive: Any,
    negative: Any,
    cfg: float,
    latent: dict[str, Any],
    sigmas: Tensor,
    seed: int,
    callback: Callable[..., None] | None,
) -> tuple[Trajectory, Tensor]:
    """What KSampler makes of an empty latent with euler: its trajectory, and the picture's latent (B, C, h, w) in ComfyUI's scale."""
    require_supported(model)
    if SHARING in model.model_options.get("transformer_options", {}):
        raise DragonError("record with the unpatched model: connect DragonCrossAttnPatch's model to the edit's sampler only")
    samples = as_the_model_takes(model, comfy.sample.fix_empty_latent_channels(model, latent["samples"]))
    noise = comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    sampler = RecordingEuler()
    result = guider.sample(noise, samples, sampler, sigmas, callback=callback, seed=seed).cpu()
    path = torch.stack(sampler.levels)
    if not torch.isfinite(path).all():
        raise DragonError("the picture ended in values that are not numbers: lower cfg, or use another precision")
    return trajectory_of(model, positive, path, sigmas), result
