"""The edit loop: the generation branch's walk from the edited start latent to the edited picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .schedule import EditSchedule, ddim_step
from .stochastic import regional_sde_step, travel_back, unit_noise


@dataclass(frozen=True)
class Prediction:
    """One evaluation of the generation branch, each (B, C, h, w).

    eps: CFG-combined noise prediction. eps_positive: the conditional one. guidance: g, or None on a step without guidance.
    """

    eps: Tensor
    eps_positive: Tensor
    guidance: Tensor | None = None


@dataclass(frozen=True)
class Hold:
    """Keeps everything outside the edit on the source's trajectory, which is known exactly at every level.

    region: (M, h, w) in [0, 1], 1 where the edit may act. latents: (T + 1, B, C, h, w), the trajectory on this run's levels.
    strength: 0 is off; 1 puts the rest back on the trajectory after every step.
    """

    region: Tensor
    latents: Tensor
    strength: float = 1.0

    def __call__(self, x: Tensor, level: int) -> Tensor:
        free = (1 - self.strength * (1 - self.region)).unsqueeze(1).to(x)
        return free * x + (1 - free) * self.latents[level].to(x)


class Predictor(Protocol):
    """The model with everything it is steered by."""

    def __call__(self, x: Tensor, step: int, sigma: Tensor, guided: bool) -> Prediction: ...


def run_edit(
    x: Tensor,
    sigmas: Tensor,
    predict: Predictor,
    schedule: EditSchedule,
    region: Tensor | None,
    seed: int,
    on_step: Callable[[int, Tensor, Tensor], None] | None = None,
    hold: Hold | None = None,
) -> Tensor:
    """Sample from ``x`` (B, C, h, w) down ``sigmas`` (T + 1,), T steps.

    region: (M, h, w), where regional SDE injects noise; None switches it off. ``on_step(i, x0, x)`` reports each finished step
    with its estimate of the clean latent. Guidance enters x0 only; the direction keeps the unguided prediction.
    """
    steps = len(sigmas) - 1
    for i in range(steps):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        passes = schedule.passes(i, steps)
        for draw in range(passes):
            p = predict(x, i, sigma, schedule.guided(i, steps))
            if region is not None and schedule.stochastic(i, steps) and float(sigma_next) > 0:
                eta = (schedule.sde_inside * region + schedule.sde_outside * (1 - region)).unsqueeze(1)
                noise = unit_noise(x.shape, seed, i, draw).to(x)
                x_next = regional_sde_step(x, p.eps, sigma, sigma_next, eta, noise)
            else:
                x_next = ddim_step(x, p.eps, sigma, sigma_next)
            x0 = x - sigma * p.eps
            if p.guidance is not None:
                x_next = x_next - sigma * p.guidance
                x0 = x0 - sigma * p.guidance
            if hold is not None:
                x_next = hold(x_next, i + 1)
            if draw + 1 < passes:
                x = travel_back(x_next, p.eps_positive, sigma, sigma_next)
        x = x_next
        if on_step is not None:
            on_step(i, x0, x)
    return x
