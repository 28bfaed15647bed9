"""One case through one method: what a process that holds the model does, here or on another machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import methods, metrics
from benchmarks.cases import Case, Picture
from benchmarks.cost import peak_memory, reset_peak_memory
from benchmarks.settings import Variant

if TYPE_CHECKING:
    from benchmarks.host import Host


@dataclass(frozen=True, eq=False)
class Job:
    """A case and the methods it still has to go through; kept together, because they share inversions."""

    case: Case
    variants: tuple[Variant, ...]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one method made of one case."""

    case: Case
    variant: Variant
    picture: Picture
    score: metrics.Score
    cost: Mapping[str, float | None]


class Runner:
    """Holds the model, if one is needed."""

    def __init__(self, host: Host | None) -> None:
        self._host = host

    def outcomes(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """One after the other."""
        for job in jobs:
            for variant in job.variants:
                picture, cost = self._run(job.case, variant)
                yield Outcome(job.case, variant, picture, metrics.score(picture, job.case), cost)

    def _run(self, case: Case, variant: Variant) -> tuple[Picture, dict[str, float | None]]:
        if variant.method in methods.PIXEL_METHODS:
            return methods.PIXEL_METHODS[variant.method](case), {"seconds": 0.0, "row_forwards": 0, "row_backwards": 0}
        if self._host is None:
            raise RuntimeError("This method needs a model, but no ComfyUI was started.")
        self._host.begin(case)
        reset_peak_memory()
        before = self._host.meter.read()
        picture = methods.MODEL_METHODS[variant.method](case, self._host, variant.settings)
        cost = self._host.meter.read() - before
        return picture, {
            "seconds": cost.seconds,
            "row_forwards": cost.row_forwards,
            "row_backwards": cost.row_backwards,
            "peak_memory_mb": peak_memory(),
        }
