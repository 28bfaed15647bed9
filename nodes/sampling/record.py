"""DragonRecord: makes a picture as KSampler does, and keeps its trajectory."""

from __future__ import annotations

from typing import Any

import comfy.samplers
import latent_preview
import torch
from comfy_api.latest import io

from ...dragon_core.diffusion.trajectory import check_falling
from ...dragon_core.errors import DragonError
from ..host.model import require_supported, schedule_sigmas
from ..host.record import record_sampling
from ..schema.links import CATEGORY, TrajectoryLink, advanced, named, searched_as


class DragonRecord(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonRecord",
            display_name="Dragon Record",
            category=CATEGORY,
            **searched_as("generate then edit", "KSampler"),
            description=(
                "Makes a picture from a prompt, as KSampler with euler does, and keeps every stage: an edit of it needs no inversion "
                "and follows the picture exactly."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model that makes the picture and edits it, without DragonCrossAttnPatch."),
                io.Conditioning.Input("positive", tooltip="What the picture shows."),
                io.Conditioning.Input("negative", tooltip="What it does not. Connect the same to DragonSampler."),
                io.Latent.Input("latent", tooltip="An empty latent of the picture's size."),
                io.Int.Input(
                    "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True, tooltip="Another seed, another picture."
                ),
                io.Int.Input("steps", default=20, min=1, max=1000, tooltip="Steps of the schedule; the edit uses the same."),
                io.Float.Input(
                    "cfg",
                    default=4.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="How closely to follow the prompt. Set DragonSampler's cfg to the same.",
                ),
                advanced(
                    io.Combo.Input(
                        "scheduler", options=list(comfy.samplers.SCHEDULER_NAMES), default="normal", tooltip="Spacing of the noise levels."
                    )
                ),
                io.Sigmas.Input("sigmas", optional=True, tooltip="A schedule of your own; replaces steps and scheduler. Must end at 0."),
            ],
            outputs=[
                TrajectoryLink.Output(display_name="trajectory", tooltip="The picture at every noise level, for DragonGuidanceBranch."),
                io.Latent.Output(display_name="latent", tooltip="The picture, for VAEDecode."),
                io.Latent.Output(display_name="start_latent", tooltip="The noisiest level, for SamplerCustomAdvanced."),
                io.Sigmas.Output(display_name="sigmas", tooltip="The schedule, for SamplerCustomAdvanced."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        latent: Any,
        seed: int,
        steps: int,
        cfg: float,
        scheduler: str,
        sigmas: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        with named(cls):
            require_supported(model)
            levels = schedule_sigmas(model, scheduler, steps) if sigmas is None else sigmas.cpu()
            if len(levels) < 2 or float(levels[-1]) != 0.0:
                raise DragonError("recording needs a schedule of at least one step that ends at sigma 0: give it more SIGMAS")
            check_falling(levels)
            if latent.get("noise_mask") is not None:
                raise DragonError("the latent has a noise mask, which an edit could not retrace: connect an empty latent")
            callback = latent_preview.prepare_callback(model, len(levels) - 1)
            trajectory, samples = record_sampling(model, positive, negative, cfg, latent, levels, seed, callback)
            start = model.model.process_latent_out(trajectory.latents[0].clone())
        return io.NodeOutput(trajectory, {"samples": samples}, {"samples": start}, levels)
