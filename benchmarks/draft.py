"""Seconds that DragonDraft's edit in pixels takes, by size: ``python3 -m dev run -- -m benchmarks.draft``.

Medians of a few runs of each edit on a scene made for it: an object over a horizon, a chequered floor and noise, so that the fill needs
several pieces. Whether the cost is linear shows in the last column, which then stays. ``--threads`` as many as the machine is to have.
On a machine that others use as well, look at the seconds of CPU time.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dragon_core.edits.base import Edit
from dragon_core.edits.chain import edited_picture, fitted
from dragon_core.edits.drag import drag
from dragon_core.edits.move import Move
from dragon_core.edits.paste import Paste
from dragon_core.edits.resize import resize
from dragon_core.imaging.affine import AffineWarp

LOG = logging.getLogger("benchmarks.draft")
SIDES = (512, 1024, 2048)
#: Of the object, as a share of the side.
RADIUS = 0.16

#: What is measured: from a mask (1, side, side) an edit.
EDITS: dict[str, Callable[[Tensor, int], Edit]] = {
    "move": lambda mask, side: Move(mask, AffineWarp((side, side), (round(0.3 * side), round(-0.1 * side)))),
    "resize": lambda mask, side: resize(mask, (1.5, 1.5)),
    "shrink": lambda mask, side: resize(mask, (0.3, 0.3), 30.0),
    "drag": lambda mask, side: drag([((0.36 * side, 0.5 * side), (0.6 * side, 0.5 * side))], (side, side), mask),
    "paste": lambda mask, side: Paste(mask, (0.7 * side, 0.6 * side), 0.8, 20.0),
}


def scene(side: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """A picture (1, 3, side, side) and the mask (1, side, side) of its object."""
    generator = torch.Generator().manual_seed(seed)
    sky = F.interpolate(torch.rand(1, 3, 10, 10, generator=generator), size=(side, side), mode="bicubic").clamp(0, 1)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    board = ((rows // (side // 20) + columns // (side // 20)) % 2) * 0.25
    picture = torch.where(rows > 0.55 * side, 0.6 * sky + board, sky) + 0.03 * torch.randn(1, 3, side, side, generator=generator)
    away = torch.hypot(rows - 0.5 * side, columns - 0.36 * side) / side
    picture = torch.where(away < RADIUS, torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1), picture).clamp(0, 1)
    return picture, (away < 1.08 * RADIUS).float()[None]


def seconds(name: str, side: int, repeats: int) -> tuple[float, float]:
    """The median of so many drafts, by the clock and of CPU time."""
    picture, mask = scene(side)
    (edit,) = fitted((EDITS[name](mask, side),), (side, side), 1, (side, side))
    taken = []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        edited_picture((edit,), picture, picture)
        taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return statistics.median(by_clock for by_clock, _ in taken), statistics.median(of_cpu for _, of_cpu in taken)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(options.threads)
    LOG.info("%-8s %6s %10s %10s %18s", "edit", "side", "seconds", "of CPU", "µs of CPU a pixel")
    for name in EDITS:
        for side in options.sides:
            by_clock, of_cpu = seconds(name, side, options.repeats)
            LOG.info("%-8s %6d %10.3f %10.3f %18.3f", name, side, by_clock, of_cpu, of_cpu / side**2 * 1e6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
