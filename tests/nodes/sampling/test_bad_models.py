"""Models that the pack cannot steer (yet), and a bundled model that is not whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import comfy.ldm.flux.model
import comfy.model_base
import comfy.model_patcher
import comfy.supported_models
import comfy.supported_models_base
import pytest
import torch

FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": 2,
    "vec_in_dim": 8,
    "context_in_dim": 8,
    "hidden_size": 32,
    "mlp_ratio": 1,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [4, 6, 6],
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": False,
}
if "txt_ids_dims" in comfy.ldm.flux.model.FluxParams.__dataclass_fields__:  # newer releases
    FLUX["txt_ids_dims"] = []
WAN = {"image_model": "wan2.1", "model_type": "t2v", "dim": 24, "ffn_dim": 8, "num_heads": 2, "num_layers": 1, "text_dim": 8}
SHAPES = {
    "image_model": "hunyuan3d2",
    "in_channels": 4,
    "context_in_dim": 8,
    "hidden_size": 16,
    "mlp_ratio": 1.0,
    "num_heads": 1,
    "depth": 1,
    "depth_single_blocks": 1,
    "qkv_bias": True,
    "guidance_embed": False,
}
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 1],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": 8,
    "use_spatial_transformer": True,
    "legacy": False,
}
SVD = {
    **UNET,
    "model_channels": 64,
    "in_channels": 8,
    "adm_in_channels": 16,
    "num_classes": "sequential",
    "use_temporal_attention": True,
    "use_temporal_resblock": True,
    "video_kernel_size": [3, 1, 1],
    "extra_ff_mix_layer": True,
    "use_spatial_context": True,
    "merge_strategy": "learned_with_images",
    "merge_factor": 0.0,
}


def patcher(config: comfy.supported_models_base.BASE, model: Any = None) -> Any:
    """A MODEL without memory: on the meta device."""
    config.set_inference_dtype(torch.float32, None)
    made = config.get_model({}, device="meta") if model is None else model(config)
    return comfy.model_patcher.ModelPatcher(made, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("config", "family", "why"),
    [
        (lambda: comfy.supported_models.SVD_img2vid(SVD), "SVD_img2vid", "8 input channels"),
        (lambda: comfy.supported_models.WAN21_I2V({**WAN, "model_type": "i2v", "in_dim": 36}), "WAN21_I2V", "36 input channels"),
        (lambda: comfy.supported_models.FluxInpaint({**FLUX, "in_channels": 96}), "FluxInpaint", "96 input channels"),
        (lambda: comfy.supported_models.Hunyuan3Dv2(SHAPES), "Hunyuan3Dv2", "do not make pictures"),
    ],
    ids=["video UNet", "image-to-video DiT", "inpainting DiT", "shapes"],
)
def test_other_families(run: Any, scene: Any, sample: Any, refused: Any, config: Any, family: str, why: str) -> None:
    """Every node that takes a MODEL says why the family cannot be edited with, and what can."""
    model = patcher(config())
    words = (family, why, "a model that makes pictures from a prompt, or DragonMiniModel")
    with refused("DragonInvert", *words):
        run("DragonInvert", model=model, positive=scene.positive, latent=scene.latent)
    with refused("DragonCrossAttnPatch", *words):
        run("DragonCrossAttnPatch", model=model, branch=scene.branch)
    with refused("DragonSampler", *words):
        sample(scene, model=model)
    with refused("DragonGuider", *words):
        run("DragonGuider", model=model, positive=scene.positive, negative=scene.negative, branch=scene.branch)


def test_inpainting_unet(run: Any, scene: Any, refused: Any) -> None:
    """Nine input channels: the mask and the masked picture would have to come from somewhere."""
    model = patcher(comfy.supported_models.SD15({**UNET, "in_channels": 9}))
    with refused("DragonInvert", "9 input channels", "not supported", "a model that makes pictures from a prompt"):
        run("DragonInvert", model=model, positive=scene.positive, latent=scene.latent)


@pytest.mark.parametrize("name", ["IMG_TO_IMG", "EDM"])
def test_unet_with_another_noise_model(run: Any, scene: Any, refused: Any, name: str) -> None:
    """A UNet of the right class that predicts something else, or whose pictures are half as wide (Playground 2.5)."""
    config = comfy.supported_models.SD15(UNET)
    config.sampling_settings = {"sigma_data": 0.5}
    kind = comfy.model_base.ModelType[name]
    model = patcher(config, lambda config: comfy.model_base.BaseModel(config, model_type=kind, device="meta"))
    with refused("DragonInvert", f"predicts {name}", "not supported yet"):
        run("DragonInvert", model=model, positive=scene.positive, latent=scene.latent)


@pytest.mark.parametrize(
    ("node", "inputs", "name"),
    [
        ("ModelSamplingDiscrete", {"sampling": "img_to_img", "zsnr": False}, "IMG_TO_IMG"),
        ("ModelSamplingContinuousEDM", {"sampling": "edm", "sigma_max": 120.0, "sigma_min": 0.002}, "EDM"),
        ("ModelSamplingContinuousEDM", {"sampling": "cosmos_rflow", "sigma_max": 120.0, "sigma_min": 0.002}, "COSMOS_RFLOW"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_patch_that_makes_another_noise_model(run: Any, mini: Any, scene: Any, refused: Any, node: str, inputs: Any, name: str) -> None:
    """What the patch makes of the model is told, not what the checkpoint is."""
    (model,) = run(node, model=mini.model, **inputs)
    with refused("DragonInvert", f"predicts {name}", "not supported yet"):
        run("DragonInvert", model=model, positive=scene.positive, latent=scene.latent)


def test_a_patch_that_makes_a_flow_of_a_model(run: Any, mini: Any, scene: Any, sample: Any, refused: Any) -> None:
    """The trajectory was made in other latents."""
    (model,) = run("ModelSamplingSD3", model=mini.model, shift=3.0)
    with refused("DragonSampler", "another model", "invert with the model you sample with"):
        sample(scene, model=model)


def test_shared_attention_in_a_stock_sampler(run: Any, mini: Any, scene: Any, refused: Any) -> None:
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=scene.branch)
    (empty,) = run("EmptyLatentImage", width=96, height=64)
    inputs = {"positive": scene.positive, "negative": scene.negative, "latent_image": empty}
    with refused("DragonCrossAttnPatch", "DragonSampler or DragonGuider only", "give other samplers the unpatched one"):
        run("KSampler", model=model, **inputs, seed=1, steps=1, cfg=1.0, sampler_name="euler", scheduler="normal", denoise=1.0)


def test_shared_attention_in_the_inversion(run: Any, mini: Any, scene: Any, refused: Any) -> None:
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=scene.branch)
    with refused("DragonInvert", "invert with the unpatched model", "DragonCrossAttnPatch"):
        run("DragonInvert", model=model, positive=scene.positive, latent=scene.latent)


@pytest.fixture
def bundle(pack: Any, tmp_path: Path) -> Path:
    """A copy of the bundled model's folder."""
    return Path(shutil.copytree(pack.folder / "mini_model", tmp_path / "mini_model"))


@pytest.fixture
def load(pack: Any) -> Any:
    """What DragonMiniModel calls, which puts its own name before the message."""
    links, node = pack.submodule("nodes.schema.links"), pack.node_classes["DragonMiniModel"]

    def call(folder: Path) -> None:
        with links.named(node):
            pack.submodule("nodes.bundled.mini_weights").load_mini_model(folder)

    return call


@pytest.mark.parametrize("name", ["unet", "text_encoder", "vae"])
def test_missing_weights(bundle: Path, load: Any, refused: Any, name: str) -> None:
    (bundle / f"{name}.safetensors").unlink()
    with refused("DragonMiniModel", f"{name}.safetensors is missing", "install the pack again"):
        load(bundle)


@pytest.mark.parametrize("name", ["unet", "text_encoder", "vae"])
def test_damaged_weights(bundle: Path, load: Any, refused: Any, name: str) -> None:
    """One bit, far from the header."""
    file = bundle / f"{name}.safetensors"
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    with refused("DragonMiniModel", f"{name}.safetensors is damaged", "checksum", "install the pack again"):
        load(bundle)


def test_git_lfs_pointer(bundle: Path, load: Any, refused: Any) -> None:
    """What a clone without the large files leaves."""
    file = bundle / "unet.safetensors"
    file.chmod(0o644)
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    with refused("DragonMiniModel", "unet.safetensors is damaged"):
        load(bundle)


@pytest.mark.parametrize("damage", ["missing", "not json", "incomplete"])
def test_manifest(bundle: Path, load: Any, refused: Any, damage: str) -> None:
    manifest = bundle / "manifest.json"
    if damage == "missing":
        manifest.unlink()
    else:
        manifest.write_text("{" if damage == "not json" else '{"files": {}}')
    with refused("DragonMiniModel", "manifest.json", "install the pack again"):
        load(bundle)
