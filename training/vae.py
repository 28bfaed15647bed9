"""Train the miniature VAE: TAESD's architecture (f = 8, 4 channels), on random crops of rooms and of dead leaves.

``python -m training.vae`` trains or resumes; where there is no checkpoint it goes on from the shipped weights, or starts
anew with ``--from-scratch``. ``--decoder-only`` goes on with the encoder frozen, so that the latents a UNet is trained on stay valid.
Loss: L1 + L1 of differences + MSE + L1 of a low-pass; a little noise on the latents and a small z² penalty keep the latent space smooth
and near unit scale.
"""

from __future__ import annotations

from . import host  # isort: skip - configures ComfyUI before its modules load

import argparse
import logging
import math
import time

import comfy.taesd.taesd
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from . import pictures, shipped

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
    return error.abs().mean() + 0.5 * edges + 0.5 * low + 6.0 * error.square().mean()


def psnr(out: Tensor, target: Tensor) -> float:
    return -10 * math.log10((out - target).square().mean().item())


@torch.no_grad()
def heldout_psnr(encoder: nn.Module, decoder: nn.Module, count: int = 8, lit: bool = True) -> float:
    """Median PSNR (dB) of whole held-out scenes."""
    values = []
    for seed in range(count):
        x = torch.from_numpy(pictures.picture("heldout", seed, lit)).permute(2, 0, 1)[None].float() / 255
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
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    start = 0
    if CHECKPOINT.is_file():
        saved = torch.load(CHECKPOINT, weights_only=True, map_location=device)
        encoder.load_state_dict(saved["encoder"])
        decoder.load_state_dict(saved["decoder"])
        if saved["decoder_only"] == args.decoder_only and saved["step"] < args.steps:
            optimizer.load_state_dict(saved["optimizer"])
            start = saved["step"]
    else:
        log.info("held-out PSNR %.2f dB, flat %.2f dB", heldout_psnr(encoder, decoder), heldout_psnr(encoder, decoder, lit=False))
    encoder.requires_grad_(not args.decoder_only)

    began = time.monotonic()
    batches = DataLoader(
        pictures.Crops(args.batch, args.crop), batch_size=None, sampler=range(start, args.steps), num_workers=1, prefetch_factor=4
    )
    for step, batch in zip(range(start, args.steps), batches, strict=True):
        warm = min(1.0, (step + 1) / 50)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        x = batch.to(device, memory_format=host.layout)
        with host.autocast():
            z = encoder(x)
            out = decoder(z + NOISE * torch.randn_like(z))
        loss = reconstruction_loss(out.float(), x) + 2e-3 * z.float().square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        if (step + 1) % 50 == 0:
            rate = (time.monotonic() - began) / (step + 1 - start)
            log.info("step %d  loss %.4f  z std %.2f  %.2f s/step", step + 1, loss.item(), z.float().std().item(), rate)
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            state = {"encoder": encoder.state_dict(), "decoder": decoder.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "step": step + 1, "decoder_only": args.decoder_only}, CHECKPOINT.with_suffix(".partial"))
            CHECKPOINT.with_suffix(".partial").replace(CHECKPOINT)
            log.info("held-out PSNR %.2f dB, flat %.2f dB", heldout_psnr(encoder, decoder), heldout_psnr(encoder, decoder, lit=False))


if __name__ == "__main__":
    main()
