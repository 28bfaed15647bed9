"""How the threshold for "object found" was chosen: ``python3 -m dev run -- -m benchmarks.calibrate --cases DIR``.

For each threshold, the object IoU of the VAE round trip of the truth (the ceiling), of the truth itself and of the unedited
source. The threshold in :mod:`benchmarks.finding` is the one with the highest median ceiling; it should reach 0.9.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.cases import Case, Picture, load_cases
from benchmarks.finding import find_object
from benchmarks.metrics import iou

LOG = logging.getLogger("benchmarks.calibrate")
THRESHOLDS = (0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1)


def table(cases: Sequence[Case], round_trip: Callable[[Picture], Picture]) -> str:
    """Markdown: a row a threshold."""
    outputs = [(round_trip(case.truth), case.truth, case.source) for case in cases]
    lines = ["| threshold | ceiling, median | ceiling, worst | truth, median | no edit, median |", "|---|---|---|---|---|"]
    for threshold in THRESHOLDS:
        found = [
            [iou(find_object(picture, case.clean, threshold), case.truth_mask) for picture in pictures]
            for case, pictures in zip(cases, outputs, strict=True)
        ]
        ceiling, truth, source = np.median(found, axis=0)
        lines.append(f"| {threshold} | {ceiling:.3f} | {min(row[0] for row in found):.3f} | {truth:.3f} | {source:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True)
    args = parser.parse_args()
    from benchmarks.host import Host  # ComfyUI starts here

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)
    LOG.setLevel(logging.INFO)
    host = Host()
    LOG.info("%s", table(load_cases(args.cases), lambda picture: host.decode(host.encode(picture))))


if __name__ == "__main__":
    main()
