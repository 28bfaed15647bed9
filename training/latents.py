"""Encode rendered scenes with the trained VAE once; the UNet trains on the stored latents.

Stored latents are normalised to zero mean and unit spread; :func:`statistics` gives the numbers the exporter writes
into the VAE's scale and shift, so that ComfyUI's VAEEncode yields the same.
"""

from __future__ import annotations

from . import host  # isort: skip

import argparse
import logging

import comfy.taesd.taesd
import numpy as np
import torch
from torch import nn

from . import pictures, shipped, vae, world

log = logging.getLogger(__name__)
STATISTICS = pictures.WORK / "latent-statistics.npy"


def load_encoder() -> nn.Module:
    encoder = comfy.taesd.taesd.Encoder()
    encoder.load_state_dict(vae.weights()["encoder"])
    return encoder.to(host.device, memory_format=torch.channels_last).eval()


@torch.inference_mode()
def encode(encoder: nn.Module, images: np.ndarray) -> torch.Tensor:
    """Raw latents (N, 4, side/8, side/8) of uint8 pictures (N, side, side, 3)."""
    x = torch.from_numpy(np.ascontiguousarray(images)).to(host.device).permute(0, 3, 1, 2).float() / 255
    with host.autocast():
        return encoder(x.contiguous(memory_format=torch.channels_last)).float().cpu()


def statistics() -> tuple[float, float]:
    """Mean and standard deviation of raw latents over the training scenes; the shipped VAE's are the shipped UNet's."""
    if not vae.CHECKPOINT.is_file():
        return shipped.latent_statistics()
    saved = np.load(STATISTICS)
    return float(saved[0]), float(saved[1])


def training_latents(count: int) -> np.ndarray:
    """Normalised latents (count, 4, 32, 32) float16 of the first training scenes; encoded on first use."""
    path = pictures.WORK / f"latents-{count}.npy"
    if not path.is_file():
        data, encoder = pictures.training_pictures(count), load_encoder()
        size = world.SIDE // 8
        raw = np.empty((count, 4, size, size), np.float32)
        for begin in range(0, count, 16):
            raw[begin : begin + 16] = encode(encoder, np.asarray(data[begin : begin + 16])).numpy()
            if begin % 1024 == 0:
                log.info("encoded %d of %d", begin, count)
        if vae.CHECKPOINT.is_file() and not STATISTICS.is_file():
            np.save(STATISTICS, np.array([raw.mean(), raw.std()]))
        mean, std = statistics()
        np.save(path, ((raw - mean) / std).astype(np.float16))
    return np.load(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=8000)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    latents = training_latents(args.scenes)
    log.info("%s latents, std by channel %s", latents.shape, latents.astype(np.float32).std((0, 2, 3)).round(2))


if __name__ == "__main__":
    main()
