"""What was measured: rows (one case, one method), kept in a JSON file that a later run continues, and their medians."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import metrics

SUCCESS = "success"
MEASURES = (
    "object_iou",
    "centroid_error",
    "ghost",
    "object_psnr",
    "object_ssim",
    "background_psnr",
    "drag_distance",
    "colour_distance",
    "look_error",
    "light_error",
    "shadow_error",
    "seam",
    "seconds",
    "row_forwards",
    "row_backwards",
    "peak_memory_mb",
)
RESAMPLES = 2000
CEILING = "ceiling"
DRAFT = "draft_only"
OVER_THE_DRAFT = ("light_error", "shadow_error", "seam")
"""Measures that the table shows as shares of the draft's own on the same case."""


@dataclass(frozen=True)
class Row:
    """One case through one method. ``fingerprint``: case, weights and settings; a row counts only for the same ones."""

    case: str
    method: str
    fingerprint: str
    score: metrics.Score
    cost: Mapping[str, float | None]


@dataclass(frozen=True)
class Interval:
    """Median (share, for success) with its 95 % bootstrap interval, over ``count`` cases."""

    value: float
    low: float
    high: float
    count: int


@dataclass
class Results:
    """All rows of a run and what they were made with."""

    about: dict[str, Any] = field(default_factory=dict)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        self.rows[row.case, row.method] = row

    def has(self, case: str, method: str, fingerprint: str) -> bool:
        row = self.rows.get((case, method))
        return row is not None and row.fingerprint == fingerprint

    def only(self, cases: Iterable[str], methods: Iterable[str]) -> Results:
        """The part about these cases and methods."""
        cases, methods = set(cases), set(methods)
        return Results(self.about, {key: row for key, row in self.rows.items() if key[0] in cases and key[1] in methods})

    def success(self, row: Row) -> bool | None:
        """Whether a row succeeded, by its own case's ceiling; None where the ceiling was not measured."""
        ceiling, draft = (self.rows.get((row.case, method)) for method in (CEILING, DRAFT))
        if ceiling is None or (draft is None and row.score.shadow_error is not None):
            return None
        return metrics.success(row.score, ceiling.score, None if draft is None else draft.score)

    def over_the_draft(self, row: Row, measure: str) -> float | None:
        """A row's measure as a share of the draft's on the same case; None where either was not measured or the draft makes no error."""
        draft = self.rows.get((row.case, DRAFT))
        own, copied = getattr(row.score, measure), getattr(draft.score, measure) if draft else None
        return own / copied if own is not None and copied else None

    def summary(self, methods: Sequence[str]) -> dict[str, dict[str, Interval]]:
        """Method → measure → interval."""
        table = {}
        for method in methods:
            rows = [row for key, row in sorted(self.rows.items()) if key[1] == method]
            if rows:
                columns = {name: [({**asdict(row.score), **row.cost}).get(name) for row in rows] for name in MEASURES}
                columns |= {name: [self.over_the_draft(row, name) for row in rows] for name in OVER_THE_DRAFT}
                columns[SUCCESS] = [self.success(row) for row in rows]
                known = {name: values for name, values in columns.items() if any(value is not None for value in values)}
                table[method] = {name: interval(values, share=name == SUCCESS) for name, values in known.items()}
        return table

    def save(self, path: Path, methods: Sequence[str]) -> None:
        """Write the JSON file; complete or not at all."""
        cases: dict[str, dict[str, Any]] = {}
        for (case, method), row in sorted(self.rows.items()):
            entry = {**asdict(row.score), SUCCESS: self.success(row), **row.cost, "fingerprint": row.fingerprint}
            cases.setdefault(case, {})[method] = {key: _short(value) for key, value in entry.items()}
        medians = {
            method: {name: {key: _short(value) for key, value in asdict(found).items()} for name, found in columns.items()}
            for method, columns in self.summary(methods).items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        content = {"about": self.about, "medians": medians, "cases": cases}
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
        partial.replace(path)


def load_results(path: Path) -> Results:
    """What an earlier run wrote; empty when there is none."""
    results = Results()
    if path.is_file():
        content = json.loads(path.read_text("utf-8"))
        results.about = content["about"]
        names = metrics.Score.__dataclass_fields__
        for case, methods in content["cases"].items():
            for method, entry in methods.items():
                score = metrics.Score(**{name: entry.get(name) for name in names})
                cost = {name: entry[name] for name in MEASURES if name in entry and name not in names}
                results.add(Row(case, method, entry["fingerprint"], score, cost))
    return results


def interval(values: Sequence[float | bool | None], *, share: bool) -> Interval:
    """Median (or mean, for a share) and the 2.5–97.5 % range of it over resampled cases; the same every time."""
    numbers = np.array([float(value) for value in values if value is not None])
    statistic = np.mean if share else np.median
    picks = np.random.default_rng(0).integers(len(numbers), size=(RESAMPLES, len(numbers)))
    low, high = np.quantile(statistic(numbers[picks], axis=1), [0.025, 0.975])
    return Interval(float(statistic(numbers)), float(low), float(high), len(numbers))


COLUMNS = {
    SUCCESS: ("success", "{:.0%}"),
    "object_iou": ("object IoU", "{:.3f}"),
    "centroid_error": ("centroid", "{:.3f}"),
    "ghost": ("ghost", "{:.3f}"),
    "object_psnr": ("object PSNR", "{:.1f}"),
    "object_ssim": ("object SSIM", "{:.3f}"),
    "background_psnr": ("background PSNR", "{:.1f}"),
    "drag_distance": ("drag distance", "{:.3f}"),
    "colour_distance": ("colour distance", "{:.3f}"),
    "look_error": ("look error", "{:.3f}"),
    "light_error": ("light / draft", "{:.2f}"),
    "shadow_error": ("shadow / draft", "{:.2f}"),
    "seam": ("seam / draft", "{:.2f}"),
    "seconds": ("seconds", "{:.1f}"),
    "row_forwards": ("forwards", "{:.0f}"),
    "row_backwards": ("backwards", "{:.0f}"),
    "peak_memory_mb": ("MB", "{:.0f}"),
}
OF_ONE_TASK = ("drag_distance", "colour_distance", "look_error", "light_error", "shadow_error", "seam")
WITHOUT_INTERVAL = ("seconds", "row_forwards", "row_backwards", "peak_memory_mb")


def markdown(summary: Mapping[str, Mapping[str, Interval]]) -> str:
    """The table: medians with their intervals in brackets. A column that belongs to one task stands only where it was measured."""
    shown = {k: v for k, v in COLUMNS.items() if k not in OF_ONE_TASK or any(k in columns for columns in summary.values())}
    lines = ["| method | cases | " + " | ".join(title for title, _ in shown.values()) + " |"]
    lines.append("|---" * (len(shown) + 2) + "|")
    for method, columns in summary.items():
        cells = [method, str(max(found.count for found in columns.values()))]
        for name, (_, form) in shown.items():
            cells.append(_cell(columns.get(name), form, name not in WITHOUT_INTERVAL))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: Interval | None, form: str, with_interval: bool) -> str:
    if found is None:
        return "–"
    value = form.format(found.value)
    return f"{value} [{form.format(found.low)}, {form.format(found.high)}]" if with_interval else value


def _short(value: Any) -> Any:  # noqa: ANN401 - numbers are shortened, all else is kept
    return round(value, 5) if isinstance(value, float) else value
