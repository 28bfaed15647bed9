"""A small classifier that says what a picture of the lit world shows: the object's identity and the lamp's side.

It is trained on renders alone, so it can tell whether a generative model drew what the words asked for.
``python -m toy_world.judge`` trains it (half an hour on two CPU cores, a minute beside a GPU) and prints how often it is right about
renders it has not seen.
"""

from __future__ import annotations

import argparse
import itertools
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from . import emoji
from .render import render
from .scene import SIDES, Scene, sample_scene

log = logging.getLogger(__name__)
CHECKPOINT = Path.home() / ".cache" / "dragon-diffusion" / "training" / "judge.pt"
SIDE = 96
"""Pictures are looked at in this size."""


class Judge(nn.Module):
    """Pictures (B, 3, 96, 96) in [0, 1] → logits of identities (B, 30) and of the lamp's sides (B, 3)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 192)
        layers: list[nn.Module] = []
        for first, second in itertools.pairwise(widths):
            layers += [nn.Conv2d(first, second, 3, stride=2, padding=1), nn.BatchNorm2d(second), nn.ReLU()]
            layers += [nn.Conv2d(second, second, 3, padding=1), nn.BatchNorm2d(second), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.name = nn.Linear(widths[-1], len(emoji.SEEN))
        self.side = nn.Linear(widths[-1], len(SIDES))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.body(pictures - 0.5)
        return self.name(seen.amax((2, 3))), self.side(seen.mean((2, 3)))


def answers(scene: Scene) -> tuple[int, int]:
    """The right answers about a scene with one object and a lamp."""
    assert scene.lamp is not None  # noqa: S101 - for the type checker
    return emoji.SEEN.index(scene.objects[0].name), list(SIDES).index(scene.lamp.side)


def look(judge: Judge, pictures: list[npt.NDArray[np.float32]]) -> list[tuple[str, str]]:
    """What pictures (side, side, 3) in [0, 1] show: (identity, lamp's side) of each."""
    x = torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures])
    with torch.no_grad():
        names, sides = judge.eval()(F.interpolate(x, size=(SIDE, SIDE), mode="area"))
    return [(emoji.SEEN[n], list(SIDES)[s]) for n, s in zip(names.argmax(1).tolist(), sides.argmax(1).tolist(), strict=True)]


def load() -> Judge:
    """The trained classifier; raises FileNotFoundError with the command that makes it."""
    if not CHECKPOINT.is_file():
        raise FileNotFoundError(f"{CHECKPOINT} is missing; make it with: python3 -m dev run -- -m toy_world.judge")
    judge = Judge()
    judge.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    return judge.eval()


class _Renders(Dataset[tuple[Tensor, Tensor]]):
    """Batches of training scenes with one object, blurred and with noise as a decoded picture may be."""

    def __init__(self, batch: int) -> None:
        self._batch = batch

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        torch.set_num_threads(1)
        rng = np.random.default_rng([23, step])
        scenes = [sample_scene("train", int(rng.integers(2**62)), objects=1) for _ in range(self._batch)]
        x = torch.from_numpy(np.stack([render(scene, SIDE) for scene in scenes])).permute(0, 3, 1, 2)
        if rng.uniform() < 0.5:
            x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        x = x + float(rng.uniform(0, 0.04)) * torch.randn(x.shape, generator=torch.Generator().manual_seed(step))
        return x, torch.tensor([answers(scene) for scene in scenes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw pictures")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    judge = Judge().to(device)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=args.steps)
    batches = DataLoader(_Renders(args.batch), batch_size=None, sampler=range(args.steps), num_workers=args.workers, prefetch_factor=4)
    for step, (x, wanted) in enumerate(batches):
        x, wanted = x.to(device), wanted.to(device)
        names, sides = judge.train()(x)
        loss = F.cross_entropy(names, wanted[:, 0]) + F.cross_entropy(sides, wanted[:, 1])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            log.info("step %d  loss %.3f", step + 1, loss.item())
    CHECKPOINT.parent.mkdir(parents=True, exist_ok=True)
    judge.cpu()
    torch.save(judge.state_dict(), CHECKPOINT)
    scenes = [sample_scene("heldout", seed, objects=1) for seed in range(400)]
    said = [look(judge, [render(scene)])[0] for scene in scenes]
    truth = [(scene.objects[0].name, scene.lamp.side if scene.lamp else "") for scene in scenes]
    right = np.array(said) == np.array(truth)
    log.info("right about %d held-out renders: identity %.1f %%, lamp's side %.1f %%", len(right), *(100 * np.mean(right, axis=0)))


if __name__ == "__main__":
    main()
