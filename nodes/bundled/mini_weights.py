"""Loads the bundled miniature Stable Diffusion (``mini_model/``) into ComfyUI's own classes.

The weights are checked against the manifest before anything is built from them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import torch

from ...dragon_core.errors import DragonError

FOLDER = Path(__file__).parents[2] / "mini_model"


class DragonMini(comfy.supported_models_base.BASE):
    """Stable Diffusion 1.x in small: same UNet class, latent format and noise schedule, v-prediction."""

    unet_config: dict[str, Any] = {}
    unet_extra_config: dict[str, Any] = {}
    latent_format = comfy.latent_formats.SD15
    memory_usage_factor = 1.0


class MiniClipModel(comfy.sd1_clip.SD1ClipModel):
    """CLIP's text transformer with the sizes of ``config.json``."""

    def __init__(self, device: Any = "cpu", dtype: torch.dtype | None = None, model_options: dict[str, Any] | None = None) -> None:
        super().__init__(
            device=device,
            dtype=dtype,
            model_options=model_options or {},
            clip_model=comfy.sd1_clip.SDClipModel,
            textmodel_json_config=_config()["text_encoder"],
        )


def load_mini_model(folder: Path = FOLDER) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """The bundled model as ComfyUI's MODEL, CLIP and VAE. Raises :class:`DragonError` when a file is missing or damaged."""
    weights = {name: _checked(folder, f"{name}.safetensors") for name in ("unet", "text_encoder", "vae")}
    return _unet(weights["unet"]), _clip(weights["text_encoder"]), comfy.sd.VAE(sd=weights["vae"])


def _config() -> dict[str, Any]:
    return json.loads((FOLDER / "config.json").read_text())


def _checked(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """Tensors of a weights file whose checksum is the manifest's."""
    path = folder / name
    again = "install the pack again (ComfyUI Manager: Try update, or git restore mini_model)"
    if not path.is_file():
        raise DragonError(f"the bundled model's file {path} is missing: {again}")
    manifest = folder / "manifest.json"
    try:
        wanted = json.loads(manifest.read_text("utf-8"))["files"][name]["sha256"]
    except (OSError, ValueError, LookupError) as error:
        raise DragonError(f"the bundled model's checksums in {manifest} cannot be read: {again}") from error
    if hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
        raise DragonError(f"the bundled model's file {path} is damaged (its checksum is wrong): {again}")
    return {k: v.float() for k, v in comfy.utils.load_torch_file(str(path), safe_load=True).items()}


def _unet(weights: dict[str, torch.Tensor]) -> comfy.model_patcher.ModelPatcher:
    config = DragonMini(_config()["unet"])
    config.set_inference_dtype(torch.float32, None)
    model = comfy.model_base.BaseModel(config, model_type=comfy.model_base.ModelType.V_PREDICTION)
    model.diffusion_model.load_state_dict(weights)
    return comfy.model_patcher.ModelPatcher(
        model, load_device=comfy.model_management.get_torch_device(), offload_device=comfy.model_management.unet_offload_device()
    )


def _clip(weights: dict[str, torch.Tensor]) -> comfy.sd.CLIP:
    target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, MiniClipModel)
    clip = comfy.sd.CLIP(target, embedding_directory=None, parameters=sum(w.numel() for w in weights.values()))
    _, unexpected = clip.load_sd(weights)
    if unexpected:
        raise DragonError(f"the bundled text encoder does not fit this ComfyUI: unexpected weights {unexpected[:3]}")
    return clip
