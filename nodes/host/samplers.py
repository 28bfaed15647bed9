"""The edit loop as a SAMPLER, and a whole edit in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor

from ...dragon_core.diffusion.frames import as_pictures, as_video
from ...dragon_core.diffusion.loop import Hold, LatentBlending, Prediction, run_edit
from ...dragon_core.diffusion.schedule import EditSchedule, injected_steps
from ...dragon_core.edits.chain import Layout
from ...dragon_core.errors import DragonError
from ...dragon_core.imaging.masks import grown
from .guider import DragonGuidance
from .run import Run

#: Latent cells around an edit that stay free when the background is held: room for soft edges and shadows.
BLEND_MARGIN = 1

Options = dict[str, Any]


def dragon_euler(schedule: EditSchedule, hold: Hold) -> comfy.samplers.KSAMPLER:
    """The edit loop as a SAMPLER: DDIM with guidance in x0 only, time travel and regional SDE."""
    return comfy.samplers.KSAMPLER(sample_dragon_euler, {"schedule": schedule, "hold": hold})


def sample_dragon_euler(
    model: comfy.samplers.KSamplerX0Inpaint,
    x: Tensor,
    sigmas: Tensor,
    extra_args: Options,
    callback: Callable[[Options], None] | None,
    disable: bool,
    schedule: EditSchedule,
    hold: Hold,
) -> Tensor:
    """A sampler function as ComfyUI's own are, which asks the guider for more than a denoised latent."""
    guider = model.inner_model
    if not isinstance(guider, DragonGuidance):
        raise DragonError("DragonEulerSampler: works with DragonGuider's guider only; use the euler sampler with other guiders")
    run = guider.running()
    options, seed = extra_args.get("model_options", {}), extra_args.get("seed")
    trajectory, first = run.pictures[0], run.first
    x = as_pictures(x)
    # On its way through ComfyUI's scale the start was rounded; a recorded picture is only repeated from the very one.
    known = (trajectory.latents if run.path is None else run.path)[first].to(x)
    if known.shape == x.shape and torch.allclose(x, known, rtol=1e-5, atol=1e-6):
        x = known

    def predict(x: Tensor, step: int, sigma: Tensor, guided: bool) -> Prediction:
        return guider.predict(x, step, sigma, guided, options, seed)

    def on_step(step: int, x0: Tensor, x: Tensor) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        if callback is not None:
            videos = {"x": as_video(x, trajectory.frames), "denoised": as_video(x0, trajectory.frames)}
            callback({"i": step - first, "sigma": sigmas[step - first], **videos})

    def ask_again(x: Tensor, step: int, sigma: Tensor) -> Tensor:
        return guider.conditional(x, sigma, options)

    windows = replace(schedule, dense=guider.schedule.dense, sparse=guider.schedule.sparse)
    region, blending = None, None
    if run.layout is not None and run.path is not None:
        region, blending = run.layout.support, blended(run, run.layout, run.path, hold)
    again = ask_again if guider.convention.fresh_travel else None
    levels, span = trajectory.sigmas.to(sigmas), (first, first + len(sigmas) - 1)
    x = run_edit(x, levels, predict, windows, region, seed or 0, on_step, blending, span, trajectory.noise_model, again)
    return as_video(x, trajectory.frames)


def blended(run: Run, layout: Layout, path: Tensor, hold: Hold) -> LatentBlending:
    """A run's latent blending: at first all that follows the edited trajectory is held, then what lies outside of the edits."""
    trajectory = run.pictures[0]
    shares = trajectory.noise_model.progress(trajectory.sigmas[:-1]).tolist()
    until = hold.object_until if any(edit.edits_trajectory for edit in layout.edits) else 0.0
    injected = injected_steps(shares, until)
    outside = hold.background * (1 - grown(layout.support, BLEND_MARGIN))
    all_but_free = torch.maximum(outside, 1 - grown(layout.uninjected, BLEND_MARGIN))
    weights = [all_but_free] * injected + [outside] * (len(shares) - injected)
    return LatentBlending(path, weights, hold.opens_at, injected, hold.fresh_noise and trajectory.renoised)


def run_sampling(
    guider: DragonGuidance,
    positive: Any,
    negative: Any,
    cfg: float,
    sampler: comfy.samplers.KSAMPLER,
    seed: int,
    callback: Callable[..., None] | None,
) -> Tensor:
    """The edit from the trajectory's start: latent (B, C, h, w) in ComfyUI's scale, on the CPU."""
    guider.set_branch_conds(positive, negative)
    guider.set_cfg(cfg)
    trajectory = guider.branch.trajectory
    start = guider.model_patcher.model.process_latent_out(as_video(trajectory.latents[0].clone(), trajectory.frames))
    result = guider.sample(torch.zeros_like(start), start, sampler, trajectory.sigmas.clone(), callback=callback, seed=seed)
    return result.cpu()
