"""The source image's diffusion trajectory: what the guidance branch reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import DragonError
from .noise_model import VP, NoiseModel
from .steps import unit_noise


def check_falling(sigmas: Tensor) -> None:
    """Raise :class:`DragonError` where one of the noise levels (T + 1,) is repeated or rises: no step could be told from the next."""
    if not torch.isfinite(sigmas).all():
        raise DragonError("the SIGMAS have values that are not numbers: look at the node that makes them")
    for step, (here, after) in enumerate(zip(sigmas.tolist(), sigmas.tolist()[1:], strict=False), 1):
        if math.isclose(here, after, rel_tol=1e-4, abs_tol=1e-6) or after > here:
            raise DragonError(f"the SIGMAS repeat or rise at step {step} ({here:.4g}, then {after:.4g}): each must be lower than the last")


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Latents of one picture at every noise level of a schedule.

    latents: (T + 1, B, C, H, W) in the model's latent scale, noisiest first, the clean latent last.
    sigmas: (T + 1,), falling to 0; this is the schedule an edit runs on.
    source: how the picture was described (the host's conditioning; opaque here).
    model: a fingerprint of the checkpoint that made it, and ``family`` its kind in words.
    pixels_per_cell: image pixels one latent cell covers.
    noise_model: how its latents mix picture and noise.
    frames: of each video, where the model takes videos: its latents are the frames' then, B of them in all (see :mod:`.frames`).
    renoised: whether they are the picture under one noise, which the model has no part in, rather than a path the model itself walks.
    patches: which LoRAs and other patches of weights the model had, as the host tells them apart; None for none.
    """

    latents: Tensor
    sigmas: Tensor
    source: Any
    model: str
    family: str
    pixels_per_cell: int = 8
    noise_model: NoiseModel = VP
    frames: int = 0
    renoised: bool = False
    patches: str | None = None

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.latents.shape[-2] * self.pixels_per_cell, self.latents.shape[-1] * self.pixels_per_cell

    def same_levels(self, other: Trajectory) -> bool:
        """Whether both go through the same noise levels, so that a step of one can be read beside that of the other."""
        return self.sigmas.shape == other.sigmas.shape and torch.allclose(self.sigmas, other.sigmas, rtol=1e-4)

    def along(self, sigmas: Tensor) -> tuple[Trajectory, int]:
        """The trajectory that a run over any levels (n + 1,) follows, and which of its steps the run begins with.

        Of a part of the schedule it is this one; of other levels the same picture at those, and at 0.
        """
        levels = sigmas.detach().cpu()
        if len(levels) < 2 or not bool((levels.diff() < 0).all()) or float(levels[-1]) < 0:
            raise DragonError("the SIGMAS must fall, from step to step, to 0 or above: use DragonInvert's, or a scheduler's")
        known = [self.index(sigma) for sigma in levels.tolist()]
        if known[0] is not None and known == list(range(known[0], known[0] + len(known))):
            return self, known[0]
        if float(levels[-1]) > 0:
            levels = torch.cat([levels, levels.new_zeros(1)])
        latents = torch.stack([self.at(sigma) for sigma in levels.tolist()])
        return replace(self, latents=latents, sigmas=levels.to(self.sigmas)), 0

    def at(self, sigma: float) -> Tensor:
        """The latents (B, C, H, W) at any noise level: between two levels the picture is under what lies between their noise."""
        found = self.index(sigma)
        if found is not None:
            return self.latents[found]
        below = next((i for i, level in enumerate(self.sigmas.tolist()) if level < sigma), self.steps)
        high, low = max(below - 1, 0), min(below, self.steps - 1)
        level = self.sigmas.new_tensor(sigma)
        share = (level / self.sigmas[low]).log() / (self.sigmas[high] / self.sigmas[low]).log() if high != low else torch.ones_like(level)
        noise = torch.lerp(self._noise(low), self._noise(high), share.clamp(0, 1))
        return self.noise_model.joined(self.latents[-1], level * noise, level)

    def under_fresh_noise(self, seed: int) -> Trajectory:
        """A renoised trajectory whose levels each have a noise of their own, unit; the noisiest keeps the one it has.

        What the model makes of one noise is then averaged out from step to step (as in FlowEdit, arXiv 2412.08629). The frames of a video
        share the noise of a level.
        """
        clean, frames = self.latents[-1], max(1, self.frames)
        levels = [self.latents[0]]
        for step, sigma in enumerate(self.sigmas[1:-1], 1):
            noise = unit_noise(clean[::frames].shape, seed, step=-2 - step, draw=0).repeat_interleave(frames, 0).to(clean)
            levels.append(self.noise_model.joined(clean, sigma * noise, sigma))
        return replace(self, latents=torch.stack([*levels, clean]))

    def step_at(self, sigma: float) -> int:
        """The step that a noise level belongs to: the one that begins there, or above it."""
        found = self.index(sigma)
        above = sum(level > sigma for level in self.sigmas.tolist()) - 1
        return min(max(above if found is None else found, 0), self.steps - 1)

    def index(self, sigma: float) -> int | None:
        """The step that begins at a noise level; None where none does."""
        levels = enumerate(self.sigmas.tolist())
        return next((i for i, level in levels if math.isclose(level, sigma, rel_tol=1e-4, abs_tol=1e-6)), None)

    def _noise(self, step: int) -> Tensor:
        """Unit noise of a level."""
        sigma = self.sigmas[step]
        return self.noise_model.noise_part(self.latents[step], self.latents[-1], sigma) / sigma


@dataclass(frozen=True, eq=False)
class Branch:
    """The guidance branch: where reference features, keys and values come from.

    ``reference``: a second picture to take from (paste, appearance), on the same noise levels.
    ``taps``: how many of the decoder's shallowest stage outputs are compared, 2 as in the paper.
    """

    trajectory: Trajectory
    taps: int = 2
    reference: Trajectory | None = None

    def __post_init__(self) -> None:
        if self.reference is None:
            return
        if self.reference.model != self.trajectory.model:
            raise DragonError("the two trajectories were made with different models: invert both pictures with the same one")
        if not self.reference.same_levels(self.trajectory):
            raise DragonError("the two trajectories have different noise levels: invert both pictures with the same steps and scheduler")
        if self.reference.latents.shape[1] not in (1, self.trajectory.latents.shape[1]):
            raise DragonError(
                f"the reference has {self.reference.latents.shape[1]} pictures for {self.trajectory.latents.shape[1]} of the source: "
                "use one reference, or one for each picture"
            )

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        return (self.trajectory,) if self.reference is None else (self.trajectory, self.reference)
