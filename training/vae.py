"""Train the miniature VAE: TAESD's architecture (f = 8, 4 channels), on random crops of rooms and of dead leaves.

``python -m training.vae`` trains or resumes; where there is no checkpoint it goes on from the shipped weights, or starts
anew with ``--from-scratch``. ``--decoder-only`` goes on with the encoder frozen, so that the latents a UNet is trained on stay valid.
``--minutes`` sets the length by the clock instead of by steps, for a machine that is lent.
Loss: L1 + L1 of differences + MSE + L1 of a low-pass; a little noise on the latents and a small z² penalty keep the latent space smooth
and near unit scale.
"""

from __future__ import annotations

from . import host  # isort: skip - configures ComfyUI before its modules load

import argparse
import functools
import logging
import math
import time

import comfy.taesd.taesd
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import pictures, shipped
from .step import Step

log = logging.getLogger(__name__)
CHECKPOINT = pictures.WORK / "vae.pt"
NOISE = 0.05


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
    return error.abs().mean() + 0.5 * edges + 0.5 * low + 12.0 * error.square().mean()


def psnr(out: Tensor, target: Tensor) -> float:
    return -10 * math.log10((out - target).square().mean().item())


@torch.no_grad()
def heldout_psnr(encoder: nn.Module, decoder: nn.Module, count: int = 8, lit: bool = True) -> float:
    """Median PSNR (dB) of whole held-out scenes."""
    values = []
    for seed in range(count):
        x = torch.from_numpy(pictures.picture("heldout", seed, lit)).permute(2, 0, 1)[None].to(host.device).float() / 255
        values.append(psnr(decoder(encoder(x)).clamp(0, 1), x))
    return float(np.median(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from-scratch", action="store_true", help="start from nothing instead of the shipped weights")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--decoder-only", action="store_true")
    parser.add_argument("--minutes", type=float, help="train that long, whatever the number of steps")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw pictures")
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    torch.manual_seed(0)
    pictures.WORK.mkdir(parents=True, exist_ok=True)
    device = host.device
    encoder, decoder = comfy.taesd.taesd.Encoder(), comfy.taesd.taesd.Decoder()
    for net, known in zip((encoder, decoder), shipped.vae().values(), strict=True):
        if args.from_scratch:
            initialise(net)
        else:
            net.load_state_dict(known)
        net.to(device, memory_format=host.layout)
    parameters = list(decoder.parameters()) if args.decoder_only else [*encoder.parameters(), *decoder.parameters()]
    encoder.requires_grad_(not args.decoder_only)

    def loss(x: Tensor, noise: Tensor) -> Tensor:
        with host.autocast():
            z = encoder(x)
            out = decoder(z + NOISE * noise)
        return reconstruction_loss(out.float(), x) + 2e-3 * z.float().square().mean()

    step = Step(loss, parameters, betas=(0.9, 0.99), decay=1e-4, clip=0.5)
    start = 0
    if CHECKPOINT.is_file():
        saved = torch.load(CHECKPOINT, weights_only=True, map_location=device)
        encoder.load_state_dict(saved["encoder"])
        decoder.load_state_dict(saved["decoder"])
        if saved["decoder_only"] == args.decoder_only and "optimizer" in saved and saved["step"] < args.steps:
            step.optimizer.load_state_dict(saved["optimizer"])
            start = saved["step"]
    else:
        log.info("held-out PSNR %.2f dB, flat %.2f dB", heldout_psnr(encoder, decoder), heldout_psnr(encoder, decoder, lit=False))

    began = time.monotonic()
    crops = pictures.Crops(device, args.crop, args.workers, taken=start * args.batch)
    count, done = start, start / args.steps if args.minutes is None else 0.0
    while done < 1:
        rate = args.lr * min(1.0, (count + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        x = crops.batch(args.batch, np.random.default_rng([13, count])).contiguous(memory_format=host.layout)
        value = step(rate, x, torch.randn(len(x), 4, args.crop // 8, args.crop // 8, device=device))
        count += 1
        elapsed = time.monotonic() - began
        done = count / args.steps if args.minutes is None else elapsed / 60 / args.minutes
        if count % 50 == 0:
            log.info("step %d  loss %.4f  %.3f s/step", count, value.item(), elapsed / (count - start))
        if count % args.save_every == 0 or done >= 1:
            trained = {"encoder": encoder, "decoder": decoder, "optimizer": step.optimizer}
            state: dict[str, object] = {name: part.state_dict() for name, part in trained.items()}
            state |= {"step": count, "decoder_only": args.decoder_only}
            pictures.write(CHECKPOINT, functools.partial(torch.save, state))
            log.info("held-out PSNR %.2f dB, flat %.2f dB", heldout_psnr(encoder, decoder), heldout_psnr(encoder, decoder, lit=False))


if __name__ == "__main__":
    main()
