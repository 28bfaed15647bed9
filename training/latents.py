"""Latents of rooms for the UNet: each scene is drawn and encoded once, kept on disk, and used a few times with other noise and crops.

A fixed set of some thousand is learned by heart, and encoding costs as much as a training step, so the pool grows as training goes on
(:class:`Pool`). Latents are normalised to zero mean and unit spread; :func:`statistics` gives the numbers that the exporter writes into
the VAE's scale and shift, so that ComfyUI's VAEEncode yields the same.
"""

from __future__ import annotations

from . import host  # isort: skip

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.taesd.taesd
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from toy_world.scene import SIDE, Scene, sample_scene

from . import networks, pictures, shipped, vae

log = logging.getLogger(__name__)

CHUNK = 128
"""Scenes in a file."""
FIRST = 2048
"""Scenes that are there before training begins; the statistics are theirs."""
SIZE = SIDE // 8


def load_encoder() -> nn.Module:
    encoder = comfy.taesd.taesd.Encoder()
    encoder.load_state_dict(vae.weights()["encoder"])
    return encoder.to(host.device, memory_format=torch.channels_last).eval()


@torch.inference_mode()
def encode(encoder: nn.Module, images: npt.NDArray[np.uint8]) -> Tensor:
    """Raw latents (N, 4, side/8, side/8) of uint8 pictures (N, side, side, 3)."""
    x = torch.from_numpy(np.ascontiguousarray(images)).to(host.device).permute(0, 3, 1, 2).float() / 255
    with host.autocast():
        return encoder(x.contiguous(memory_format=torch.channels_last)).float().cpu()


def folder() -> Path:
    """Where latents of the current encoder are kept: those of another encoder are no use."""
    digest = hashlib.sha256()
    for name, value in sorted(vae.weights()["encoder"].items()):
        digest.update(name.encode() + value.float().cpu().contiguous().numpy().tobytes())
    return pictures.WORK / f"latents-{digest.hexdigest()[:8]}"


def statistics() -> tuple[float, float]:
    """Mean and standard deviation of raw latents over the first training scenes; the shipped VAE's are the shipped UNet's."""
    if not vae.CHECKPOINT.is_file():
        return shipped.latent_statistics()
    path = folder() / "statistics.json"
    if not path.is_file():
        raise RuntimeError(f"{path} is missing; training.unet writes it when it has encoded its first scenes.")
    mean, std = json.loads(path.read_text("utf-8"))
    return mean, std


class _Drawn(Dataset[npt.NDArray[np.uint8]]):
    """Item c: the pictures of chunk c."""

    def __getitem__(self, chunk: int) -> npt.NDArray[np.uint8]:
        torch.set_num_threads(1)
        return np.stack([pictures.picture("train", seed) for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK)])


class Pool:
    """The training scenes encoded so far. ``raw`` (N, 4, 32, 32) float16, ``tokens`` (N, 77), ``scenes``."""

    def __init__(self) -> None:
        self._folder = folder()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._encoder = load_encoder()
        self.scenes: list[Scene] = []
        self.raw = torch.empty(0, 4, SIZE, SIZE, dtype=torch.float16)
        self.tokens = torch.empty(0, 77, dtype=torch.long)
        self._drawn: Iterator[npt.NDArray[np.uint8]] | None = None
        known: list[Tensor] = []
        while (path := self._path(len(known))).is_file():
            known.append(torch.from_numpy(np.load(path)))
        if known:
            self._append(torch.cat(known))
        while len(self.raw) < FIRST:
            self.grow()
            log.info("encoded %d of %d scenes", len(self.raw), FIRST)
        path = self._folder / "statistics.json"
        if not path.is_file():
            first = self.raw[:FIRST].float()
            path.write_text(json.dumps([float(first.mean()), float(first.std())]), "utf-8")

    def grow(self) -> None:
        """Encode one more chunk; pictures of the next ones are being drawn meanwhile."""
        chunk = len(self.raw) // CHUNK
        if self._drawn is None:
            ahead = DataLoader(_Drawn(), batch_size=None, sampler=range(chunk, 10**6), num_workers=1, prefetch_factor=2, collate_fn=_as_is)
            self._drawn = iter(ahead)
        images = next(self._drawn)
        raw = torch.cat([encode(self._encoder, images[i : i + 16]) for i in range(0, CHUNK, 16)]).half()
        partial = self._path(chunk).with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, raw.numpy())
        partial.replace(self._path(chunk))
        self._append(raw)

    def _append(self, raw: Tensor) -> None:
        scenes = [sample_scene("train", seed) for seed in range(len(self.scenes), len(self.scenes) + len(raw))]
        self.scenes += scenes
        self.raw = torch.cat((self.raw, raw))
        self.tokens = torch.cat((self.tokens, networks.tokenise([scene.caption for scene in scenes])))

    def _path(self, chunk: int) -> Path:
        return self._folder / f"{chunk:05d}.npy"


def _as_is(images: Any) -> Any:
    return images
