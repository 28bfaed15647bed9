"""A node pack for test servers: small models with random weights, of the families' own classes, where a template loads files.

Nobody has the files here that `workflows/` name for today's models. :func:`in_place_of_files` puts these nodes in the place of the stock
loaders; all other nodes of a template are its own.
"""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path
from typing import Any

NODE, CHECKPOINT = "RandomModel", "DragonMiniModel"
PARTS = ("random_loaders.py", "random_transformers.py", "linear_vae.py")
#: A family by the file that a template asks for.
FAMILIES = {"z_image_turbo_bf16.safetensors": "Z_IMAGE_LIKE", "wan2.1_t2v_1.3B_fp16.safetensors": "WAN_VIDEO"}
#: Stock loader → which output of ours is its.
LOADERS = {"UNETLoader": 0, "CLIPLoader": 1, "VAELoader": 2}


def install(custom_nodes: Path) -> None:
    """Put the pack into a server's folder."""
    folder = custom_nodes / "random-models"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .random_loaders import NODE_CLASS_MAPPINGS\n", "utf-8")
    for part in PARTS:
        shutil.copy(Path(__file__).with_name(part), folder)


def in_place_of_files(prompt: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A prompt whose loaders of files are ours: a random model of the family that it names, the miniature for a checkpoint."""
    asked = [node["inputs"]["unet_name"] for node in prompt.values() if node["class_type"] == "UNETLoader"]
    if asked:
        prompt = {**prompt, "random": {"class_type": NODE, "inputs": {"family": FAMILIES[asked[0]]}}}
    ours = {name: LOADERS[node["class_type"]] for name, node in prompt.items() if node["class_type"] in LOADERS}
    made = {}
    for name, node in prompt.items():
        if node["class_type"] == "CheckpointLoaderSimple":
            made[name] = {"class_type": CHECKPOINT, "inputs": {}}
        elif name not in ours:
            inputs = node["inputs"].items()
            links = {key: ["random", ours[value[0]]] for key, value in inputs if isinstance(value, list) and value[0] in ours}
            made[name] = {**node, "inputs": {**node["inputs"], **links}}
    return made


class RandomModel:
    """MODEL, CLIP and VAE of a family of `random_transformers`."""

    CATEGORY, FUNCTION = "tests", "make"
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"family": (sorted(FAMILIES.values()),)}}

    def make(self, family: str) -> tuple[Any, ...]:
        from . import random_transformers
        from .linear_vae import LinearVAE

        kind = getattr(random_transformers, family)
        return random_transformers.make(kind), RandomText(kind), LinearVAE(kind.channels, kind.cell, kind.frames > 0)


class RandomText:
    """What CLIPTextEncode asks of a text encoder: a prompt's conditioning is random, another one for other words."""

    def __init__(self, family: Any) -> None:  # noqa: ANN401 - imported beside a server only
        self.family = family

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str) -> list[Any]:
        from . import random_transformers

        return random_transformers.conditioning(self.family, zlib.crc32(text.encode()) % 1000, words=4 + len(text.split()))


NODE_CLASS_MAPPINGS = {NODE: RandomModel}
