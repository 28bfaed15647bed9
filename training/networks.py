"""The networks that are trained: ComfyUI's own classes, built from ``mini_model/config.json``."""

from __future__ import annotations

from . import host  # noqa: F401  isort: skip - configures ComfyUI before its modules load

import copy
import json
from pathlib import Path

import comfy.clip_model
import comfy.ops
import comfy.sd1_clip
import torch
from comfy.ldm.modules.attention import optimized_attention_for_device
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor, nn

from toy_world import scene

CONFIG = json.loads((Path(__file__).parents[1] / "mini_model" / "config.json").read_text())
OPS = comfy.ops.disable_weight_init


def initialise(net: nn.Module) -> None:
    """Initialise layers that ComfyUI leaves uninitialised; branches that end in a residual sum start at zero."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.GroupNorm | nn.LayerNorm):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Embedding):
            nn.init.zeros_(layer.weight)


def build_unet() -> UNetModel:
    unet = UNetModel(**copy.deepcopy(CONFIG["unet"]), operations=OPS)
    initialise(unet)
    for name, layer in unet.named_modules():
        if name.endswith(("out_layers.3", "proj_out")) or name == "out.2":
            nn.init.zeros_(layer.weight)
    return unet


def build_text_encoder(words: int) -> comfy.clip_model.CLIPTextModel:
    """CLIP's text transformer, small. Its embedding has a row for each of the ``words`` token ids that captions contain."""
    text = comfy.clip_model.CLIPTextModel(CONFIG["text_encoder"], torch.float32, "cpu", OPS)
    text.text_model.embeddings.token_embedding = OPS.Embedding(words, CONFIG["text_encoder"]["hidden_size"])
    initialise(text)
    nn.init.normal_(text.text_model.embeddings.token_embedding.weight, std=0.5, generator=torch.Generator().manual_seed(1))
    nn.init.normal_(text.text_model.embeddings.position_embedding.weight, std=0.1, generator=torch.Generator().manual_seed(2))
    return text


def tokenise(captions: list[str]) -> Tensor:
    """Token ids (N, 77) exactly as ComfyUI's CLIPTextEncode makes them."""
    tokenizer = comfy.sd1_clip.SDTokenizer()
    return torch.tensor([[token for token, _ in tokenizer.tokenize_with_weights(c)[0]] for c in captions])


def vocabulary() -> Tensor:
    """Ids of the tokens that captions of training scenes can contain, ascending."""
    return torch.unique(tokenise(["", *scene.words()]))


def encode_text(text: comfy.clip_model.CLIPTextModel, tokens: Tensor) -> Tensor:
    """Context (B, 77, C) of rows of the compact vocabulary: the arithmetic of ComfyUI's CLIPTextModel without its "
    "in-place sums, so that it can be trained."""
    model = text.text_model
    x = model.embeddings(tokens)
    mask = torch.full((x.shape[1], x.shape[1]), float("-inf"), device=x.device).triu_(1)
    attention = optimized_attention_for_device(x.device, mask=True, small_input=True)
    for layer in model.encoder.layers:
        x = x + layer.self_attn(layer.layer_norm1(x), mask, attention)
        x = x + layer.mlp(layer.layer_norm2(x))
    return model.final_layer_norm(x)


def alphas_cumprod() -> Tensor:
    """Stable Diffusion's scaled-linear schedule, (1000,)."""
    return torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0).float()
