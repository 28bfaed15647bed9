"""The pictures that training and its evaluation see: rooms of the toy world and dead leaves, drawn when they are needed.

Training pictures come in chunks, which worker processes draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from toy_world import render
from toy_world.scene import SIDE, sample_scene

from . import dead_leaves

T = TypeVar("T")
WORK = Path.home() / ".cache" / "dragon-diffusion" / "training"
KEPT = WORK / "rooms"
"""Where this folder is there, rooms that were drawn are kept in it, 25 MB a chunk: those of the VAE are the UNet's, too."""

CHUNK = 128
"""Rooms in a chunk."""
LEAVES = 0.4
"""Share of the crops that are dead leaves rather than rooms."""
LEAF_SIDE = 96
FLAT = 0.1
"""Share of the rooms that are drawn without a lamp."""
GAINED = 0.33
GAINS = (0.5, 1.3)
"""Share of the crops whose channels are brightened or darkened, and by how much."""
LOWER = 0.6
"""Where along a room's height most crops are taken: objects stand below the middle."""


def picture(split: str, seed: int, lit: bool = True) -> npt.NDArray[np.uint8]:
    """Scene ``seed`` of a split as uint8 (side, side, 3)."""
    return render.to_bytes(render.render(sample_scene(split, seed, lit=lit)))


def captions(split: str, count: int) -> list[str]:
    """What the first scenes of a split show, in words."""
    return [sample_scene(split, seed).caption for seed in range(count)]


def write(path: Path, save: Callable[[Path], None]) -> None:
    """Write a file so that it is there whole or not at all: ``save`` is given a name beside it."""
    partial = path.with_stem(f"{path.stem}.partial")
    save(partial)
    partial.replace(path)


def rooms(chunk: int) -> npt.NDArray[np.uint8]:
    """Training scenes ``chunk`` · CHUNK and on, uint8 (CHUNK, side, side, 3)."""
    path = KEPT / f"{chunk:05d}.npy"
    if path.is_file():
        known: npt.NDArray[np.uint8] = np.load(path)
        return known
    drawn = np.stack([picture("train", seed) for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK)])
    if KEPT.is_dir():
        write(path, lambda partial: np.save(partial, drawn))
    return drawn


class VaeChunks(Dataset[list[Tensor]]):
    """Item c: what the VAE sees of chunk c: its rooms, flat rooms, dead leaves; uint8 (count, side, side, 3) each."""

    def __getitem__(self, chunk: int) -> list[Tensor]:
        flat = [picture("train", chunk * CHUNK + i, lit=False) for i in range(round(CHUNK * FLAT))]
        rng = np.random.default_rng([11, chunk])
        leaves = [render.to_bytes(dead_leaves.draw(rng, LEAF_SIDE)) for _ in range(CHUNK)]
        return [torch.from_numpy(kind) for kind in (rooms(chunk), np.stack(flat), np.stack(leaves))]


def drawn_from(dataset: Dataset[T], first: int, workers: int) -> Iterator[T]:
    """Items of a data set of chunks from ``first`` on without an end, made ahead by ``workers`` processes."""
    loader: DataLoader[T] = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(first, 10**6),
        collate_fn=_as_is,
        num_workers=workers,
        prefetch_factor=2,
        worker_init_fn=_alone,
    )
    return iter(loader)


def _as_is(item: T) -> T:
    return item


def _alone(_worker: int) -> None:
    torch.set_num_threads(1)


@dataclass
class Crops:
    """Random crops of the pictures drawn last, on ``device``; each picture is used about ``uses`` times."""

    device: torch.device
    crop: int
    workers: int
    uses: int = 16
    most: int = 32
    """Chunks that are kept."""
    taken: int = 0
    """Crops that were taken before: those after them are of other pictures."""
    _drawn: Iterator[list[Tensor]] | None = None
    _kept: list[list[Tensor]] = field(default_factory=list)
    _count: int = 0

    def batch(self, size: int, rng: np.random.Generator) -> Tensor:
        """(size, 3, crop, crop) in [0, 1]."""
        if self._drawn is None:
            self._count = self.taken // (CHUNK * self.uses)
            self._drawn = drawn_from(VaeChunks(), self._count, self.workers)
        while len(self._kept) < 4 or self._count * CHUNK * self.uses < self.taken:
            self._kept = [*self._kept[1 - self.most :], [part.to(self.device) for part in next(self._drawn)]]
            self._count += 1
        self.taken += size
        leaves = round(size * LEAVES)
        flat = round((size - leaves) * FLAT)
        counts = (size - leaves - flat, flat, leaves)
        out = torch.cat([self._some(kind, count, rng) for kind, count in enumerate(counts) if count])
        gains = np.where(rng.uniform(size=(size, 1)) < GAINED, rng.uniform(*GAINS, (size, 3)), 1).astype(np.float32)
        return (out.permute(0, 3, 1, 2).float() / 255 * torch.from_numpy(gains).to(self.device)[..., None, None]).clamp(0, 1)

    def _some(self, kind: int, count: int, rng: np.random.Generator) -> Tensor:
        """Crops of one kind, uint8 (count, crop, crop, 3), of one of the chunks that are kept."""
        chunk = self._kept[int(rng.integers(len(self._kept)))][kind]
        spare = chunk.shape[1] - self.crop
        left = rng.integers(spare + 1, size=count)
        is_room = chunk.shape[1] == SIDE
        top = rng.triangular(0, LOWER * spare, spare, count).round().astype(int) if is_room else rng.integers(spare + 1, size=count)
        which = rng.integers(len(chunk), size=count)
        index, rows, columns = (torch.from_numpy(a).to(self.device) for a in (which, top, left))
        along = torch.arange(self.crop, device=self.device)
        return chunk[index[:, None, None], (rows[:, None] + along)[:, :, None], (columns[:, None] + along)[:, None]]
