"""DragBench's numbers: rows kept in a file that a later run continues, and their means as the two protocols take them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

PUBLISHED = """Published, for comparison (MD px / IF): DragDiffusion 34.6/.87, FreeDrag 30.8/.85, DragNoise 33.8/.86, GoodDrag 22.2–23/.86,
FastDrag 31.8–32.1/.85, GeoDrag 29.2/.85, DiffEditor 28.5/.89, FlowDrag 22.9/.82.
MD near ×100: RegionDrag 6.6, FastDrag 5.1, Inpaint4Drag 3.9."""


@dataclass(frozen=True)
class Row:
    """One sample. Lists have a number a pair and are empty where no DIFT checkpoint was given."""

    fingerprint: str
    asked_px: list[float]
    """Handle to target: what the unedited picture would score."""
    md_px: list[float]
    md_near: list[float]
    fidelity: float | None
    seconds: float
    dift: str = ""
    """The checkpoint that the distances were measured with."""


def summary(rows: Sequence[Row]) -> dict[str, float | int | None]:
    """``md_px`` is the mean over all pairs; ``md_near_x100`` the mean over pictures of their means (never the other way round)."""
    moved = [row for row in rows if row.md_px]
    fidelities = [row.fidelity for row in rows if row.fidelity is not None]
    return {
        "samples": len(rows),
        "pairs": sum(len(row.asked_px) for row in rows),
        "no_edit_md_px": _mean([value for row in rows for value in row.asked_px]),
        "md_px": _mean([value for row in moved for value in row.md_px]),
        "md_near_x100": None if not moved else 100 * float(np.mean([np.mean(row.md_near) for row in moved])),
        "image_fidelity": _mean(fidelities),
        "seconds": _mean([row.seconds for row in rows]),
    }


def markdown(found: Mapping[str, float | int | None]) -> str:
    titles = {
        "samples": ("samples", "{:.0f}"),
        "pairs": ("pairs", "{:.0f}"),
        "no_edit_md_px": ("MD px, no edit", "{:.1f}"),
        "md_px": ("MD px", "{:.1f}"),
        "md_near_x100": ("MD near ×100 (RegionDrag)", "{:.1f}"),
        "image_fidelity": ("IF", "{:.3f}"),
        "seconds": ("seconds", "{:.1f}"),
    }
    cells = ["–" if found[key] is None else form.format(found[key]) for key, (_, form) in titles.items()]
    lines = ["| " + " | ".join(title for title, _ in titles.values()) + " |", "|---" * len(titles) + "|", "| " + " | ".join(cells) + " |"]
    return "\n".join(lines)


def load_rows(path: Path) -> dict[str, Row]:
    """What an earlier run wrote; empty when there is none."""
    if not path.is_file():
        return {}
    return {name: Row(**entry) for name, entry in json.loads(path.read_text("utf-8"))["samples"].items()}


def save(path: Path, about: Mapping[str, Any], rows: Mapping[str, Row]) -> None:
    """Complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = {name: asdict(row) for name, row in sorted(rows.items())}
    content = {"about": about, "summary": summary(list(rows.values())), "samples": samples}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    partial.replace(path)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
