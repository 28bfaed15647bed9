"""The source image's diffusion trajectory: what the guidance branch reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import DragonError
from .noise_model import VP, NoiseModel


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
    """

    latents: Tensor
    sigmas: Tensor
    source: Any
    model: str
    family: str
    pixels_per_cell: int = 8
    noise_model: NoiseModel = VP
    frames: int = 0

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

    def span(self, sigmas: Tensor) -> tuple[int, int]:
        """First step of a part (n + 1,) of the schedule, and the step after its last. Raises :class:`DragonError` if it is no part."""
        levels = [self.index(float(sigma)) for sigma in sigmas]
        if len(levels) < 2 or levels != list(range(levels[0], levels[0] + len(levels))):
            raise DragonError("the SIGMAS leave out or reorder steps of the trajectory: use DragonInvert's, whole or split once or more")
        return levels[0], levels[-1]

    def index(self, sigma: float) -> int:
        """The step at which the trajectory has noise level ``sigma``. Raises :class:`DragonError` where it has none."""
        for i, level in enumerate(self.sigmas.tolist()):
            if math.isclose(level, sigma, rel_tol=1e-4, abs_tol=1e-6):
                return i
        raise DragonError(
            f"the trajectory has {self.steps} steps and none at sigma {sigma:.4g}: sample with the SIGMAS that DragonInvert gives out"
        )


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
