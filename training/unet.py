"""Train the miniature UNet and its text encoder together, by v-prediction on latents of rooms that are drawn as training goes on.

``python -m training.unet`` trains or resumes: the checkpoint holds weights, their moving average, optimizer and the number of images
seen. Where there is no checkpoint it goes on from the shipped weights, or starts anew with ``--from-scratch``.
A share of the steps is given to close-ups, quarter-sized crops around the object of a one-object scene, twice as many a step: most of
a picture is wall and floor, which are learned long before objects. ``--anneal`` brings the rate down over the last part of a run;
``--minutes`` sets its length by the clock instead of by images, for a machine that is lent. On a CPU,
``OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m training.unet`` trains in two processes that share their gradients: beside other work
the threads of one process wait for each other.
"""

from __future__ import annotations

from . import host  # isort: skip

import argparse
import functools
import json
import logging
import math
import time
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from . import latents, networks, pictures, shipped
from .step import Step

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
        context = networks.encode_text(self.text, torch.searchsorted(self.vocabulary, tokens))
        return self.unet(noisy, timesteps=timesteps, context=context, transformer_options={})  # the default one would be written to


def v_loss(model: nn.Module, z: Tensor, tokens: Tensor, timesteps: Tensor, noise: Tensor, acp: Tensor) -> Tensor:
    """Loss by example (B,): v-prediction, weighted min-SNR(5) as in arXiv 2303.09556 so that no noise level dominates."""
    a = acp[timesteps][:, None, None, None]
    noisy, v = a.sqrt() * z + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * z
    with host.autocast():
        out = model(noisy, timesteps, tokens)
    snr = a.flatten() / (1 - a.flatten())
    weight = torch.minimum(snr, torch.full_like(snr, 5.0)) / (snr + 1)
    return weight * (out.float() - v).square().mean((1, 2, 3))


def laid_out(model: Mini) -> Mini:
    """The model with its convolutions' weights in the layout that is faster here."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=host.small_layout)
    return model


def closeups(z: Tensor, centres: Tensor, g: torch.Generator) -> Tensor:
    """Squares of half the side of latents (B, 4, H, W), somewhere around ``centres`` (B, 2), which are (y, x) as fractions of the side."""
    whole = z.shape[-1]
    side = whole // 2
    shift = (torch.rand(centres.shape, generator=g, device=z.device) - 0.5) * side / 4
    corners = (centres * whole + shift - side / 2).round().clamp(0, whole - side).long()
    along = torch.arange(side, device=z.device)
    rows, columns = (corners[:, axis, None] + along for axis in (0, 1))
    batch, channel = (torch.arange(n, device=z.device) for n in z.shape[:2])
    return z[batch[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


@torch.no_grad()
def heldout_loss(model: nn.Module, z: Tensor, tokens: Tensor, acp: Tensor) -> float:
    """Loss on held-out scenes at fixed noise and stratified timesteps: comparable from run to run."""
    g = torch.Generator().manual_seed(7)
    noise = torch.randn(z.shape, generator=g).to(z.device)
    timesteps = ((torch.arange(len(z)) + 0.5) / len(z) * 1000).long()[torch.randperm(len(z), generator=g)].to(z.device)
    parts = [v_loss(model, z[i : i + 32], tokens[i : i + 32], timesteps[i : i + 32], noise[i : i + 32], acp) for i in range(0, len(z), 32)]
    return float(torch.cat(parts).mean())


def agreed(done: float) -> float:
    """What share of the run is done: the first process's clock counts for all."""
    if host.processes > 1:
        share = torch.tensor(done)
        dist.broadcast(share, 0)
        return float(share)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from-scratch", action="store_true", help="start from nothing instead of the shipped weights")
    parser.add_argument("--closeups", type=float, help="share of the steps on close-ups; default: 0.9 up to 100,000 images, then 0.5")
    parser.add_argument("--images", type=int, default=1_000_000, help="stop when this many images have been seen in all")
    parser.add_argument("--minutes", type=float, help="train that long, whatever the number of images")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--anneal", type=float, default=0.0, help="bring the rate down to 3 %% linearly over this last share of the run")
    parser.add_argument("--uses", type=int, default=8, help="how often a scene is used, on average, before another one is drawn")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw pictures")
    parser.add_argument("--save-every", type=int, default=4000, help="images between checkpoints")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    device = host.device
    if host.processes > 1:
        dist.init_process_group("gloo")
    vocabulary = networks.vocabulary()
    model, average = (laid_out(Mini(vocabulary).to(device)) for _ in range(2))
    log.info("%.1f M parameters in the UNet", sum(p.numel() for p in model.unet.parameters()) / 1e6)
    if device.type == "cpu":
        # Its fused attention is slower backwards than plain products of matrices, for so few tokens.
        torch.backends.cuda.enable_flash_sdp(False)
    acp = networks.alphas_cumprod().to(device)

    def loss(z: Tensor, tokens: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        return v_loss(model, z, tokens, timesteps, noise, acp).mean()

    step = Step(loss, list(model.parameters()), betas=(0.9, 0.98), decay=0.0, clip=1.0)
    seen, warmed = 0, 0
    if CHECKPOINT.is_file():
        saved = torch.load(CHECKPOINT, weights_only=True, map_location=device)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        step.optimizer.load_state_dict(saved["optimizer"])
        seen, warmed = saved["seen"], saved["warmed"]
    else:
        if not args.from_scratch:
            model.load_state_dict(shipped.mini(vocabulary))
            seen = warmed = shipped.images_seen()
        average.load_state_dict(model.state_dict())
    pool = latents.Pool(args.workers)
    mean, std = latents.statistics()
    empty = networks.tokenise([""]).to(device)
    held_tokens = networks.tokenise(pictures.captions("heldout", HELDOUT)).to(device)
    held_pictures = torch.from_numpy(np.stack([pictures.picture("heldout", i) for i in range(HELDOUT)]))
    held = latents.encode(pool.encoder, held_pictures)
    held = (held.clone() - mean) / std
    log.info("begins at %d images", seen)
    began, first, running = time.monotonic(), seen, list[Tensor]()
    usual_step = args.batch * host.processes  # in images; one on close-ups takes twice as many
    done = seen / args.images if args.minutes is None else 0.0
    g = torch.Generator(device)
    while done < 1:
        g.manual_seed(seen + host.rank)
        rate = min(1.0, (seen - warmed) / (200 * usual_step) + 0.01)
        if args.anneal:
            rate *= 0.03 + 0.97 * min(1.0, (1 - done) / args.anneal)
        while len(pool.raw) * host.processes * args.uses < seen - warmed:
            pool.grow()
        share = args.closeups if args.closeups is not None else 0.9 if seen - warmed < 100_000 else 0.5
        if np.random.default_rng(seen).uniform() < share:
            batch = 2 * args.batch
            index = pool.alone[torch.randint(len(pool.alone), (batch,), generator=g, device=device)]
            z = closeups(pool.raw[index], pool.centres[index], g)
        else:
            batch = args.batch
            index = torch.randint(len(pool.raw), (batch,), generator=g, device=device)
            z = pool.raw[index]
        z = (z.float() - mean) / std
        words = torch.where(torch.rand(batch, 1, generator=g, device=device) < 0.1, empty, pool.tokens[index])
        strata = (torch.arange(batch, device=device) + torch.rand(batch, generator=g, device=device)) / batch
        timesteps = (strata * 1000).long().clamp(max=999)
        noise = torch.randn(z.shape, generator=g, device=device)
        running.append(step(args.lr * rate, z, words, timesteps, noise))
        before, seen = seen, seen + batch * host.processes
        decay = min(0.9995, 1 - 30 / (seen / usual_step + 60))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        elapsed = time.monotonic() - began
        done = agreed(seen / args.images if args.minutes is None else elapsed / 60 / args.minutes)
        if seen // (50 * args.batch) != before // (50 * args.batch):
            losses = torch.stack(running)
            running.clear()
            skipped = int((~losses.isfinite()).sum())
            if 2 * skipped > len(losses):
                raise RuntimeError(f"{skipped} of {len(losses)} steps had no finite loss at {seen} images. {CHECKPOINT} is from before.")
            if host.rank == 0:
                log.info("%d images  loss %.4f  %.1f images/s  skipped %d", seen, losses.nanmean(), (seen - first) / elapsed, skipped)
        if host.rank == 0 and (seen // args.save_every != before // args.save_every or done >= 1):
            value = heldout_loss(average, held, held_tokens, acp)
            if not math.isfinite(value):
                raise RuntimeError(f"The held-out loss is {value} at {seen} images. {CHECKPOINT} is from before.")
            trained: dict[str, Any] = {"model": model, "average": average, "optimizer": step.optimizer}
            state: dict[str, object] = {name: part.state_dict() for name, part in trained.items()}
            state |= {"seen": seen, "warmed": warmed}
            pictures.write(CHECKPOINT, functools.partial(torch.save, state))
            with CURVE.open("a") as curve:
                curve.write(json.dumps({"images": seen, "heldout_loss": value}) + "\n")
            log.info("held-out loss %.4f", value)


if __name__ == "__main__":
    main()
