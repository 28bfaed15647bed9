"""What the model misses of the known pictures at one step, for :func:`~dragon_core.edits.chain.edited_residual`."""

from __future__ import annotations

import math
from typing import Any

import comfy.samplers
import torch
from torch import Tensor

from ...dragon_core.edits import chain
from .backbones.base import Tokens
from .evaluation import seeing, with_patch
from .run import BranchOutputs, Moment, Run

Options = dict[str, Any]


def as_generated(now: Moment, predicted: Tensor, conditioning: Options, x: Tensor, tokens: Tokens | None) -> Tensor:
    """A known picture's prediction under the run's cfg and negative prompt, as the generation's is: else cfg alone would be an edit.

    predicted: that of ``conditioning`` for ``x``. tokens: those that the generation's negative sees at this step, too.
    """
    guider, timestep = now.guider, now.timestep
    negative = guider.conds.get("negative")
    if negative is None or math.isclose(guider.cfg, 1.0):
        return predicted
    with seeing(now.run, now.options, x, tokens) as mine:
        (against,) = comfy.samplers.calc_cond_batch(guider.inner_model, [negative], x, timestep, mine)
    plain, conds = with_patch(now.options, None, None), {"cond": [conditioning], "uncond": negative}
    return comfy.samplers.cfg_function(guider.inner_model, predicted, against, guider.cfg, x, timestep, plain, **conds)


def edited(run: Run, source: BranchOutputs, reference: BranchOutputs | None) -> Tensor | None:
    """With the edits made in it; None where all known pictures lie on the model's own path, of which it misses nothing."""
    others = None if reference is None else reference.missing
    if run.layout is None or (source.missing is None and others is None):
        return None
    none = [torch.zeros_like(picture.latents[-1], device=run.layout.support.device) for picture in run.pictures]
    missing = none[0] if source.missing is None else source.missing
    if reference is not None and others is None:
        others = none[1]
    return chain.edited_residual(run.layout, missing, others)
