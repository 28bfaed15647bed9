"""A node pack for test servers: small models with random weights where a template loads files.

Nobody has the files here that `workflows/` name for today's models. :func:`with_random_models` puts these nodes in the place of the stock
loaders, in a copy of the graph; all other nodes, widgets and links of a template are its own. Models and text encoders are ComfyUI's. The
VAE is ComfyUI's (`own`: minutes a picture of 1024×1024 on a CPU), or one that maps colours linearly (`linear`: at once, and true to them).
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PARTS = ("random_loaders.py", "random_models.py", "random_transformers.py", "linear_vae.py")
MINIATURE = HERE.parents[1] / "mini_model" / "vae.safetensors"
#: A family by the file that a template asks for.
FAMILIES = {
    "z_image_turbo_bf16.safetensors": "Z_IMAGE_LIKE",
    "wan2.1_t2v_1.3B_fp16.safetensors": "WAN_VIDEO",
    "sdxl_lightning_8step.safetensors": "SDXL",
}
#: Stock loader → the node in its place, which has its outputs.
LOADERS = {
    "UNETLoader": "RandomDiffusionModel",
    "CLIPLoader": "RandomTextEncoder",
    "VAELoader": "RandomVAE",
    "CheckpointLoaderSimple": "RandomCheckpoint",
}


def install(custom_nodes: Path) -> None:
    """Put the pack into a server's folder."""
    folder = custom_nodes / "random-models"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .random_loaders import NODE_CLASS_MAPPINGS\n", "utf-8")
    for part in (*(HERE / part for part in PARTS), MINIATURE):
        shutil.copy(part, folder)


def loaders(graph: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a graph that load files of a model."""
    return [node for node in graph["nodes"] if node["type"] in LOADERS]


def with_random_models(graph: dict[str, Any], vae: str = "linear") -> dict[str, Any]:
    """A graph as its file has it, each loader of files exchanged for ours; the same where there is none."""
    graph = copy.deepcopy(graph)
    found = loaders(graph)
    families = {FAMILIES[node["widgets_values"][0]] for node in found if node["type"] in ("UNETLoader", "CheckpointLoaderSimple")}
    for node in found:
        kind = LOADERS[node["type"]]
        node.update(type=kind, inputs=[], widgets_values=[*families, vae], properties={"Node name for S&R": kind})
    return graph


def saved(prompt: dict[str, dict[str, Any]], **images: list[Any]) -> dict[str, dict[str, Any]]:
    """A prompt that saves more pictures: file's beginning → output that gives them."""
    nodes = {
        name: {"class_type": "SaveImage", "inputs": {"images": each, "filename_prefix": f"test/{name}"}} for name, each in images.items()
    }
    return {**prompt, **nodes}


class _Loader:
    CATEGORY, FUNCTION = "tests", "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"family": (sorted(FAMILIES.values()),), "vae": (["linear", "own"],)}}


class RandomDiffusionModel(_Loader):
    RETURN_TYPES = ("MODEL",)

    def load(self, family: str, vae: str) -> tuple[Any, ...]:
        from . import random_models

        return (random_models.diffusion_model(family),)


class RandomTextEncoder(_Loader):
    RETURN_TYPES = ("CLIP",)

    def load(self, family: str, vae: str) -> tuple[Any, ...]:
        from . import random_models

        return (random_models.text_encoder(),)


class RandomVAE(_Loader):
    RETURN_TYPES = ("VAE",)

    def load(self, family: str, vae: str) -> tuple[Any, ...]:
        from . import random_models

        return (random_models.vae(family, HERE / MINIATURE.name if vae == "own" else None),)


class RandomCheckpoint(_Loader):
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")

    def load(self, family: str, vae: str) -> tuple[Any, ...]:
        from . import random_models

        return (
            random_models.diffusion_model(family),
            random_models.text_encoder(),
            random_models.vae(family, HERE / MINIATURE.name if vae == "own" else None),
        )


NODE_CLASS_MAPPINGS = {each.__name__: each for each in (RandomDiffusionModel, RandomTextEncoder, RandomVAE, RandomCheckpoint)}
