"""Which step does what: windows as shares of the schedule, and the deterministic step.

DragonDiffusion guides densely at first, then every other step; DiffEditor adds time travel and regional SDE in windows of their own. A
share is told by the noise level a step begins at (:meth:`.noise_model.NoiseModel.progress`), so it means the same in 4 steps and in 50.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import DragonError

#: Steps that are free at least where an edit is not held to the end: the first settles what the second can still mend.
FREE_STEPS = 2
#: Levels are compared to a tenth of a timestep: schedulers round.
ROUNDED = 1e-4


@dataclass(frozen=True)
class Window:
    """Steps that begin from ``start`` (included) to ``end`` (not included; 1 is all to the last), as shares of the schedule in [0, 1]."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= 1.0 or not 0.0 <= self.end <= 1.0:
            raise DragonError(f"a window must lie within 0 and 1, got {self.start} to {self.end}")
        if self.start > self.end:
            raise DragonError(f"a window starts after it ends: {self.start} to {self.end}; swap the two values")

    def contains(self, share: float) -> bool:
        begun = share >= self.start - ROUNDED
        return begun and self.start < self.end and (self.end == 1 or share < self.end - ROUNDED)


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

    def guided(self, step: int, share: float) -> bool:
        """Whether a step (0, 1, …) that begins at this share of the schedule is."""
        return self.dense.contains(share) or (self.sparse.contains(share) and step % 2 == 0)

    def passes(self, step: int, share: float) -> int:
        """How often a step is made: more than once only where it is guided and inside the travel window."""
        return self.travel_passes if self.guided(step, share) and self.travel.contains(share) else 1

    def stochastic(self, share: float) -> bool:
        return (self.sde_inside > 0 or self.sde_outside > 0) and self.sde.contains(share)


def injected_steps(shares: Sequence[float], until: float) -> int:
    """How many of the first steps are held on the edited path: up to ``until``, and below 1 all but the last :data:`FREE_STEPS` at most."""
    count = sum(Window(0.0, until).contains(share) for share in shares)
    return count if until == 1 else min(count, max(len(shares) - FREE_STEPS, 0))


def ddim_step(x: Tensor, direction: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """One deterministic DDIM step (arXiv 2010.02502, eta = 0), which is one Euler step along d = (x − x̂0) / sigma in either noise model."""
    return x + direction * (sigma_next - sigma)
