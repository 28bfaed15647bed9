"""Small models with random weights as ComfyUI's loaders give them: MODEL, CLIP and VAE of the families that the templates ask for.

Models are of their families' own classes. Text encoders are CLIP's transformer, as wide as the small models listen. VAEs, but for the
linear one, are of the class that ComfyUI takes for the shapes of the weights: of stills the one of the pack's miniature, its latents filled
up with channels of zeros; of videos Wan's, random, so that decoded frames are noise. Needs ComfyUI on sys.path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.ldm.wan.vae
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import torch
import torch.nn.functional as F
from torch import Tensor

try:
    from . import random_transformers as transformers
    from .linear_vae import LinearVAE
except ImportError:  # in tests, where this folder is on sys.path
    import random_transformers as transformers  # type: ignore[no-redef]
    from linear_vae import LinearVAE  # type: ignore[no-redef]

SDXL = "SDXL"
SDXL_SHAPE = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "channel_mult": [1, 2, 4],
    "num_res_blocks": [1, 1, 1],
    "transformer_depth": [0, 1, 2],
    "transformer_depth_middle": 2,
    "transformer_depth_output": [0, 0, 1, 1, 2, 2],
    "num_head_channels": 32,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "legacy": False,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "context_dim": transformers.TEXT,
    "num_classes": "sequential",
    "adm_in_channels": transformers.TEXT + 6 * 256,
}
"""Three stages, no attention in the first; the pooled text, and six sizes of 256 numbers each, beside the time."""
WAN_VAE = {
    "dim": 8,
    "z_dim": 16,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_scales": [],
    "temperal_downsample": [False, True, True],
}
WORDS = {
    "hidden_size": transformers.TEXT,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "hidden_act": "quick_gelu",
    "eos_token_id": 49407,
}


class SmallClip(comfy.sd1_clip.SD1ClipModel):
    """CLIP's text transformer, small."""

    def __init__(self, device: Any = "cpu", dtype: torch.dtype | None = None, model_options: dict[str, Any] | None = None) -> None:
        options, shape = model_options or {}, dict(WORDS)
        super().__init__(device, dtype, options, clip_model=comfy.sd1_clip.SDClipModel, textmodel_json_config=shape)


def diffusion_model(family: str) -> comfy.model_patcher.ModelPatcher:
    """A MODEL: of one of `random_transformers`, by its name there, or of SDXL."""
    if family != SDXL:
        return transformers.make(getattr(transformers, family))
    config = comfy.supported_models.SDXL(dict(SDXL_SHAPE))
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, device=torch.device("cpu"))
    model.diffusion_model.load_state_dict(transformers.filled(model.diffusion_model.state_dict()))
    return comfy.model_patcher.ModelPatcher(model, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def text_encoder() -> comfy.sd.CLIP:
    """A CLIP whose words are as wide as the small models listen."""
    target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, SmallClip)
    clip = comfy.sd.CLIP(target, embedding_directory=None)
    clip.cond_stage_model.load_state_dict(transformers.filled(clip.cond_stage_model.state_dict()))
    return clip


def vae(family: str, miniature: Path | None) -> comfy.sd.VAE | LinearVAE:
    """A VAE of the family's latents: the linear one, or with the file of the miniature's, ComfyUI's."""
    kind = None if family == SDXL else getattr(transformers, family)
    channels, frames = (kind.channels, kind.frames > 0) if kind else (4, False)
    if miniature is None:
        return LinearVAE(channels, frames=frames)
    if frames:
        return comfy.sd.VAE(sd=transformers.filled(comfy.ldm.wan.vae.WanVAE(**WAN_VAE).state_dict()))
    return comfy.sd.VAE(sd=_widened(comfy.utils.load_torch_file(str(miniature), safe_load=True), channels))


def _widened(weights: dict[str, Tensor], channels: int) -> dict[str, Tensor]:
    """A TAESD of 4 channels as one of more: the others are zero, and not listened to."""
    weights = {name: tensor.float() for name, tensor in weights.items()}
    more = channels - 4
    last = max((name for name in weights if name.startswith("taesd_encoder.")), key=lambda name: int(name.split(".")[1])).split(".")[1]
    for name in (f"taesd_encoder.{last}.weight", f"taesd_encoder.{last}.bias"):
        weights[name] = F.pad(weights[name], (*(0, 0) * (weights[name].ndim - 1), 0, more))
    first = "taesd_decoder.1.weight"
    weights[first] = F.pad(weights[first], (0, 0, 0, 0, 0, more))
    return weights
