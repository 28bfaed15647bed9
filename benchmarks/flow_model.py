"""The bundled model as a rectified flow: the same weights in other variables, exactly, so that flows can be tested and measured.

At a flow's level s the UNet is asked about z = x / sqrt((1 − s)² + s²) at the timestep of equal signal-to-noise ratio; from what it says
follow the noise and the picture, and from those v = n − x0. Needs ComfyUI on sys.path.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
import comfy.model_base
import comfy.model_patcher
import comfy.model_sampling
from torch import Tensor

#: Timesteps of ComfyUI's flow models.
MULTIPLIER = 1000


@cache
def levels() -> Any:  # noqa: ANN401 - ComfyUI's own class
    """The bundled model's noise levels, which are Stable Diffusion's."""
    return comfy.model_sampling.ModelSamplingDiscrete()


class FlowUNet(openaimodel.UNetModel):
    """Takes x and v of a flow where the UNet within takes z and v of a VP model. Patches, taps and wrappers find what they know."""

    def _forward(self, x: Tensor, timesteps: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - as it is declared there
        s = (timesteps.float() / MULTIPLIER).view(-1, 1, 1, 1)
        width = ((1 - s) ** 2 + s**2).sqrt()
        signal, noise = (1 - s) / width, s / width
        z = x / width
        seen = levels().timestep((s / (1 - s).clamp(min=1e-6)).flatten()).float()
        v = super()._forward(z, seen, *args, **kwargs)
        return (noise * z + signal * v) - (signal * z - noise * v)


def as_flow(model: comfy.model_patcher.ModelPatcher, shift: float = 1.0) -> comfy.model_patcher.ModelPatcher:
    """A MODEL of its own that samples as SD3, Flux and their like do. ``model``: one with v-prediction, such as DragonMiniModel's."""
    config = model.model.model_config
    config.sampling_settings = {**config.sampling_settings, "shift": shift, "multiplier": MULTIPLIER}
    flow = comfy.model_base.BaseModel(config, model_type=comfy.model_base.ModelType.FLOW, unet_model=FlowUNet)
    flow.diffusion_model.load_state_dict(model.model.diffusion_model.state_dict())
    return comfy.model_patcher.ModelPatcher(flow, load_device=model.load_device, offload_device=model.offload_device)


def flow_sigmas(sigmas: Tensor) -> Tensor:
    """The levels of a flow with the signal-to-noise ratios of a VP model's ``sigmas``."""
    return sigmas / (1 + sigmas)
