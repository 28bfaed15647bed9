"""The known pictures at one step of a run: what the edit compares with, sees, and takes along, from one evaluation of each."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import comfy.samplers
import torch
from torch import Tensor

from ...dragon_core.diffusion.frames import as_pictures, as_video
from ...dragon_core.diffusion.trajectory import Trajectory
from ...dragon_core.errors import DragonError
from . import residual
from .backbones.base import Tokens
from .evaluation import DecoderTap, until_enough, with_patch, wrap
from .run import BranchOutputs, BranchStep

if TYPE_CHECKING:
    from .guider import DragonGuidance

Options = dict[str, Any]


def branch_step_at(guider: DragonGuidance, step: int, timestep: Tensor, options: Options, guided: bool, share: bool) -> BranchStep:
    """Tokens and, for guidance, features of the known pictures at this step, from one evaluation each; kept for its repeats."""
    run = guider.running()
    known, sigma = run.branch_step, float(timestep[0])
    if known is None or known.sigma != sigma or (guided and not known.source.features):
        source, *others = (_branch_outputs(guider, i, timestep, options, guided, share) for i in range(len(guider.known)))
        reference = others[0] if others else None
        tokens: Tokens = {}
        if share and run.attention is not None:
            others_tokens = reference.tokens if reference else None
            tokens = run.attention.joined(source.tokens, others_tokens, _edited_tokens(guider, timestep, options))
        known = run.branch_step = BranchStep(step, sigma, source, reference, tokens, residual.edited(run, source, reference))
    return known


def _edited_tokens(guider: DragonGuidance, timestep: Tensor, options: Options) -> Tokens | None:
    """Those of the edited trajectory at this step, where attention wants to see it."""
    run = guider.running()
    if run.path is None or run.attention is None or not run.attention.sees_edited:
        return None
    edited = replace(run.pictures[0], latents=run.path)
    return _evaluated(guider, edited, timestep, options, guider.known[0], False, True, missed=False).tokens


def _branch_outputs(guider: DragonGuidance, index: int, timestep: Tensor, options: Options, guided: bool, share: bool) -> BranchOutputs:
    """The source (0) or the second picture (1) at a step of its trajectory: one evaluation, or two where features are wanted under
    another prompt. Each ends as soon as it has given what is wanted.
    """
    picture, known, compared = guider.running().pictures[index], guider.known[index], guider.compared[index]
    if not guided or known is compared:
        return _evaluated(guider, picture, timestep, options, known, guided, share)
    features = _evaluated(guider, picture, timestep, options, compared, True, False, missed=False).features
    if not share and not _transfers(guider, picture):
        return BranchOutputs(features, {})
    return replace(_evaluated(guider, picture, timestep, options, known, False, share), features=features)


def _transfers(guider: DragonGuidance, picture: Trajectory) -> bool:
    """Whether what the model misses of a known picture is taken along with the edit."""
    return guider.residual > 0 and picture.renoised and bool(guider.edits)


def _evaluated(
    guider: DragonGuidance,
    picture: Trajectory,
    timestep: Tensor,
    options: Options,
    conds: list[Options],
    guided: bool,
    share: bool,
    missed: bool = True,
) -> BranchOutputs:
    """One evaluation of a known picture, under one prompt: features where it is to guide, tokens where they are shared."""
    run = guider.running()
    x = as_video(picture.at(float(timestep[0])).to(timestep.device, torch.float32), picture.frames)
    timestep = timestep[: timestep.shape[0] // max(1, guider.branch.trajectory.frames)]
    x = x if x.shape[0] == timestep.shape[0] else x.expand(timestep.shape[0], *x.shape[1:])
    # One prompt is enough to look at the picture with: the first of the whole picture that is on at this noise level.
    whole = (cond for cond in conds if "area" not in cond)
    conditioning = next((cond for cond in whole if comfy.samplers.get_area_and_mult(cond, x, timestep) is not None), None)
    if conditioning is None:
        raise DragonError(
            "at this step the inversion has no prompt for the whole picture (timestep ranges, ConditioningSetArea, ConditioningSetMask "
            "with mask bounds): invert with one"
        )
    last = run.attention.last_block if share and run.attention is not None else None
    tokens_last = last is not None and (not guided or last >= run.blocks[-1])
    missed = missed and _transfers(guider, picture)
    ends = not missed and (not share or (last is not None and not tokens_last))
    tap = DecoderTap(run.blocks, run.convention, ends) if guided else None
    tokens: Tokens = {}
    with ExitStack() as stack:
        mine = with_patch(options, None, tap)
        if run.attention is not None and share:
            mine, tokens = stack.enter_context(run.attention.collecting(mine, x, tokens_last and not missed))
        elif run.attention is not None:
            mine = stack.enter_context(run.attention.sharing(mine, x, None))
        wrap(mine, until_enough)
        (predicted,) = comfy.samplers.calc_cond_batch(guider.inner_model, [[conditioning]], x, timestep, mine)
    missing = None
    if missed:
        seen = tokens if share and guider.backbone.gradients else None  # a transformer's are turned to where the edit puts them
        generated = residual.as_generated(guider, predicted, conditioning, x, timestep, options, seen)
        missing = picture.latents[-1].to(x) - as_pictures(generated)
    return BranchOutputs(tap.to_grid() if tap else (), tokens, missing)
