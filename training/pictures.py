"""Rendered scenes kept on disk, so that training reads them instead of drawing each again."""

from __future__ import annotations

import logging
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from . import emoji, world

log = logging.getLogger(__name__)

WORK = Path.home() / ".cache" / "dragon-diffusion" / "training"


def picture(split: str, seed: int) -> np.ndarray:
    """Scene ``seed`` of a split as uint8 (side, side, 3)."""
    return (world.render(world.sample_scene(split, seed)) * 255 + 0.5).astype(np.uint8)


def _train_picture(seed: int) -> np.ndarray:
    return picture("train", seed)


def captions(split: str, count: int) -> list[str]:
    return [world.sample_scene(split, seed).caption for seed in range(count)]


def training_pictures(count: int) -> np.ndarray:
    """The first ``count`` training scenes as a read-only uint8 map (count, side, side, 3); drawn on first use."""
    path = WORK / f"pictures-{count}.npy"
    larger = [p for p in WORK.glob("pictures-*.npy") if int(p.stem.split("-")[1]) > count]
    if larger and not path.is_file():
        return np.load(larger[0], mmap_mode="r")[:count]
    if not path.is_file():
        WORK.mkdir(parents=True, exist_ok=True)
        emoji.fetch()
        partial = path.with_suffix(".partial")
        shape = (count, world.SIDE, world.SIDE, 3)
        pictures = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        with ProcessPoolExecutor(max_workers=2) as pool:
            for seed, drawn in enumerate(pool.map(_train_picture, range(count), chunksize=64)):
                pictures[seed] = drawn
        pictures.flush()
        partial.rename(path)
        log.info("drew %d scenes into %s", count, path)
    return np.load(path, mmap_mode="r")
