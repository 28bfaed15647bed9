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
from ...dragon_core.diffusion.loop import LatentBlending, Prediction, run_edit
from ...dragon_core.diffusion.schedule import EditSchedule, injected_steps
from ...dragon_core.errors import DragonError
from ...dragon_core.imaging.masks import grown
from .guider import DragonGuidance

#: Latent cells around an edit that stay free when the background is held: room for soft edges and shadows.
BLEND_MARGIN = 1

Options = dict[str, Any]


class DragonEuler(comfy.samplers.Sampler):
    """The edit loop as a SAMPLER: DDIM with guidance in x0 only, time travel and regional SDE.

    fresh_noise: where the trajectory was renoised, each step sees it under another noise; regional SDE then has nothing to add.
    opens_at: see :class:`~dragon_core.diffusion.loop.LatentBlending`.
    """

    def __init__(
        self,
        schedule: EditSchedule,
        hold_background: float = 0.0,
        hold_object_until: float = 0.0,
        fresh_noise: bool = False,
        opens_at: float = 0.0,
    ) -> None:
        self.schedule = schedule
        self.hold_background = hold_background
        self.hold_object_until = hold_object_until
        self.fresh_noise = fresh_noise
        self.opens_at = opens_at

    @property
    def follows_path(self) -> bool:
        """Whether a run needs more of the edited trajectory than its start."""
        return self.hold_background > 0 or self.hold_object_until > 0 or self.fresh_noise

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: Options,
        callback: Callable[..., None] | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        if not isinstance(model_wrap, DragonGuidance):
            raise DragonError("DragonEulerSampler: works with DragonGuider's guider only; use the euler sampler with other guiders")
        guider, steps = model_wrap, len(sigmas) - 1
        run = guider.running()
        sampling = guider.inner_model.model_sampling
        x = as_pictures(sampling.noise_scaling(sigmas[0], noise, latent_image, self.max_denoise(model_wrap, sigmas)))
        options, seed = extra_args.get("model_options", {}), extra_args.get("seed")
        trajectory, first = run.pictures[0], run.first
        span = (first, first + steps)
        # On its way through ComfyUI's scale the start was rounded; a recorded picture is only repeated from the very one.
        known = (trajectory.latents if run.path is None else run.path)[span[0]].to(x)
        if known.shape == x.shape and torch.allclose(x, known, rtol=1e-5, atol=1e-6):
            x = known

        def predict(x: Tensor, step: int, sigma: Tensor, guided: bool) -> Prediction:
            return guider.predict(x, step, sigma, guided, options, seed)

        def on_step(step: int, x0: Tensor, x: Tensor) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            if callback is not None:
                callback(step - span[0], as_video(x0, trajectory.frames), as_video(x, trajectory.frames), steps)

        def ask_again(x: Tensor, step: int, sigma: Tensor) -> Tensor:
            return guider.conditional(x, sigma, options)

        windows = replace(self.schedule, dense=guider.schedule.dense, sparse=guider.schedule.sparse)
        region, blending = None, None
        if run.layout is not None and run.path is not None:
            region, free = run.layout.support, grown(run.layout.uninjected, BLEND_MARGIN)
            outside = self.hold_background * (1 - grown(region, BLEND_MARGIN))
            injected = self.hold_object_until if any(edit.edits_trajectory for edit in guider.edits) else 0.0
            shares = trajectory.noise_model.progress(trajectory.sigmas[:-1]).tolist()
            fresh_noise = self.fresh_noise and trajectory.renoised
            blending = LatentBlending(run.path, outside, injected_steps(shares, injected), free, self.opens_at, fresh_noise)
        again = ask_again if guider.convention.fresh_travel else None
        levels, noise_model = trajectory.sigmas.to(sigmas), trajectory.noise_model
        x = run_edit(x, levels, predict, windows, region, seed or 0, on_step, blending, span, noise_model, again)
        return sampling.inverse_noise_scaling(sigmas[-1], as_video(x, trajectory.frames))


def run_sampling(
    guider: DragonGuidance, positive: Any, negative: Any, cfg: float, sampler: DragonEuler, seed: int, callback: Callable[..., None] | None
) -> Tensor:
    """The edit from the trajectory's start: latent (B, C, h, w) in ComfyUI's scale, on the CPU."""
    guider.set_branch_conds(positive, negative)
    guider.set_cfg(cfg)
    trajectory = guider.branch.trajectory
    start = guider.model_patcher.model.process_latent_out(as_video(trajectory.latents[0].clone(), trajectory.frames))
    result = guider.sample(torch.zeros_like(start), start, sampler, trajectory.sigmas.clone(), callback=callback, seed=seed)
    return result.cpu()
