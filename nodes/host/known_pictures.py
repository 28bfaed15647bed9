"""The known pictures at one step of a run: what the edit compares with, sees, and takes along, from one evaluation of each."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import comfy.samplers
import torch
from torch import Tensor

from ...dragon_core.diffusion.frames import as_pictures, as_video
from ...dragon_core.diffusion.trajectory import Trajectory
from ...dragon_core.errors import DragonError
from . import residual
from .backbones.base import Tokens
from .evaluation import DecoderTap, until_enough, with_patch, wrap
from .run import BranchOutputs, BranchStep, Moment, Run

Options = dict[str, Any]

#: Of a known picture's conditioning among a guider's, followed by the picture's number.
KNOWN = "dragon_reference"


def process_known(guider: comfy.samplers.CFGGuider, run: Run, latent_image: Tensor, device: torch.device, with_shapes: bool) -> None:
    """Known pictures are replayed as they were inverted; processed beside the positive they would inherit that one's ControlNets."""
    for i, known in enumerate(run.pictures):
        latent = as_video(known.latents[-1].to(latent_image), known.frames)
        shapes = {"latent_shapes": [latent.shape]} if with_shapes else {}
        conds = {"positive": guider.conds.pop(KNOWN + str(i))}
        if run.convention.edit_prompt and not same_prompt(conds["positive"], guider.conds["positive"]):
            conds["edit"] = [{key: value for key, value in c.items() if key != "control"} for c in guider.conds["positive"]]
        conds = comfy.samplers.process_conds(guider.inner_model, torch.zeros_like(latent), conds, device, latent, **shapes)
        run.known.append(conds["positive"])
        run.compared.append(conds.get("edit", conds["positive"]))


def same_prompt(conditioning: list[Options], other: list[Options]) -> bool:
    """Whether two converted conditionings say the same, so that one evaluation serves for both."""

    def text(cond: Options) -> tuple[Tensor | None, ...]:
        return cond.get("cross_attn"), cond.get("pooled_output")

    def equal(a: Tensor | None, b: Tensor | None) -> bool:
        return a is b if a is None or b is None else torch.equal(a, b)

    pairs = zip(conditioning, other, strict=False)
    return len(conditioning) == len(other) and all(equal(a, b) for c, d in pairs for a, b in zip(text(c), text(d), strict=True))


def branch_step_at(now: Moment, step: int, guided: bool, share: bool) -> BranchStep:
    """Tokens and, for guidance, features of the known pictures at this step, from one evaluation each; kept for its repeats."""
    run = now.run
    known, sigma = run.branch_step, float(now.timestep[0])
    if known is None or known.sigma != sigma or (guided and not known.source.features):
        source, *others = (_branch_outputs(now, i, guided, share) for i in range(len(run.known)))
        reference = others[0] if others else None
        tokens: Tokens = {}
        if share and run.attention is not None:
            others_tokens = reference.tokens if reference else None
            tokens = run.attention.joined(source.tokens, others_tokens, _edited_tokens(now))
        known = run.branch_step = BranchStep(step, sigma, source, reference, tokens, residual.edited(run, source, reference))
    return known


def _edited_tokens(now: Moment) -> Tokens | None:
    """Those of the edited trajectory at this step, where attention wants to see it."""
    run = now.run
    if run.path is None or run.attention is None or not run.attention.sees_edited:
        return None
    edited = replace(run.pictures[0], latents=run.path)
    return _evaluated(now, edited, run.known[0], False, True, missed=False).tokens


def _branch_outputs(now: Moment, index: int, guided: bool, share: bool) -> BranchOutputs:
    """The source (0) or the second picture (1) at a step of its trajectory: one evaluation, or two where features are wanted under
    another prompt. Each ends as soon as it has given what is wanted.
    """
    picture, known, compared = now.run.pictures[index], now.run.known[index], now.run.compared[index]
    if not guided or known is compared:
        return _evaluated(now, picture, known, guided, share)
    features = _evaluated(now, picture, compared, True, False, missed=False).features
    if not share and not _transfers(now.run, picture):
        return BranchOutputs(features, {})
    return replace(_evaluated(now, picture, known, False, share), features=features)


def _transfers(run: Run, picture: Trajectory) -> bool:
    """Whether what the model misses of a known picture is taken along with the edit."""
    return run.residual > 0 and picture.renoised and run.layout is not None


def _evaluated(
    now: Moment, picture: Trajectory, conds: list[Options], guided: bool, share: bool, missed: bool = True
) -> BranchOutputs:
    """One evaluation of a known picture, under one prompt: features where it is to guide, tokens where they are shared."""
    run, timestep = now.run, now.timestep
    x = as_video(picture.at(float(timestep[0])).to(timestep.device, torch.float32), picture.frames)
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
    missed = missed and _transfers(run, picture)
    ends = not missed and (not share or (last is not None and not tokens_last))
    tap = DecoderTap(run.blocks, run.convention, ends) if guided else None
    tokens: Tokens = {}
    with ExitStack() as stack:
        mine = with_patch(now.options, None, tap)
        if run.attention is not None and share:
            mine, tokens = stack.enter_context(run.attention.collecting(mine, x, tokens_last and not missed))
        elif run.attention is not None:
            mine = stack.enter_context(run.attention.sharing(mine, x, None))
        wrap(mine, until_enough)
        (predicted,) = comfy.samplers.calc_cond_batch(now.guider.inner_model, [[conditioning]], x, timestep, mine)
    missing = None
    if missed:
        seen = tokens if share and run.blocks else None  # a transformer's are turned to where the edit puts them
        generated = residual.as_generated(now, predicted, conditioning, x, seen)
        missing = picture.latents[-1].to(x) - as_pictures(generated)
    return BranchOutputs(tap.to_grid() if tap else (), tokens, missing)
