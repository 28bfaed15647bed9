"""What a sampling run remembers: the known pictures, the edits on its grid, and what their evaluations gave at this step."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import comfy.samplers
from torch import Tensor

from ...dragon_core.diffusion.convention import OURS, Convention
from ...dragon_core.diffusion.features import Features
from ...dragon_core.diffusion.guidance import GuidanceScale
from ...dragon_core.diffusion.sharing import Sharing
from ...dragon_core.diffusion.trajectory import Trajectory
from ...dragon_core.edits import chain
from .backbones.base import SharedAttention, Tokens
from .memory import MIB, Tally

log = logging.getLogger(__name__)

Options = dict[str, Any]


@dataclass(frozen=True)
class BranchOutputs:
    """What one evaluation of a known picture yields: decoder tokens and, where it is to guide, features on the common grid."""

    features: Features
    tokens: Tokens
    #: What its prediction misses of the picture, x0 − x̂0, where the picture does not lie on the model's own path.
    missing: Tensor | None = None


@dataclass(frozen=True)
class BranchStep:
    """The known pictures at one step: the source and, where the edits take from it, the second picture.

    tokens: what the generation sees of them.
    """

    step: int
    sigma: float
    source: BranchOutputs
    reference: BranchOutputs | None
    tokens: Tokens
    residual: Tensor | None = None


@dataclass(frozen=True)
class EnergyReading:
    """Energies of one guided evaluation, for those who want to see why an edit failed: by picture, (B,). ``step``: 0 … ``steps`` - 1."""

    step: int
    steps: int
    sigma: float
    edit: Tensor
    content: Tensor
    relative_size: Tensor


@dataclass
class Run:
    """Everything that lives as long as one sampling run.

    known: conditionings of the known pictures as ComfyUI has processed them, and ``compared`` those under which their features are seen.
    residual: the share of what the model misses of renoised pictures that is taken along.
    """

    pictures: tuple[Trajectory, ...]
    first: int
    blocks: tuple[int, ...]
    layout: chain.Layout | None
    scale: GuidanceScale
    sharing: Sharing | None
    attention: SharedAttention | None = None
    convention: Convention = OURS
    residual: float = 0.0
    known: list[list[Options]] = field(default_factory=list)
    compared: list[list[Options]] = field(default_factory=list)
    path: Tensor | None = None
    branch_step: BranchStep | None = None
    on_features: dict[tuple[int, int, int], chain.Layout] = field(default_factory=dict)
    readings: list[EnergyReading] = field(default_factory=list)
    slowed: bool = False

    def account(self, tally: Tally) -> None:
        """Says once a run that memory was short."""
        if tally.offloaded and not self.slowed:
            self.slowed = True
            log.info(
                "Dragon: the GPU's memory is short: %.0f MiB of each guided step go to RAM and back, which takes time. A smaller picture "
                "or an fp16 checkpoint needs less.",
                tally.offloaded / MIB,
            )


@dataclass(frozen=True)
class Moment:
    """One step of a run. guider: ComfyUI's model, prompts and cfg. timestep: the noise level, (B,). options: the step's model options."""

    guider: comfy.samplers.CFGGuider
    run: Run
    timestep: Tensor
    options: Options
