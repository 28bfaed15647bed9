"""Latents of rooms for the UNet: each scene is drawn and encoded once, kept on disk, and used a few times with other noise and crops.

A fixed set of some thousand is learned by heart, and encoding costs as much as a training step, so the pool grows as training goes on
(:class:`Pool`). Latents are normalised to zero mean and unit spread; :func:`statistics` gives the numbers that the exporter writes into
the VAE's scale and shift, so that ComfyUI's VAEEncode yields the same.
"""

from __future__ import annotations

from . import host  # isort: skip

import functools
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import comfy.taesd.taesd
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from toy_world.scene import SIDE, sample_scene

from . import networks, pictures, shipped, vae
from .pictures import CHUNK

log = logging.getLogger(__name__)

FIRST = 1024
"""Scenes that are there before training begins; the statistics are theirs."""
SIZE = SIDE // 8


def load_encoder() -> nn.Module:
    encoder = comfy.taesd.taesd.Encoder()
    encoder.load_state_dict(vae.weights()["encoder"])
    return encoder.to(host.device, memory_format=host.layout).eval()


@torch.inference_mode()
def encode(encoder: nn.Module, images: Tensor) -> Tensor:
    """Raw latents (N, 4, side/8, side/8) of uint8 pictures (N, side, side, 3)."""
    found = []
    for some in images.split(4 if host.device.type == "cpu" else 32):  # a few at a time stay in a CPU's cache: half as long
        x = some.to(host.device).permute(0, 3, 1, 2).float() / 255
        with host.autocast():
            found.append(encoder(x.contiguous(memory_format=host.layout)).float())
    return torch.cat(found)


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


@dataclass(frozen=True)
class Scenes:
    """Chunks of training scenes: pictures uint8 (N, side, side, 3), None where their latents are on disk; ``tokens`` (N, 77);
    ``centres`` (N, 2), the middle of the first object as (y, x), fractions of the side; ``alone`` (N,), whether there is no second one."""

    pictures: Tensor | None
    tokens: Tensor
    centres: Tensor
    alone: Tensor


class _Chunks(Dataset[Scenes]):
    """Item i: the scenes of the i-th chunk that is this process's; processes that train together take turns."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept

    def __getitem__(self, item: int) -> Scenes:
        chunk = host.chunk(item)
        scenes = [sample_scene("train", seed) for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK)]
        return Scenes(
            None if (self._kept / f"{chunk:05d}.npy").is_file() else torch.from_numpy(pictures.rooms(chunk)),
            networks.tokenise([scene.caption for scene in scenes]),
            torch.tensor([(scene.objects[0].y - scene.objects[0].size / 2, scene.objects[0].x) for scene in scenes]),
            torch.tensor([len(scene.objects) == 1 for scene in scenes]),
        )


class Pool:
    """The training scenes encoded so far, on the device: ``raw`` (N, 4, 32, 32) float16, and ``tokens``, ``centres``, ``alone`` as in
    :class:`Scenes`, but that ``alone`` (M,) are the indices of the scenes with one object."""

    def __init__(self, workers: int = 1) -> None:
        self._folder = folder()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.encoder = load_encoder()
        self._workers = workers
        self._drawn: Iterator[Scenes] | None = None
        self.raw = torch.empty(0, 4, SIZE, SIZE, dtype=torch.float16, device=host.device)
        self.tokens = torch.empty(0, 77, dtype=torch.long, device=host.device)
        self.centres = torch.empty(0, 2, device=host.device)
        self.alone = torch.empty(0, dtype=torch.long, device=host.device)
        while len(self.raw) < FIRST:
            self.grow()
        log.info("%d scenes are encoded", len(self.raw))
        if not (path := self._folder / "statistics.json").is_file():
            first = self.raw[:FIRST].float()
            path.write_text(json.dumps([float(first.mean()), float(first.std())]), "utf-8")

    def grow(self) -> None:
        """Encode one more chunk; pictures of the next ones are being drawn meanwhile."""
        if self._drawn is None:
            self._drawn = pictures.drawn_from(_Chunks(self._folder), 0, self._workers)
        new = next(self._drawn)
        path = self._folder / f"{host.chunk(len(self.raw) // CHUNK):05d}.npy"
        if new.pictures is None:
            raw = torch.from_numpy(np.load(path))
        else:
            raw = encode(self.encoder, new.pictures).half()
            pictures.write(path, functools.partial(np.save, arr=raw.cpu().numpy()))
        alone = new.alone.nonzero().flatten() + len(self.raw)
        self.raw, self.tokens, self.centres, self.alone = (
            torch.cat((old, more.to(host.device)))
            for old, more in ((self.raw, raw), (self.tokens, new.tokens), (self.centres, new.centres), (self.alone, alone))
        )
