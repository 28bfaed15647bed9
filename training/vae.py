"""Train the miniature VAE: TAESD's architecture (f = 8, 4 channels), from scratch, on random crops of rendered scenes.

``python -m training.vae --steps 3000`` trains or resumes. ``--decoder-only`` goes on with the encoder frozen, so that the
latents a UNet was trained on stay valid. Loss: L1 + L1 of differences + MSE + L1 of a low-pass; a little noise on the
latents and a small z² penalty keep the latent space smooth and near unit scale.
"""

from __future__ import annotations

import argparse
import logging
import math
import time

from . import host  # isort: skip - configures ComfyUI before its modules load

import comfy.taesd.taesd
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import pictures, shipped

log = logging.getLogger(__name__)
CHECKPOINT = pictures.WORK / "vae.pt"


def weights() -> dict[str, dict[str, Tensor]]:
    """``encoder`` and ``decoder`` as trained here, or as shipped where none were."""
    if not CHECKPOINT.is_file():
        return shipped.vae()
    saved = torch.load(CHECKPOINT, weights_only=True, map_location="cpu")
    return {part: saved[part] for part in ("encoder", "decoder")}


def initialise(module: nn.Module) -> None:
    """ComfyUI's layers leave their weights uninitialised; give convolutions He's normal and zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, comfy.taesd.taesd.Block):  # residual branches start small: the stack starts near identity
            nn.init.normal_(layer.conv[-1].weight, std=1e-3)


def reconstruction_loss(out: Tensor, target: Tensor) -> Tensor:
    """Loss of a reconstruction (B, 3, H, W) in [0, 1]."""
    error = out - target
    edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    low = F.avg_pool2d(error, 8).abs().mean()
    return error.abs().mean() + edges + 0.5 * low + 2.0 * error.square().mean()


def psnr(out: Tensor, target: Tensor) -> float:
    return -10 * math.log10((out - target).square().mean().item())


@torch.no_grad()
def heldout_psnr(encoder: nn.Module, decoder: nn.Module, count: int = 24) -> float:
    """Median PSNR (dB) of whole held-out scenes."""
    values = []
    for seed in range(count):
        x = torch.from_numpy(pictures.picture("heldout", seed)).permute(2, 0, 1)[None].float() / 255
        values.append(psnr(decoder(encoder(x)).clamp(0, 1), x))
    return float(np.median(values))


def batches(data: np.ndarray, size: int, crop: int, seed: int) -> Tensor:
    """One random batch of crops (B, 3, crop, crop) in [0, 1]."""
    rng = np.random.default_rng(seed)
    side = data.shape[1]
    out = np.empty((size, crop, crop, 3), np.uint8)
    for i in range(size):
        index, x = rng.integers(len(data)), rng.integers(side - crop + 1)
        y = min(side - crop, int(rng.triangular(0, 0.6 * (side - crop), side - crop + 1)))  # objects stand below the middle
        out[i] = data[index, y : y + crop, x : x + crop]
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--scenes", type=int, default=12000)
    parser.add_argument("--decoder-only", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    torch.manual_seed(0)
    device = host.device
    data = pictures.training_pictures(args.scenes)
    encoder, decoder = comfy.taesd.taesd.Encoder(), comfy.taesd.taesd.Decoder()
    for net in (encoder, decoder):
        initialise(net)
        net.to(device, memory_format=torch.channels_last)
    parameters = list(decoder.parameters()) if args.decoder_only else [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    start = 0
    if CHECKPOINT.is_file():
        saved = torch.load(CHECKPOINT, weights_only=True, map_location=device)
        encoder.load_state_dict(saved["encoder"])
        decoder.load_state_dict(saved["decoder"])
        if saved["decoder_only"] == args.decoder_only and saved["step"] < args.steps:
            optimizer.load_state_dict(saved["optimizer"])
            start = saved["step"]
    encoder.requires_grad_(not args.decoder_only)

    def autoencode(x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = encoder(x)
        return decoder(z + 0.05 * noise), z

    began = time.monotonic()
    for step in range(start, args.steps):
        warm = min(1.0, (step + 1) / 50)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        x = batches(data, args.batch, args.crop, seed=step).to(device, memory_format=torch.channels_last)
        with host.autocast():
            out, z = autoencode(x, torch.randn(args.batch, 4, args.crop // 8, args.crop // 8, device=device))
        loss = reconstruction_loss(out.float(), x) + 2e-3 * z.float().square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        if (step + 1) % 50 == 0:
            rate = (time.monotonic() - began) / (step + 1 - start)
            log.info("step %d  loss %.4f  z std %.2f  %.2f s/step", step + 1, loss.item(), z.float().std().item(), rate)
        if (step + 1) % 300 == 0 or step + 1 == args.steps:
            state = {"encoder": encoder.state_dict(), "decoder": decoder.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "step": step + 1, "decoder_only": args.decoder_only}, CHECKPOINT.with_suffix(".partial"))
            CHECKPOINT.with_suffix(".partial").replace(CHECKPOINT)
            log.info("held-out PSNR %.2f dB", heldout_psnr(encoder, decoder))


if __name__ == "__main__":
    main()
