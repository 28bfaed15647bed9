"""Train the miniature UNet and its text encoder together, by v-prediction on stored latents.

``python -m training.unet --images 1000000`` trains or resumes: the checkpoint holds weights, their moving average, optimizer and the
number of images seen. ``--compile`` is half as fast again on a CPU, after three minutes of compiling.
``--crop 16`` trains on quarter-sized crops, which are cheaper (not used for the shipped weights).
"""

from __future__ import annotations

from . import host  # isort: skip

import argparse
import json
import logging
import math
import time

import numpy as np
import torch
from torch import Tensor, nn

from . import latents, networks, pictures

log = logging.getLogger(__name__)
CHECKPOINT = pictures.WORK / "unet.pt"
CURVE = pictures.WORK / "curve.jsonl"
HELDOUT = 256


class Mini(nn.Module):
    """UNet and text encoder, one trainable unit. Predicts v from a noisy latent (B, 4, H, W), timesteps (B,), tokens (B, 77)."""

    def __init__(self, vocabulary: Tensor) -> None:
        super().__init__()
        self.vocabulary: Tensor
        self.register_buffer("vocabulary", vocabulary)
        self.unet = networks.build_unet()
        self.text = networks.build_text_encoder(len(vocabulary))

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        unique, where = torch.unique(tokens, dim=0, return_inverse=True)
        context = networks.encode_text(self.text, torch.searchsorted(self.vocabulary, unique))[where]
        return self.unet(noisy, timesteps=timesteps, context=context)


def v_loss(model: nn.Module, z: Tensor, tokens: Tensor, timesteps: Tensor, noise: Tensor, acp: Tensor) -> Tensor:
    """Loss by example (B,): v-prediction, weighted min-SNR(5) as in arXiv 2303.09556 so that no noise level dominates."""
    a = acp[timesteps][:, None, None, None]
    noisy, v = a.sqrt() * z + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * z
    with torch.autocast(z.device.type, dtype=torch.bfloat16):
        out = model(noisy, timesteps, tokens)
    snr = a.flatten() / (1 - a.flatten())
    weight = torch.minimum(snr, torch.full_like(snr, 5.0)) / (snr + 1)
    return weight * (out.float() - v).square().mean((1, 2, 3))


def channels_last(model: Mini) -> Mini:
    """Convolutions run faster so, on CPUs and GPUs alike."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def crop(z: Tensor, side: int, g: torch.Generator) -> Tensor:
    """A random square of a latent (4, H, W)."""
    y, x = (int(torch.randint(z.shape[-1] - side + 1, (), generator=g)) for _ in range(2))
    return z[:, y : y + side, x : x + side]


@torch.no_grad()
def heldout_loss(model: nn.Module, z: Tensor, tokens: Tensor, acp: Tensor) -> float:
    """Loss on held-out scenes at fixed noise and stratified timesteps: comparable from run to run."""
    g = torch.Generator().manual_seed(7)
    noise = torch.randn(z.shape, generator=g).to(z.device)
    timesteps = ((torch.arange(len(z)) + 0.5) / len(z) * 1000).long()[torch.randperm(len(z), generator=g)].to(z.device)
    parts = [v_loss(model, z[i : i + 32], tokens[i : i + 32], timesteps[i : i + 32], noise[i : i + 32], acp) for i in range(0, len(z), 32)]
    return float(torch.cat(parts).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crop", type=int, default=32, help="side of the latent crops trained on; 32 is the whole picture")
    parser.add_argument("--images", type=int, default=1_000_000, help="stop when this many images have been seen in all")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--anneal", type=int, default=0, help="bring the rate down to 3 %% linearly over the last so many images")
    parser.add_argument("--scenes", type=int, default=8000)
    parser.add_argument("--compile", action="store_true", help="compile the UNet")
    parser.add_argument("--save-every", type=int, default=4000, help="images between checkpoints")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    device = host.device

    data = torch.from_numpy(latents.training_latents(args.scenes))
    tokens = networks.tokenise(pictures.captions("train", args.scenes))
    empty = networks.tokenise([""])
    held_tokens = networks.tokenise(pictures.captions("heldout", HELDOUT)).to(device)
    held_pictures = np.stack([pictures.picture("heldout", i) for i in range(HELDOUT)])
    mean, std = latents.statistics()
    encoder = latents.load_encoder()
    held = torch.cat([latents.encode(encoder, held_pictures[i : i + 32]) for i in range(0, HELDOUT, 32)])
    held = ((held.clone() - mean) / std).to(device)

    vocabulary = torch.unique(torch.cat((tokens, empty, held_tokens.cpu())))
    model, average = (channels_last(Mini(vocabulary).to(device)) for _ in range(2))
    average.load_state_dict(model.state_dict())
    log.info("%.1f M parameters in the UNet", sum(p.numel() for p in model.unet.parameters()) / 1e6)
    if args.compile:
        model.unet.compile()
    if device.type == "cpu":
        # Its fused attention is slower backwards than plain products of matrices, for so few tokens.
        torch.backends.cuda.enable_flash_sdp(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    seen = 0
    if CHECKPOINT.is_file():
        saved = torch.load(CHECKPOINT, weights_only=True, map_location=device)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        seen = saved["seen"]
        log.info("resumed at %d images", seen)
    acp = networks.alphas_cumprod().to(device)
    began, first, running = time.monotonic(), seen, []
    while seen < args.images:
        g = torch.Generator().manual_seed(seen)
        rate = min(1.0, seen / 3000 + 0.01)
        if args.anneal and args.images - seen < args.anneal:
            rate *= 0.03 + 0.97 * (args.images - seen) / args.anneal
        for group in optimizer.param_groups:
            group["lr"] = args.lr * rate
        index = torch.randint(len(data), (args.batch,), generator=g)
        z = torch.stack([crop(data[i], args.crop, g) for i in index]).float().to(device)
        words = torch.where(torch.rand(args.batch, 1, generator=g) < 0.1, empty, tokens[index]).to(device)
        timesteps = ((torch.arange(args.batch) + torch.rand(args.batch, generator=g)) / args.batch * 1000).long().to(device)
        noise = torch.randn(z.shape, generator=g).to(device)
        loss = v_loss(model, z, words, timesteps, noise, acp).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += args.batch
        decay = min(0.9995, 1 - 30 / (seen / args.batch + 60))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        running.append(loss.item())
        if seen % (args.batch * 50) == 0:
            speed = (seen - first) / (time.monotonic() - began)
            log.info("%d images  loss %.4f  %.1f images/s", seen, sum(running) / len(running), speed)
            running.clear()
        if seen // args.save_every != (seen - args.batch) // args.save_every or seen >= args.images:
            state = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(), "seen": seen}
            torch.save(state, CHECKPOINT.with_suffix(".partial"))
            CHECKPOINT.with_suffix(".partial").replace(CHECKPOINT)
            value = heldout_loss(average, held, held_tokens, acp)
            with CURVE.open("a") as curve:
                curve.write(json.dumps({"images": seen, "crop": args.crop, "heldout_loss": value}) + "\n")
            log.info("held-out loss %.4f (%s)", value, "finite" if math.isfinite(value) else "BROKEN")


if __name__ == "__main__":
    main()
