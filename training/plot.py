"""Plot held-out loss, and the move benchmark of snapshots, against training images seen (needs matplotlib).

``python -m training.plot --curve curve.jsonl --moves snapshots.json --out mini_model/curve.png``; ``snapshots.json`` maps images seen to
medians: ``{"16000": {"iou": …, "ghost": …, "success": …}}``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curve", type=Path, required=True)
    parser.add_argument("--moves", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    points = [json.loads(line) for line in args.curve.read_text().splitlines()]
    panels = 2 if args.moves else 1
    figure, ((left, *others),) = plt.subplots(1, panels, figsize=(5 * panels, 3.6), constrained_layout=True, squeeze=False)
    left.plot([p["images"] / 1000 for p in points], [p["heldout_loss"] for p in points], color="tab:blue")
    left.set(xlabel="training images seen, thousands", ylabel="held-out loss (min-SNR weighted v)", xscale="log", yscale="log")
    left.grid(alpha=0.3, which="both")
    if args.moves:
        moves, right = json.loads(args.moves.read_text()), others[0]
        seen = sorted(moves, key=int)
        for name in ("iou", "ghost", "success"):
            right.plot([int(s) / 1000 for s in seen], [moves[s][name] for s in seen], marker="o", label=name)
        right.set(xlabel="training images seen, thousands", ylabel="held-out moves (median; share)", ylim=(0, 1))
        right.legend()
        right.grid(alpha=0.3)
    figure.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
