"""Render held-out cases with a known answer, of any task.

``python -m benchmarks.make_cases --task move --split seen --count 8 --seed 0 --out DIR``, in lit rooms, or with ``--flat`` without lamps.

Any seed gives other scenes; the splits are streams of their own that training never draws from (``unseen``: identities
it never saw, either). The same arguments give the same files. Scenes in which even the true answer's object cannot be told
from its background (a brown pot on a brown floor) measure nothing and are drawn again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.cases import TASKS, Case, save_case
from benchmarks.metrics import is_measurable
from benchmarks.tasks import find_task
from toy_world.scene import SPLITS, sample_scene

LOG = logging.getLogger(__name__)
SCENES = 200
"""Scenes tried before a case is given up on; one or two are enough nearly always."""


def make_cases(task: str, split: str, count: int, seed: int, lit: bool = True) -> Iterator[Case]:
    """``count`` cases; case i depends on (split, seed, i) alone, so that a longer list begins with a shorter one."""
    sample = find_task(task).sample
    for index in range(count):
        rng = np.random.default_rng([seed, SPLITS[split], index])
        name = f"{task}-{'lit-' if lit else ''}{split}-{seed}-{index:03d}"
        for _ in range(SCENES):
            scene = sample_scene(split, int(rng.integers(2**62)), lit=lit)
            case = sample(scene, rng, name)
            if case is not None and is_measurable(case):
                yield case
                break
        else:
            raise RuntimeError(f"No scene had room for case {name}; choose another seed.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--split", choices=("seen", "unseen"), required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--flat", action="store_true", help="rooms without lamps, as before there were any")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    if args.count < 1 or args.seed < 0:
        parser.error("--count must be at least 1 and --seed at least 0")
    for case in make_cases(args.task, args.split, args.count, args.seed, lit=not args.flat):
        LOG.info("%s  %s  %s", save_case(case, args.out), case.edit.asks, case.wanted_prompt)


if __name__ == "__main__":
    main()
