"""One case through one method: what a process that holds the model does, here or on another machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks import methods, metrics
from benchmarks.box import dilate
from benchmarks.cases import Case, Picture
from benchmarks.cost import peak_memory, reset_peak_memory
from benchmarks.settings import Variant

if TYPE_CHECKING:
    from benchmarks.host import Host


@dataclass(frozen=True, eq=False)
class Job:
    """A case and the methods it still has to go through; kept together, because they share inversions.

    loose: methods are given masks that are so many pixels larger all round, as people draw them; the answer is judged as ever.
    """

    case: Case
    variants: tuple[Variant, ...]
    loose: int = 0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one method made of one case."""

    case: Case
    variant: Variant
    picture: Picture
    score: metrics.Score
    cost: Mapping[str, float | None]


def loosened(case: Case, pixels: int) -> Case:
    """The case with the masks that are drawn (of what is moved, or taken from the reference) grown by so many pixels."""
    if pixels == 0:
        return case
    reference_mask = None if case.reference_mask is None else dilate(case.reference_mask, pixels)
    return replace(case, mask=dilate(case.mask, pixels), reference_mask=reference_mask)


class Runner:
    """Holds the model, if one is needed."""

    def __init__(self, host: Host | None) -> None:
        self._host = host

    def outcomes(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """One after the other."""
        for job in jobs:
            shown = loosened(job.case, job.loose)
            for variant in job.variants:
                picture, cost = self._run(shown, variant)
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
