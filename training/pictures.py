"""The pictures that training and its evaluation see: rooms of the toy world, drawn when they are needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from toy_world import render
from toy_world.scene import SIDE, sample_scene

from . import dead_leaves

WORK = Path.home() / ".cache" / "dragon-diffusion" / "training"

LEAVES = 0.33
"""Share of the crops that are dead leaves rather than rooms."""
FLAT = 0.1
"""Share of the rooms that are drawn without a lamp."""
GAINED = 0.33
GAINS = (0.5, 1.3)
"""Share of the crops whose channels are brightened or darkened, and by how much."""


def picture(split: str, seed: int, lit: bool = True) -> npt.NDArray[np.uint8]:
    """Scene ``seed`` of a split as uint8 (side, side, 3)."""
    return to_bytes(render.render(sample_scene(split, seed, lit=lit)))


def to_bytes(drawn: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """A picture in [0, 1] as the 256 values of a file."""
    return (drawn * 255 + 0.5).astype(np.uint8)


def captions(split: str, count: int) -> list[str]:
    """What the first scenes of a split show, in words."""
    return [sample_scene(split, seed).caption for seed in range(count)]


class Crops(Dataset[Tensor]):
    """Item i: the batch of step i for the VAE, (batch, 3, crop, crop) in [0, 1], always the same and never seen before."""

    def __init__(self, batch: int, crop: int) -> None:
        self._batch, self._crop = batch, crop

    def __getitem__(self, step: int) -> Tensor:
        rng = np.random.default_rng([11, step])
        return torch.from_numpy(np.stack([self._one(rng) for _ in range(self._batch)])).permute(0, 3, 1, 2)

    def _one(self, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        if rng.uniform() < LEAVES:
            out = dead_leaves.draw(rng, self._crop)
        else:
            scene = sample_scene("train", int(rng.integers(2**62)), lit=bool(rng.uniform() >= FLAT))
            room = SIDE - self._crop
            left, top = int(rng.integers(room + 1)), int(rng.triangular(0, 0.6 * room, room))  # objects stand below the middle
            out = render.render(scene, window=render.Window(SIDE, left, top, self._crop, self._crop))
        if rng.uniform() < GAINED:
            out = np.clip(out * rng.uniform(*GAINS, 3).astype(np.float32), 0, 1)
        return out
