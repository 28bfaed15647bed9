"""Which step does what: windows as fractions of the schedule, and the deterministic step in sigma-space.

DragonDiffusion guides densely at first, then every other step; DiffEditor adds time travel and regional SDE in windows
of their own. All windows are fractions of the number of steps, so any step count works.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..errors import DragonError


@dataclass(frozen=True)
class Window:
    """Steps from ``start`` (included) to ``end`` (not included), as fractions of the schedule in [0, 1]."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= 1.0 or not 0.0 <= self.end <= 1.0:
            raise DragonError(f"a window must lie within 0 and 1, got {self.start} to {self.end}")
        if self.start > self.end:
            raise DragonError(f"a window starts after it ends: {self.start} to {self.end}; swap the two values")

    def contains(self, step: int, steps: int) -> bool:
        return round(self.start * steps) <= step < round(self.end * steps)


@dataclass(frozen=True)
class EditSchedule:
    """When the edit loop guides, travels back and injects noise (docs/method.md, section 9).

    ``dense``: guidance on every step. ``sparse``: guidance on every other step. ``travel``: a guided step in the sparse window
    is repeated ``travel_passes`` times, re-noising one level in between. ``sde``: steps with regional noise of strength
    ``sde_inside`` within the edit region and ``sde_outside`` elsewhere, both in [0, 1].
    """

    dense: Window = Window(0.0, 0.2)
    sparse: Window = Window(0.2, 0.6)
    travel: Window = Window(0.4, 0.6)
    travel_passes: int = 1
    sde: Window = Window(0.2, 0.4)
    sde_inside: float = 0.0
    sde_outside: float = 0.0

    def __post_init__(self) -> None:
        if self.travel_passes < 1:
            raise DragonError(f"time travel needs at least 1 pass, got {self.travel_passes}")
        if not 0.0 <= self.sde_inside <= 1.0 or not 0.0 <= self.sde_outside <= 1.0:
            raise DragonError("the SDE strength must lie within 0 and 1")

    def guided(self, step: int, steps: int) -> bool:
        return self.dense.contains(step, steps) or (self.sparse.contains(step, steps) and step % 2 == 0)

    def passes(self, step: int, steps: int) -> int:
        """How often a step is made: more than once only where it is guided and inside the travel window."""
        return self.travel_passes if self.guided(step, steps) and self.travel.contains(step, steps) else 1

    def stochastic(self, step: int, steps: int) -> bool:
        return (self.sde_inside > 0 or self.sde_outside > 0) and self.sde.contains(step, steps)


def ddim_step(x: Tensor, direction: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """One deterministic DDIM step (arXiv 2010.02502, eta = 0), which is one Euler step along d = (x − x̂0) / sigma in either noise model."""
    return x + direction * (sigma_next - sigma)
