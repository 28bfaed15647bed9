"""DragonSampler: the whole edit in one node."""

from __future__ import annotations

from typing import Any

import latent_preview
from comfy_api.latest import io

from ...dragon_core.diffusion.trajectory import Branch
from ...dragon_core.edits.chain import Chain
from ..host.guider import DragonGuidance
from ..host.samplers import dragon_euler, run_sampling
from ..schema.guidance_inputs import (
    branch_inputs,
    draft_input,
    energy_input,
    openness_inputs,
    residual_input,
    stochastic_inputs,
    strength_inputs,
)
from ..schema.links import CATEGORY, ReadingsLink, named, searched_as
from ..schema.presets import LATER, WIDGETS, Settings, chosen, plain_features_input, preset_input


class DragonSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonSampler",
            display_name="Dragon Sampler",
            category=CATEGORY,
            **searched_as("drag", "move object", "DragonDiffusion", "DiffEditor"),
            description=(
                "Samples the edited picture: starts where the source started, steered by the energies. Steps and schedule are "
                "the trajectory's."
            ),
            inputs=[
                *branch_inputs(),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Noise for the object's old place and for regional SDE.",
                ),
                *strength_inputs(),
                *stochastic_inputs(),
                preset_input(),
                residual_input(),
                plain_features_input(),
                *openness_inputs(),
                energy_input(),
                draft_input(),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The edited picture, for VAEDecode."),
                io.Mask.Output(display_name="changed", tooltip="Where the picture may have changed, for DragonComposite."),
                ReadingsLink.Output(display_name="readings", tooltip="The energies over the steps, for DragonPreview."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        branch: Branch,
        seed: int,
        cfg: float,
        energy_scale: float,
        preset: str = WIDGETS,
        plain_features: bool = False,
        energy: Chain = (),
        draft: dict[str, Any] | None = None,
        **widgets: Any,
    ) -> io.NodeOutput:
        with named(cls):
            use = chosen(preset, Settings(**{**LATER, **widgets}), energy_scale, plain_features)
            start = draft["samples"] if draft else None
            paper = use.scale_unit == "paper"
            guider = DragonGuidance(model, branch, energy or (), energy_scale, use.windows, paper, start, use.residual, use.convention)
            euler = dragon_euler(use.schedule, use.hold)
            callback = latent_preview.prepare_callback(model, branch.trajectory.steps)
            samples = run_sampling(guider, positive, negative, cfg, euler, seed, callback)
        return io.NodeOutput({"samples": samples}, guider.changed(), tuple(guider.readings))
