"""The edit loop: the generation branch's walk from the edited start latent to the edited picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .noise_model import VP, NoiseModel
from .schedule import EditSchedule, ddim_step
from .steps import regional_sde_step, travel_back, unit_noise

#: Keeps a ratio of sizes finite.
SMALLEST = 1e-6


@dataclass(frozen=True)
class Prediction:
    """One evaluation of the generation branch, each (B, C, h, w).

    direction: (x − x̂0) / sigma, CFG-combined: ε̂ of a VP model, v̂ of a flow. positive: the conditional one. guidance: g, or None on a step
    without guidance.
    """

    direction: Tensor
    positive: Tensor
    guidance: Tensor | None = None


@dataclass(frozen=True)
class LatentBlending:
    """Blends latents with the edited trajectory after each step (as Blended Latent Diffusion does, arXiv 2206.02779).

    The source is known at every level, so the picture outside the edit need not drift. In the noisy first part of the schedule the
    trajectory is injected whole: the object follows the source's path at its new place.
    path: (T + 1, B, C, h, w), the edited trajectory. weights: T of them, each (M, h, w) in [0, 1], how strongly it is held after a step.
    opens_at: from the step ``opens_from`` on the hold opens where the latent leaves the path by more than so many times what it does in
    the median where it is held: light, shadows and reflections that go with the edit stand out there. 0 never opens it.
    fresh: each level of the path has a noise of its own (:meth:`.trajectory.Trajectory.under_fresh_noise`), which a step takes over.
    """

    path: Tensor
    weights: Sequence[Tensor]
    opens_at: float = 0.0
    opens_from: int = 0
    fresh: bool = False

    def complete(self, step: int) -> bool:
        """Whether all of the picture is held after ``step``, so that the model need not be asked."""
        return self._complete[step]

    @cached_property
    def _complete(self) -> list[bool]:
        """By step; found once, as a GPU is waited for."""
        return [bool((weight == 1).all()) for weight in self.weights]

    def __call__(self, x: Tensor, step: int, level: int | None = None) -> Tensor:
        """``x`` after ``step``, at the next level of the path; or, gone back in time, at ``level``."""
        known = self.path[step + 1 if level is None else level].to(x)
        weight = self.weights[step].to(x)
        if self.opens_at > 0 and step >= self.opens_from:
            weight = weight * (1 - self.opening(x - known, weight))
        return (1 - weight.unsqueeze(1)) * x + weight.unsqueeze(1) * known

    def opening(self, deviation: Tensor, weight: Tensor) -> Tensor:
        """How far a hold of ``weight`` (M, h, w) opens, (B, h, w) in [0, 1], for a latent that is ``deviation`` (B, C, h, w) off the path.

        Only in one piece with what is not held: a shadow touches what throws it, and a spot elsewhere is an accident.
        """
        size = F.avg_pool2d(deviation, 3, stride=1, padding=1, count_include_pad=False).square().sum(1).sqrt()
        free = weight == 0
        usual = size.masked_fill(free, torch.nan).flatten(1).nanmedian(dim=1).values
        least = self.opens_at * usual[:, None, None].nan_to_num() + SMALLEST
        found = (size / least - 1).clamp(0, 1)
        reached = free.to(size).expand_as(found)
        for _ in range(max(found.shape[-2:])):
            reached = F.max_pool2d(reached, 3, stride=1, padding=1) * (found > 0)
        return found * reached

    def renoised(self, x: Tensor, level: int, to: int, ratio: Tensor) -> Tensor:
        """A latent (B, C, h, w) at one level of the path under the noise that the path has at another; ``ratio``: of α there to α here."""
        return self.path[to].to(x) + ratio * (x - self.path[level].to(x))


@dataclass(frozen=True)
class Hold:
    """How a run keeps to the edited trajectory: :class:`LatentBlending`, as said by who asks for it. Shares lie in [0, 1].

    background: of all but the edits. object_until: of the schedule, with all that is edited in the trajectory. fresh_noise: where the
    trajectory was renoised, each step sees it under another noise; regional SDE then has nothing to add.
    """

    background: float = 0.0
    object_until: float = 0.0
    fresh_noise: bool = False
    opens_at: float = 0.0

    @property
    def follows_path(self) -> bool:
        """Whether a run needs more of the edited trajectory than its start."""
        return self.background > 0 or self.object_until > 0 or self.fresh_noise


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
    blending: LatentBlending | None = None,
    span: tuple[int, int] | None = None,
    noise_model: NoiseModel = VP,
    ask_again: Callable[[Tensor, int, Tensor], Tensor] | None = None,
) -> Tensor:
    """Sample from ``x`` (B, C, h, w) down ``sigmas`` (T + 1,), T steps; or only from step span[0] until before step span[1].

    region: (M, h, w), where regional SDE injects noise; None switches it off. ``on_step(i, x0, x)`` reports each finished step
    with its estimate of the clean latent. ``ask_again(x, step, sigma)``: the conditional direction at a latent of the next level, along
    which to go back in time; without it the way back is along the direction of the way there. Guidance enters x0 only; the direction
    keeps the unguided prediction.
    """
    shares = noise_model.progress(sigmas[:-1]).tolist()
    for i in range(*(span or (0, len(shares)))):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        if blending is not None and blending.complete(i):
            x = blending.path[i + 1].to(x)
            if on_step is not None:
                on_step(i, blending.path[-1].to(x), x)
            continue
        passes = schedule.passes(i, shares[i])
        for draw in range(passes):
            p = predict(x, i, sigma, schedule.guided(i, shares[i]))
            x0 = x - sigma * p.direction
            moved = None if p.guidance is None else noise_model.guidance_scale(sigma) * p.guidance
            if blending is not None and blending.fresh:
                x_next = blending.renoised(x0, -1, i + 1, noise_model.alpha(sigma_next))
            elif region is not None and schedule.stochastic(shares[i]) and float(sigma_next) > 0:
                eta = (schedule.sde_inside * region + schedule.sde_outside * (1 - region)).unsqueeze(1)
                noise = unit_noise(x.shape, seed, i, draw).to(x)
                x_next = regional_sde_step(x, p.direction, sigma, sigma_next, eta, noise, noise_model)
            else:
                x_next = ddim_step(x, p.direction, sigma, sigma_next)
            if moved is not None:
                x_next = x_next - noise_model.alpha(sigma_next) * moved
                x0 = x0 - moved
            if blending is not None:
                x_next = blending(x_next, i)
            if draw + 1 < passes and blending is not None and blending.fresh:
                x = blending.renoised(x_next, i + 1, i, noise_model.alpha(sigma) / noise_model.alpha(sigma_next))
            elif draw + 1 < passes:
                if ask_again is not None and float(sigma_next) > 0:
                    noise = noise_model.noise(x_next, ask_again(x_next, i + 1, sigma_next), sigma_next)
                else:
                    noise = noise_model.noise(x, p.positive, sigma)
                x = travel_back(x_next, noise, sigma, sigma_next, noise_model)
                if blending is not None:
                    x = blending(x, i, level=i)
        x = x_next
        if on_step is not None:
            on_step(i, x0, x)
    return x
