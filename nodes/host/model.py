"""ComfyUI's models: which qualify, how they are told apart, where their decoder is tapped, and that they lie in memory as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.samplers
import comfy.utils
from torch import Tensor

from ...dragon_core.diffusion.noise_model import FLOW, VP, NoiseModel
from ...dragon_core.errors import DragonError

WHOLE = "which guidance needs: close other programs, use a smaller or fp16 checkpoint, or start ComfyUI without --lowvram and --novram"


def family(model: comfy.model_patcher.ModelPatcher) -> str:
    """The model's kind as ComfyUI calls it."""
    return type(model.model.model_config).__name__ if hasattr(model.model, "model_config") else type(model.model).__name__


def require_supported(model: comfy.model_patcher.ModelPatcher) -> None:
    """Raise unless the model is a plain image UNet that predicts noise, v or a flow."""
    unet = getattr(model.model, "diffusion_model", None)
    hint = "use a Stable Diffusion 1.x, 2.x or SDXL checkpoint, or DragonMiniModel"
    if unet is None or not isinstance(unet, openaimodel.UNetModel) or getattr(unet, "default_num_video_frames", None) is not None:
        raise DragonError(f"{family(model)} models are not supported yet (only UNets are): {hint}")
    noise_model_of(model)
    if unet.in_channels != model.model.latent_format.latent_channels:
        raise DragonError(f"inpainting and edit models ({unet.in_channels} input channels) are not supported yet: {hint}")


def noise_model_of(model: comfy.model_patcher.ModelPatcher) -> NoiseModel:
    """How the model mixes picture and noise, by what samples it: a node such as ModelSamplingDiscrete may have exchanged that."""
    sampling = model.get_model_object("model_sampling")
    if isinstance(sampling, comfy.model_sampling.CONST):
        return FLOW
    plain = isinstance(sampling, comfy.model_sampling.EPS) and not isinstance(sampling, comfy.model_sampling.IMG_TO_IMG)
    if plain and getattr(sampling, "sigma_data", 1.0) == 1.0:
        return VP
    raise DragonError(
        f"{family(model)} predicts {model.model.model_type.name}, which is not supported yet: use a model that predicts noise or v, or a "
        "rectified flow"
    )


def fingerprint(model: comfy.model_patcher.ModelPatcher) -> str:
    """Tells base checkpoints apart, and kinds of noise model; LoRAs and other patches do not change it."""
    digest = hashlib.sha256(f"{family(model)} {noise_model_of(model)}".encode())
    for name in ("input_blocks.0.0.weight", "time_embed.0.weight"):
        key = f"diffusion_model.{name}"
        weight = model.backup[key].weight if key in model.backup else comfy.utils.get_attr(model.model, key)
        digest.update(weight.detach().float().cpu().flatten()[:4096].numpy().tobytes())
    return digest.hexdigest()


def tap_blocks(unet: openaimodel.UNetModel, count: int) -> tuple[int, ...]:
    """Output blocks whose input ``h`` is a tap: those right after the decoder's last ``count`` upsamplings, deep to shallow."""
    after = [i + 1 for i, block in enumerate(unet.output_blocks) if any(isinstance(layer, openaimodel.Upsample) for layer in block)]
    if len(after) < count:
        raise DragonError(f"this UNet's decoder has only {len(after)} upsampled stages, {count} are wanted: use fewer taps")
    return tuple(after[-count:])


def schedule_sigmas(model: comfy.model_patcher.ModelPatcher, scheduler: str, steps: int) -> Tensor:
    """(steps + 1,) noise levels of one of ComfyUI's schedulers."""
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, steps).cpu()
    if len(sigmas) != steps + 1:
        raise DragonError(f"the scheduler {scheduler} gives {len(sigmas) - 1} steps instead of {steps}: choose another one, such as normal")
    return sigmas


def load_fully(executor: Callable[..., Any], model: comfy.model_patcher.ModelPatcher, *args: Any, **kwargs: Any) -> Any:
    """PREPARE_SAMPLING wrapper: all weights on the device.

    After ComfyUI's own loading, not before: that one makes room for activations by moving weights out again, which guidance does without.
    """
    if "force_full_load" in kwargs:  # releases of 2026
        kwargs["force_full_load"] = True
    try:
        prepared = executor(model, *args, **kwargs)
        additional = prepared[2]  # ControlNets and the like would be moved out for the model's sake, were they not named with it
        comfy.model_management.load_models_gpu([model, *additional], force_full_load=True)
    except comfy.model_management.OOM_EXCEPTION as error:
        raise DragonError(f"the model does not fit into memory as a whole, {WHOLE}") from error
    return prepared


def require_loaded(model: comfy.model_patcher.ModelPatcher) -> None:
    """Raise unless all weights lie on the device: a backward pass through partially loaded ones could be silently wrong."""
    if getattr(model.model, "model_lowvram", False) or model.loaded_size() < model.model_size():
        missing = (model.model_size() - model.loaded_size()) / 2**20
        raise DragonError(f"the model does not fit into memory as a whole ({missing:.0f} MB are missing), {WHOLE}")


def resident(model: comfy.model_patcher.ModelPatcher) -> comfy.model_patcher.ModelPatcher:
    """A MODEL whose weights stay where they are between a forward and its backward pass.

    Newer releases page weights in and out while the model runs ("dynamic VRAM", their default on NVIDIA cards since spring 2026). For
    whatever cannot live with that, ComfyUI keeps a second patcher of the same checkpoint that loads as it used to.
    """
    pages = getattr(model, "is_dynamic", None)
    if pages is None or not pages():
        return model
    if model.cached_patcher_init is None:
        raise DragonError(
            "ComfyUI pages this model's weights in and out (dynamic VRAM), which guidance cannot work with, and the node that loaded "
            "it cannot load it otherwise: load it with CheckpointLoaderSimple or UNETLoader, or start ComfyUI with --disable-dynamic-vram"
        )
    return model.get_non_dynamic_delegate()
