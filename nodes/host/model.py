"""ComfyUI's models: which qualify, how they are told apart, where their decoder is tapped, and that they lie in memory as a whole."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any

import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.samplers
import comfy.utils
from torch import Tensor, nn

from ...dragon_core.diffusion.noise_model import FLOW, VP, NoiseModel
from ...dragon_core.diffusion.trajectory import Trajectory
from ...dragon_core.errors import DragonError
from .backbones.base import Backbone
from .backbones.dit import Transformer
from .backbones.token_layout import patch_size
from .backbones.unet import UNet

log = logging.getLogger(__name__)

#: Under this key ComfyUI keeps a model's copies on further GPUs (its node MultiGPU CFG Split).
COPIES = "multigpu"

WHOLE = "which guidance needs: close other programs, use a smaller or fp16 checkpoint, or start ComfyUI without --lowvram and --novram"


def family(model: comfy.model_patcher.ModelPatcher) -> str:
    """The model's kind as ComfyUI calls it."""
    return type(model.model.model_config).__name__ if hasattr(model.model, "model_config") else type(model.model).__name__


def backbone_of(model: comfy.model_patcher.ModelPatcher) -> Backbone:
    """What the model's network offers to an edit. Raises where a picture or a video cannot be edited with it at all."""
    network = model.get_model_object("diffusion_model") if hasattr(model.model, "diffusion_model") else None
    latents = model.get_model_object("latent_format")
    hint = "use a model that makes pictures from a prompt, or DragonMiniModel"
    if network is None or latents.latent_dimensions not in (2, 3):
        raise DragonError(f"{family(model)} models do not make pictures: {hint}")
    noise_model_of(model)
    channels = input_channels(model)
    if channels is not None and channels not in inputs_for(latents.latent_channels, patch_size(network)):
        raise DragonError(
            f"{family(model)} has {channels} input channels: inpainting, editing and image-to-video models, which want a second picture "
            f"beside the noise, are not supported: {hint}"
        )
    plain = isinstance(network, openaimodel.UNetModel) and getattr(network, "default_num_video_frames", None) is None
    return UNet() if plain else Transformer()


def weight_patches(model: comfy.model_patcher.ModelPatcher) -> str | None:
    """Tells LoRAs and other patches of weights apart; None without any. Of two loaders with the same LoRA each has its own."""
    return str(model.patches_uuid) if model.patches else None


def require_supported(model: comfy.model_patcher.ModelPatcher) -> None:
    """Raise unless the model can be edited with."""
    backbone_of(model)


def input_channels(model: comfy.model_patcher.ModelPatcher) -> int | None:
    """How many channels the network takes, as its configuration says."""
    config = getattr(getattr(model.model, "model_config", None), "unet_config", {})
    return next((config[name] for name in ("in_channels", "in_dim") if isinstance(config.get(name), int)), None)


def inputs_for(channels: int, patch: int | None) -> tuple[int, ...]:
    """What a network says that takes just a latent: its channels, or those of a whole token."""
    return (channels, channels * (patch or 1) ** 2)


def noise_model_of(model: comfy.model_patcher.ModelPatcher) -> NoiseModel:
    """How the model mixes picture and noise, by what samples it: a node such as ModelSamplingDiscrete may have exchanged that."""
    sampling = model.get_model_object("model_sampling")
    if isinstance(sampling, comfy.model_sampling.CONST):
        return FLOW
    plain = isinstance(sampling, comfy.model_sampling.EPS) and not isinstance(sampling, comfy.model_sampling.IMG_TO_IMG)
    if plain and getattr(sampling, "sigma_data", 1.0) == 1.0:
        return VP
    kind = next((kind for kind in type(sampling).__mro__ if vars(kind).keys() & {"calculate_input", "calculate_denoised"}), type(sampling))
    raise DragonError(
        f"{family(model)} predicts {kind.__name__}, which is not supported yet: use a model that predicts noise or v, or a rectified flow"
    )


def fingerprint(model: comfy.model_patcher.ModelPatcher) -> str:
    """Tells base checkpoints apart, and kinds of noise model; LoRAs and other patches do not change it."""
    digest = hashlib.sha256(f"{family(model)} {noise_model_of(model)}".encode())
    for key in _telling(model.model.diffusion_model):
        weight = model.backup[key].weight if key in model.backup else comfy.utils.get_attr(model.model, key)
        digest.update(weight.detach().flatten()[:4096].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def require_maker(model: comfy.model_patcher.ModelPatcher, trajectory: Trajectory, remedy: str, made: str = "trajectory") -> None:
    """Raise unless a trajectory (``made``: or what was made of it) is of this checkpoint."""
    if trajectory.model != fingerprint(model):
        raise DragonError(f"the {made} was made with another model ({trajectory.family}), this one is {family(model)}: {remedy}")


def _telling(network: nn.Module) -> list[str]:
    """Names of a few weights that are read: a UNet's first layers; of others the largest that are no matrices, which quantised files
    leave as they are.
    """
    if isinstance(network, openaimodel.UNetModel):
        return ["diffusion_model.input_blocks.0.0.weight", "diffusion_model.time_embed.0.weight"]
    plain = {name: p for name, p in network.named_parameters() if p.ndim == 1 and p.is_floating_point()}
    names = sorted(plain, key=lambda name: (-plain[name].numel(), name))
    return [f"diffusion_model.{name}" for name in names[:8]]


def schedule_sigmas(model: comfy.model_patcher.ModelPatcher, scheduler: str, steps: int) -> Tensor:
    """(steps + 1,) noise levels of one of ComfyUI's schedulers."""
    if steps < 1:  # a widget's bounds do not hold for what is linked to it
        raise DragonError("steps must be at least 1")
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


def on_one_device(model: comfy.model_patcher.ModelPatcher) -> comfy.model_patcher.ModelPatcher:
    """A MODEL without its copies on further GPUs.

    Those evaluate some of a step's rows, in threads and without gradients. An edit's rows follow one another: what the guidance branch's
    give is what the generation's see.
    """
    if not model.get_additional_models_with_key(COPIES):
        return model
    log.info("Dragon: an edit runs on one GPU, so the copies of the model that MultiGPU CFG Split made on others are not used")
    alone = model.clone()
    alone.remove_additional_models(COPIES)
    return alone


def resident(model: comfy.model_patcher.ModelPatcher) -> comfy.model_patcher.ModelPatcher:
    """A MODEL whose weights stay where they are between a forward and its backward pass.

    ComfyUI since 0.16 pages weights in and out while the model runs ("dynamic VRAM", its default on NVIDIA cards). For whatever cannot live
    with that it keeps a second patcher of the same checkpoint that loads as it used to.
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
