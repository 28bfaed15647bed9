"""What the model sees in a picture, apart from any edit: features of one level of a trajectory."""

from __future__ import annotations

from typing import Any

import comfy.model_patcher
import comfy.samplers
import torch
from torch import Tensor

from ...dragon_core.diffusion.trajectory import Trajectory
from .model import backbone_of, require_maker
from .tokens import STATE, TokenExchange

Options = dict[str, Any]


class SingleEvaluation(comfy.samplers.Sampler):
    """A SAMPLER that evaluates the model once, at the first sigma, and changes nothing."""

    def sample(self, model_wrap: Any, sigmas: Tensor, extra_args: Options, callback: Any, noise: Tensor, *rest: Any) -> Tensor:
        model_wrap(noise, sigmas[:1].expand(noise.shape[0]), **extra_args)
        return noise


def decoder_features(model: comfy.model_patcher.ModelPatcher, trajectory: Trajectory, noise_level: float) -> list[Tensor]:
    """Decoder features (B, C, h, w) of a trajectory's pictures, on the CPU, deep to shallow.

    noise_level: share of the schedule that is noisier than clean, [0, 1]. The blocks are those between the decoder's last two
    upsamplings, where DIFT (arXiv 2306.03881) and the paper's ablation find what belongs together.
    """
    backbone = backbone_of(model)
    require_maker(model, trajectory, "use the model you inverted with")
    first, last = backbone.tap_blocks(model.model.diffusion_model, 2)
    seen: list[Tensor] = []

    def tap(h: Tensor, skip: Tensor, options: Options) -> tuple[Tensor, Tensor]:
        if first < options["block"][1] <= last:
            seen.append(h.detach().to("cpu", torch.float32))
        return h, skip

    plain = model.clone()
    # DragonCrossAttnPatch, if it is there, has nothing to share.
    plain.model_options["transformer_options"][STATE] = TokenExchange()
    plain.set_model_patch(tap, "output_block_patch")
    step = min(max(round((1 - noise_level) * trajectory.steps), 0), trajectory.steps - 1)
    guider = comfy.samplers.CFGGuider(plain)
    guider.inner_set_conds({"positive": trajectory.source})
    guider.set_cfg(1.0)
    latents = trajectory.latents[step].clone()
    # As noise on nothing: the model is asked about exactly these latents, which the scaling of a first step would change.
    levels = trajectory.sigmas[step : step + 2].clone()
    guider.sample(latents, torch.zeros_like(latents), SingleEvaluation(), levels, disable_pbar=True, seed=0)
    return seen
