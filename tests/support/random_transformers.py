"""Small transformers of the families' own classes with random weights, as ComfyUI makes them from a checkpoint: seconds on a CPU.

Head sizes and numbers of blocks are small, everything else is as in the files: order of text and picture, rotary embedding, latent
format, `model_sampling`. Needs ComfyUI on sys.path (import `real_comfyui` first).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import comfy.ldm.chroma.model
import comfy.ldm.flux.model
import comfy.ldm.hunyuan_video.model
import comfy.model_patcher
import comfy.supported_models
import torch
from torch import Tensor

WIDTH, TEXT, POOLED = 32, 24, 20

FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": 2,
    "vec_in_dim": POOLED,
    "context_in_dim": TEXT,
    "hidden_size": WIDTH,
    "mlp_ratio": 2,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 2,
    "axes_dim": [4, 6, 6],
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": True,
}
FLUX2 = {
    **FLUX,
    "image_model": "flux2",
    "in_channels": 128,
    "out_channels": 128,
    "patch_size": 1,
    "vec_in_dim": None,
    "axes_dim": [4, 4, 4, 4],
    "theta": 2000,
    "global_modulation": True,
    "mlp_silu_act": True,
    "qkv_bias": False,
    "ops_bias": False,
    "default_ref_method": "index",
    "ref_index_scale": 10.0,
}
CHROMA = {
    **{name: value for name, value in FLUX.items() if name not in ("vec_in_dim", "guidance_embed")},
    "image_model": "chroma",
    "in_channels": 64,
    "out_channels": 64,
    "in_dim": 64,
    "out_dim": WIDTH,
    "hidden_dim": 16,
    "n_layers": 1,
}
SD3 = {
    "in_channels": 16,
    "patch_size": 2,
    "depth": 1,
    "num_blocks": 3,
    "input_size": None,
    "adm_in_channels": POOLED,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": TEXT, "out_features": 64}},
    "num_patches": 24 * 24,
    "pos_embed_max_size": 24,
    "pos_embed_scaling_factor": None,
    "qk_norm": "rms",
}
AURA = {
    "in_channels": 4,
    "out_channels": 4,
    "max_seq": 24 * 24,
    "cond_seq_dim": TEXT,
    "dim": WIDTH,
    "n_heads": 2,
    "n_layers": 3,
    "n_double_layers": 1,
    "global_conddim": WIDTH,
}
LUMINA = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 48,
    "n_layers": 2,
    "n_refiner_layers": 1,
    "n_heads": 4,
    "n_kv_heads": 2,
    "axes_dims": [4, 4, 4],
    "axes_lens": [300, 512, 512],
    "rope_theta": 10000.0,
    "ffn_dim_multiplier": 1.0,
    "multiple_of": 16,
    "qk_norm": True,
    "cap_feat_dim": TEXT,
}
Z_IMAGE = {
    **LUMINA,
    "dim": 256,  # no less: so wide is what the time is embedded in
    "n_heads": 8,
    "n_kv_heads": 8,
    "axes_dims": [8, 12, 12],
    "rope_theta": 256.0,
    "ffn_dim_multiplier": 8.0 / 3.0,
    "z_image_modulation": True,
    "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}
QWEN = {
    "image_model": "qwen_image",
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 3,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": TEXT,
    "axes_dims_rope": (4, 6, 6),
}
HUNYUAN = {
    "image_model": "hunyuan_video",
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
    "vec_in_dim": POOLED,
    "axes_dim": [4, 6, 6],
    "context_in_dim": TEXT,
    "hidden_size": WIDTH,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 2,
    "theta": 256,
    "qkv_bias": True,
    "guidance_embed": True,
    "byt5": False,
    "meanflow": False,
    "use_cond_type_embedding": False,
    "vision_in_dim": None,
}
HUNYUAN_IMAGE = {
    **HUNYUAN,
    "in_channels": 64,
    "out_channels": 64,
    "patch_size": [1, 1],
    "vec_in_dim": None,
    "axes_dim": [8, 8],
}
LONGCAT = {**FLUX, "guidance_embed": False, "vec_in_dim": None, "txt_ids_dims": [1, 2]}
KREA = {
    "image_model": "krea2",
    "features": WIDTH,
    "heads": 2,
    "kvheads": 1,
    "layers": 3,
    "channels": 16,
    "patch": 2,
    "txtlayers": 3,
    "txtdim": TEXT // 3,
    "txtheads": 2,
    "txtkvheads": 2,
}
MAGE = {**QWEN, "image_model": "mage_flow", "in_channels": 128, "out_channels": 128}
LENS = {
    "image_model": "lens",
    "in_channels": 128,
    "out_channels": 32,
    "num_layers": 3,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "axes_dims_rope": (4, 6, 6),
    "enc_hidden_dim": TEXT,
    "multi_layer_encoder_feature": False,
    "selected_layer_index": (0,),
}
ANIMA = {
    "image_model": "anima",
    "max_img_h": 240,
    "max_img_w": 240,
    "max_frames": 128,
    "in_channels": 16,
    "out_channels": 16,
    "patch_spatial": 2,
    "patch_temporal": 1,
    "model_channels": WIDTH,
    "concat_padding_mask": True,
    "crossattn_emb_channels": TEXT,
    "pos_emb_cls": "rope3d",
    "pos_emb_learnable": True,
    "pos_emb_interpolation": "crop",
    "min_fps": 1,
    "max_fps": 30,
    "use_adaln_lora": True,
    "adaln_lora_dim": 16,
    "num_blocks": 2,
    "num_heads": 2,
    "extra_per_block_abs_pos_emb": False,
    "rope_h_extrapolation_ratio": 4.0,
    "rope_w_extrapolation_ratio": 4.0,
    "rope_t_extrapolation_ratio": 1.0,
}
WAN = {
    "image_model": "wan2.1",
    "model_type": "t2v",
    "dim": WIDTH,
    "ffn_dim": 32,
    "num_heads": 2,
    "num_layers": 3,
    "text_dim": TEXT,
    "freq_dim": 16,
}


@dataclass(frozen=True, eq=False)
class Transformer:
    """A family: ComfyUI's class for its checkpoints, the small shape, and what a latent of it looks like.

    channels: of the latent. cell: pixels a cell covers. tokens: cells a token covers, each way. frames: 0 where latents are pictures.
    rotary: whether it has a rotary embedding.
    """

    name: str
    config: str
    shape: Mapping[str, Any]
    channels: int
    cell: int = 8
    tokens: int = 2
    frames: int = 0
    rotary: bool = True

    def __str__(self) -> str:
        return self.name


SD3_LIKE = Transformer("sd3", "SD3", SD3, 16, rotary=False)
SD35_MEDIUM = Transformer("sd3.5-medium", "SD3", {**SD3, "x_block_self_attn_layers": [0, 1]}, 16, rotary=False)
AURA_FLOW = Transformer("auraflow", "AuraFlow", AURA, 4, rotary=False)
FLUX_DEV = Transformer("flux-dev", "Flux", FLUX, 16)
FLUX_SCHNELL = Transformer("flux-schnell", "FluxSchnell", {**FLUX, "guidance_embed": False}, 16)
FLUX_2 = Transformer("flux2", "Flux2", FLUX2, 128, cell=16, tokens=1)
CHROMA_LIKE = Transformer("chroma", "Chroma", CHROMA, 16)
LUMINA_2 = Transformer("lumina2", "Lumina2", LUMINA, 16)
Z_IMAGE_LIKE = Transformer("z-image", "ZImage", Z_IMAGE, 16)
QWEN_IMAGE = Transformer("qwen-image", "QwenImage", QWEN, 16, frames=1)
HUNYUAN_IMAGE_LIKE = Transformer("hunyuan-image", "HunyuanImage21", HUNYUAN_IMAGE, 64, cell=32, tokens=1)
HUNYUAN_VIDEO = Transformer("hunyuan-video", "HunyuanVideo", HUNYUAN, 16, frames=3)
LONGCAT_IMAGE = Transformer("longcat", "LongCatImage", LONGCAT, 16)
KREA_2 = Transformer("krea2", "Krea2", KREA, 16, frames=1)
MAGE_FLOW = Transformer("mage-flow", "MageFlow", MAGE, 128, cell=16, tokens=1)
LENS_LIKE = Transformer("lens", "Lens", LENS, 128, cell=16, tokens=1)
ANIMA_LIKE = Transformer("anima", "Anima", ANIMA, 16, frames=1)
WAN_VIDEO = Transformer("wan", "WAN21_T2V", WAN, 16, frames=3)

#: In newer ComfyUI than the pinned one, where keys and values can be shared, and where they cannot.
NEWER = tuple(each for each in (LONGCAT_IMAGE, KREA_2, MAGE_FLOW, LENS_LIKE) if hasattr(comfy.supported_models, each.config))
NEWER_UNSHARED = tuple(each for each in (ANIMA_LIKE,) if hasattr(comfy.supported_models, each.config))

PICTURES = (
    SD3_LIKE,
    SD35_MEDIUM,
    AURA_FLOW,
    FLUX_DEV,
    FLUX_SCHNELL,
    FLUX_2,
    CHROMA_LIKE,
    LUMINA_2,
    Z_IMAGE_LIKE,
    QWEN_IMAGE,
    HUNYUAN_IMAGE_LIKE,
    *NEWER,
)
VIDEOS = (HUNYUAN_VIDEO, WAN_VIDEO)


def make(
    family: Transformer, seed: int = 0, stored: torch.dtype = torch.float32, operations: Any = None
) -> comfy.model_patcher.ModelPatcher:
    """A MODEL as ComfyUI's loaders give it, on the CPU: computed in float32, kept as ``stored``, of layers of ``operations``."""
    config = getattr(comfy.supported_models, family.config)(_known(family))
    config.set_inference_dtype(stored, None if stored == torch.float32 else torch.float32)
    config.custom_operations = operations
    model = config.get_model({}, device=torch.device("cpu"))
    model.diffusion_model.load_state_dict(filled(model.diffusion_model.state_dict(), seed))
    return comfy.model_patcher.ModelPatcher(model, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def filled(weights: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Random values for all of a network's weights."""
    generator = torch.Generator().manual_seed(seed)
    return {name: _weight(name, tensor, generator) for name, tensor in weights.items()}


def conditioning(family: Transformer, seed: int, words: int = 7) -> list[Any]:
    """What a text encoder would give for a prompt."""
    generator = torch.Generator().manual_seed(1000 + seed)
    pooled = torch.randn(1, POOLED, generator=generator)
    return [[torch.randn(1, words, TEXT, generator=generator), {"pooled_output": pooled}]]


def latent(family: Transformer, seed: int = 0, height: int = 8, width: int = 12, batch: int = 1) -> dict[str, Tensor]:
    """A LATENT of tokens × tokens, not square."""
    size = (height * family.tokens, width * family.tokens)
    shape = (batch, family.channels, *((family.frames,) if family.frames else ()), *size)
    return {"samples": torch.randn(shape, generator=torch.Generator().manual_seed(seed))}


def _known(family: Transformer) -> dict[str, Any]:
    """The shape, with what newer releases ask for besides."""
    shape = dict(family.shape)
    params = {"flux": comfy.ldm.flux.model.FluxParams, "flux2": comfy.ldm.flux.model.FluxParams}
    params["hunyuan_video"] = comfy.ldm.hunyuan_video.model.HunyuanVideoParams
    params["chroma"] = comfy.ldm.chroma.model.ChromaParams
    asked = params.get(shape.get("image_model", ""))
    for each in dataclasses.fields(asked) if asked is not None else ():
        if each.default is dataclasses.MISSING and each.name not in shape:
            shape[each.name] = [] if each.name == "txt_ids_dims" else False
    return shape


def _weight(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Values that keep activations at the size that training gives them: fan-in for maps, about 1 for norms, small biases."""
    noise = torch.randn(like.shape, generator=generator)
    if like.ndim >= 2 and "pos" not in name and "register" not in name and "pad_token" not in name:
        return noise / math.sqrt(math.prod(like.shape[1:]))
    return 1 + 0.1 * noise if like.ndim == 1 and not name.endswith("bias") else 0.3 * noise
