"""The networks that are in the repository: what training goes on from on a machine that has no checkpoint of its own.

Those of ``training/state/``, where a model is half trained and not good enough to ship; else those that ship in ``mini_model/``.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

STATE = Path(__file__).parent / "state"
SHIPPED = Path(__file__).parents[1] / "mini_model"
FOLDER = STATE if (STATE / "manifest.json").is_file() else SHIPPED
MANIFEST = FOLDER / "manifest.json"
SD_SCALE = 0.18215
EMBEDDING = "text_model.embeddings.token_embedding.weight"


def images_seen() -> int:
    return int(json.loads(MANIFEST.read_text("utf-8"))["images_seen"])


def vae() -> dict[str, dict[str, Tensor]]:
    """``encoder`` and ``decoder`` as ``training.vae`` keeps them."""
    weights = _weights("vae")
    return {part: _without(f"taesd_{part}.", weights) for part in ("encoder", "decoder")}


def latent_statistics() -> tuple[float, float]:
    """Mean and spread of raw latents, from the scale and shift that ComfyUI applies: raw = (x - shift) * scale."""
    weights = _weights("vae")
    scale, shift = float(weights["vae_scale"]), float(weights["vae_shift"])
    return -shift * scale, scale / SD_SCALE


def mini(vocabulary: Tensor) -> dict[str, Tensor]:
    """UNet and text encoder as one state of ``training.unet.Mini``, whose embedding has the rows of ``vocabulary`` only."""
    text = _weights("text_encoder")
    text[EMBEDDING] = text[EMBEDDING][vocabulary]
    text["text_projection.weight"] = torch.eye(len(text["text_projection.weight"]))
    return (
        {f"unet.{k}": v for k, v in _weights("unet").items()} | {f"text.{k}": v for k, v in text.items()} | {"vocabulary": vocabulary}
    )


def _weights(name: str) -> dict[str, Tensor]:
    return {k: v.float() for k, v in load_file(FOLDER / f"{name}.safetensors").items()}


def _without(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
