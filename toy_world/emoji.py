"""The objects of the miniature world: Microsoft's Fluent 3D emoji (MIT), taken from the npm package that carries them.

An identity is a word a caption can use and the picture it names. Identities in :data:`UNSEEN` never enter training;
they are the benchmark's ``unseen`` split. The flat world, which the first weights were trained on, has lists of its own.
"""

from __future__ import annotations

import functools
import logging
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

log = logging.getLogger(__name__)

PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"
CACHE = Path.home() / ".cache" / "dragon-diffusion" / "emoji"

_CODES: dict[str, str] = {
    "apple": "1f34e",
    "orange": "1f34a",
    "pear": "1f350",
    "strawberry": "1f353",
    "pineapple": "1f34d",
    "tomato": "1f345",
    "mushroom": "1f344",
    "cactus": "1f335",
    "plant": "1fab4",
    "tree": "1f384",
    "hamburger": "1f354",
    "doughnut": "1f369",
    "cupcake": "1f9c1",
    "cake": "1f382",
    "football": "26bd",
    "basketball": "1f3c0",
    "balloon": "1f388",
    "gift": "1f381",
    "pumpkin": "1f383",
    "trophy": "1f3c6",
    "teapot": "1fad6",
    "camera": "1f4f7",
    "television": "1f4fa",
    "radio": "1f4fb",
    "guitar": "1f3b8",
    "drum": "1f941",
    "bell": "1f514",
    "crown": "1f451",
    "robot": "1f916",
    "ghost": "1f47b",
    "penguin": "1f427",
    "turtle": "1f422",
    "duck": "1f986",
    "owl": "1f989",
    "frog": "1f438",
    "chick": "1f425",
    "bear": "1f9f8",
    "elephant": "1f418",
    "whale": "1f433",
    "snail": "1f40c",
    "car": "1f697",
    "bus": "1f68c",
    "tractor": "1f69c",
    "train": "1f682",
    "castle": "1f3f0",
    "house": "1f3e0",
    "chair": "1fa91",
    "backpack": "1f392",
    "diamond": "1f48e",
    "dinosaur": "1f995",
    "watermelon": "1f349",
    "lemon": "1f34b",
    "rex": "1f996",
    "taxi": "1f695",
    "octopus": "1f419",
    "bucket": "1faa3",
    "truck": "1f69a",
    "rabbit": "1f407",
    "honey": "1f36f",
    "sheep": "1f411",
    "lion": "1f981",
    "violin": "1f3bb",
}

SEEN = (
    "apple", "orange", "strawberry", "pineapple", "pumpkin", "mushroom", "cactus", "tree", "doughnut", "cake",
    "basketball", "balloon", "gift", "teapot", "camera", "television", "guitar", "robot", "penguin", "turtle",
    "duck", "frog", "elephant", "car", "house", "chair", "backpack", "diamond", "dinosaur", "drum",
)
UNSEEN = (
    "lemon", "octopus", "bucket", "truck", "rabbit", "honey", "sheep", "lion",
)

FLAT_SEEN = (
    "apple", "orange", "pear", "strawberry", "pineapple", "tomato", "mushroom", "cactus", "plant", "tree",
    "hamburger", "doughnut", "cupcake", "cake", "football", "basketball", "balloon", "gift", "pumpkin",
    "trophy", "teapot", "camera", "television", "radio", "guitar", "drum", "bell", "crown", "robot", "ghost",
    "penguin", "turtle", "duck", "owl", "frog", "chick", "bear", "elephant", "whale", "snail", "car", "bus",
    "tractor", "train", "castle", "house", "chair", "backpack", "diamond", "dinosaur",
)
FLAT_UNSEEN = (
    "watermelon", "lemon", "rex", "taxi", "octopus", "bucket", "truck", "rabbit", "honey", "sheep", "lion",
    "violin",
)

#: Identities that also come recoloured: the caption then carries one of :data:`HUES`.
RECOLOURED = ("balloon", "gift", "teapot", "car", "chair", "backpack", "diamond")
FLAT_RECOLOURED = ("balloon", "gift", "teapot", "car", "chair", "backpack", "cupcake", "diamond")
HUES: dict[str, float] = {"red": 0.0, "yellow": 0.14, "green": 0.36, "blue": 0.6, "purple": 0.77}


def fetch() -> Path:
    """Folder of the emoji pictures; the package is fetched with npm into the user's cache on first use."""
    assets = CACHE / "package" / "assets"
    if assets.is_dir():
        return assets
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("The scene renderer needs npm to fetch the Fluent emoji pictures; install Node.js and try again.")
    CACHE.mkdir(parents=True, exist_ok=True)
    log.info("fetching %s", PACKAGE)
    done = subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=CACHE, check=True, capture_output=True, text=True)  # noqa: S603
    with tarfile.open(CACHE / done.stdout.strip().splitlines()[-1]) as archive:
        archive.extractall(CACHE, filter="data")
    return assets


@functools.lru_cache(maxsize=256)
def sprite(name: str, colour: str | None = None) -> np.ndarray:
    """Premultiplied RGBA picture of an identity, cropped to its visible part: float32 (H, W, 4) in [0, 1]."""
    code = _CODES[name]
    folder = fetch()
    path = next(p for p in (folder / f"{code}.webp", folder / f"{code}-fe0f.webp") if p.is_file())
    with Image.open(path) as picture:
        rgba = picture.convert("RGBA")
    rgba = rgba.crop(rgba.getchannel("A").point([0] * 16 + [255] * 240).getbbox())
    if colour is not None:
        rgba = _recolour(rgba, HUES[colour])
    pixels = np.asarray(rgba, dtype=np.float32) / 255.0
    pixels[..., :3] *= pixels[..., 3:]
    return pixels


def _recolour(rgba: Image.Image, hue: float) -> Image.Image:
    """Turn the hue wheel so that the picture's dominant hue (weighted by colourfulness) becomes ``hue``."""
    h, s, v = (np.asarray(c, dtype=np.float32) for c in rgba.convert("RGB").convert("HSV").split())
    weight = s * np.asarray(rgba.getchannel("A"), dtype=np.float32)
    angle = h / 255.0 * 2 * np.pi
    dominant = np.arctan2((np.sin(angle) * weight).sum(), (np.cos(angle) * weight).sum()) / (2 * np.pi)
    turned = ((h / 255.0 - dominant + hue) % 1.0 * 255).astype(np.uint8)
    bands = [Image.fromarray(b) for b in (turned, s.astype(np.uint8), v.astype(np.uint8))]
    out = Image.merge("HSV", bands).convert("RGBA")
    out.putalpha(rgba.getchannel("A"))
    return out
