"""Checkpoints with the true shapes of Stable Diffusion's families and random weights, written on the spot.

Shapes and key names are ComfyUI's own: its classes are made on the meta device, which takes no memory, and asked what they would save.
Needs ComfyUI on sys.path (import `real_comfyui` first).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

STAGES_4 = {
    "channel_mult": [1, 2, 4, 4],
    "num_res_blocks": [2, 2, 2, 2],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
}
STAGES_3 = {
    "channel_mult": [1, 2, 4],
    "num_res_blocks": [2, 2, 2],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "transformer_depth_middle": 10,
}
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "use_spatial_transformer": True,
    "legacy": False,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
}
KL_VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}

#: By the standard deviation of this one tensor ComfyUI tells SD 2.x models with v-prediction from the others (> 0.09).
V_PREDICTION_MARK = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


@dataclass(frozen=True)
class Family:
    """A family as its checkpoints have it. ``config``: the name of ComfyUI's class; ``taps``: where two taps belong."""

    name: str
    config: str
    unet: Mapping[str, Any]
    taps: tuple[int, int]
    v_prediction: bool = False

    def __str__(self) -> str:
        return self.name


SD15 = Family("sd15", "SD15", {**UNET, **STAGES_4, "context_dim": 768, "use_linear_in_transformer": False, "adm_in_channels": None}, (6, 9))
SD20 = Family("sd20", "SD20", {**UNET, **STAGES_4, "context_dim": 1024, "use_linear_in_transformer": True, "adm_in_channels": None}, (6, 9))
SD21_V = Family("sd21-v", "SD20", SD20.unet, (6, 9), v_prediction=True)
SDXL = Family(
    "sdxl",
    "SDXL",
    {
        **UNET,
        **STAGES_3,
        "context_dim": 2048,
        "use_linear_in_transformer": True,
        "adm_in_channels": 2816,
        "num_classes": "sequential",
    },
    (3, 6),
)
SD15_INPAINTING = Family("sd15-inpainting", "SD15", {**SD15.unet, "in_channels": 9}, (6, 9))
SD15_EDITING = Family("sd15-instructpix2pix", "SD15_instructpix2pix", {**SD15.unet, "in_channels": 8}, (6, 9))


def shapes(family: Family, unet_only: bool = False) -> dict[str, torch.Size]:
    """Names and shapes of everything in a checkpoint: UNet, text encoders and VAE."""
    import comfy.ldm.models.autoencoder
    import comfy.supported_models

    config = getattr(comfy.supported_models, family.config)(dict(family.unet))
    config.set_inference_dtype(torch.float16, None)
    model = config.get_model({}, device="meta")
    if unet_only:
        saved = model.state_dict_for_saving()
    else:
        target = config.clip_target({})
        clip = target.clip(device="meta", dtype=torch.float16, model_options={}, **target.params)
        with torch.device("meta"):
            vae = comfy.ldm.models.autoencoder.AutoencoderKL(ddconfig=KL_VAE, embed_dim=4)
        saved = model.state_dict_for_saving(clip.state_dict(), vae.state_dict())
    return {name: tensor.shape for name, tensor in saved.items()}


def write(family: Family, path: Path, unet_only: bool = False, seed: int = 0) -> int:
    """Write a safetensors file in float16, tensor by tensor, so that it never lies in memory as a whole; returns its size in bytes."""
    header: dict[str, Any] = {}
    end = 0
    everything = shapes(family, unet_only)
    for name, shape in everything.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [begin, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    generator = torch.Generator().manual_seed(seed)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name, shape in everything.items():
            file.write(_weight(name, shape, generator, family.v_prediction).contiguous().numpy().tobytes())
    return path.stat().st_size


def _weight(name: str, shape: torch.Size, generator: torch.Generator, v_prediction: bool) -> Tensor:
    """float16 values that keep activations at the size that training gives them: fan-in for maps, identity for norms."""
    if len(shape) >= 2:
        return torch.randn(shape, generator=generator).div_(math.sqrt(math.prod(shape[1:]))).half()
    if name == V_PREDICTION_MARK and v_prediction:
        return torch.randn(shape, generator=generator).mul_(0.2).half()
    return torch.zeros(shape).half() if name.endswith("bias") else torch.ones(shape).half()
