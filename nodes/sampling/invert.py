"""DragonInvert: a picture's latent → its diffusion trajectory."""

from __future__ import annotations

from typing import Any

import comfy.samplers
import latent_preview
import torch
from comfy_api.latest import io

from ...dragon_core.diffusion.trajectory import check_falling
from ...dragon_core.errors import DragonError
from ..host.inversion import invert_latent, renoise_latent
from ..host.model import require_supported, schedule_sigmas
from ..schema.links import CATEGORY, TrajectoryLink, advanced, named, searched_as


class DragonInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonInvert",
            display_name="Dragon Invert",
            category=CATEGORY,
            **searched_as("inversion", "DDIM inversion", "unsampler", "DragonDiffusion"),
            description=(
                "Retraces how the model would have made a picture. Depends on picture and prompt only: changing the edit does "
                "not run it again."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model you will sample with, without DragonCrossAttnPatch."),
                io.Conditioning.Input("positive", tooltip="A prompt that describes the picture as it is."),
                io.Latent.Input("latent", tooltip="The picture, encoded with VAEEncode."),
                io.Int.Input(
                    "steps", default=40, min=1, max=1000, tooltip="Steps of the schedule; the edit uses the same. The paper takes 50."
                ),
                advanced(
                    io.Combo.Input(
                        "scheduler", options=list(comfy.samplers.SCHEDULER_NAMES), default="normal", tooltip="Spacing of the noise levels."
                    )
                ),
                advanced(
                    io.Int.Input(
                        "refinement",
                        default=1,
                        min=0,
                        max=10,
                        tooltip=(
                            "Extra evaluations per step that make the inversion nearly exact. 1 doubles its time; 0 is plain DDIM, enough "
                            "for most edits."
                        ),
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "method",
                        options=["renoise", "ddim"],
                        default="renoise",
                        optional=True,
                        tooltip=(
                            "renoise: the picture under noise, at once; DragonSampler adds what the model does not know of it. ddim: the "
                            "papers' inversion, two evaluations a step."
                        ),
                    )
                ),
                advanced(
                    io.Int.Input(
                        "seed",
                        default=0,
                        min=0,
                        max=0xFFFFFFFFFFFFFFFF,
                        control_after_generate=False,
                        optional=True,
                        tooltip="The noise of renoise. Another one is another try.",
                    )
                ),
                io.Sigmas.Input("sigmas", optional=True, tooltip="A schedule of your own; replaces steps and scheduler. Must end at 0."),
            ],
            outputs=[
                TrajectoryLink.Output(display_name="trajectory", tooltip="The picture at every noise level."),
                io.Latent.Output(display_name="start_latent", tooltip="The noisiest level: sampling from it gives the picture back."),
                io.Sigmas.Output(display_name="sigmas", tooltip="The schedule, for SamplerCustomAdvanced."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        latent: Any,
        steps: int,
        scheduler: str,
        refinement: int,
        method: str = "renoise",
        seed: int = 0,
        sigmas: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        with named(cls):
            require_supported(model)
            levels = schedule_sigmas(model, scheduler, steps) if sigmas is None else sigmas.cpu()
            if len(levels) < 2 or float(levels[-1]) != 0:
                raise DragonError("inversion needs a schedule of at least one step that ends at sigma 0: give it more SIGMAS")
            check_falling(levels)
            if latent.get("noise_mask") is not None:
                raise DragonError("the latent has a noise mask, which inversion cannot use: connect VAEEncode without SetLatentNoiseMask")
            if method == "renoise":
                trajectory, start = renoise_latent(model, positive, latent["samples"], levels, seed)
                return io.NodeOutput(trajectory, {"samples": start}, levels)
            callback = latent_preview.prepare_callback(model, len(levels) - 1)
            trajectory, start = invert_latent(model, positive, latent["samples"], levels, refinement, callback)
        return io.NodeOutput(trajectory, {"samples": start}, levels)
