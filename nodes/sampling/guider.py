"""DragonGuider: the edit's guidance as a GUIDER for SamplerCustomAdvanced."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor
from typing_extensions import override

from ...dragon_core.diffusion.trajectory import Branch
from ...dragon_core.edits.chain import Chain
from ..host.guider import DragonGuidance
from ..schema.guidance_inputs import (
    RESIDUAL,
    ScaleUnit,
    branch_inputs,
    draft_input,
    energy_input,
    guidance_windows,
    residual_input,
    strength_inputs,
)
from ..schema.links import CATEGORY, named, searched_as


class NamedGuidance(DragonGuidance):
    """The guidance as SamplerCustomAdvanced runs it: errors name the node that the guider came from."""

    @override
    def sample(self, *args: Any, **kwargs: Any) -> Tensor:
        with named(DragonGuider):
            return super().sample(*args, **kwargs)


class DragonGuider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonGuider",
            display_name="Dragon Guider",
            category=CATEGORY,
            **searched_as("energy guidance", "DragonDiffusion", "DiffEditor"),
            description=(
                "For SamplerCustomAdvanced with DisableNoise, DragonInvert's sigmas and start_latent, and DragonEulerSampler "
                "(or another one that asks the model once a step, such as euler)."
            ),
            inputs=[*branch_inputs(), *strength_inputs(), residual_input(), energy_input(), draft_input()],
            outputs=[
                io.Guider.Output(display_name="guider", tooltip="For SamplerCustomAdvanced."),
                io.Mask.Output(display_name="changed", tooltip="Where the picture may change, for DragonComposite."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        branch: Branch,
        cfg: float,
        energy_scale: float,
        scale_unit: ScaleUnit,
        guide_every_until: float,
        guide_until: float,
        residual: float = RESIDUAL,
        energy: Chain = (),
        draft: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        with named(cls):
            windows = guidance_windows(guide_every_until, guide_until)
            start = draft["samples"] if draft else None
            guider = NamedGuidance(model, branch, energy or (), energy_scale, windows, scale_unit == "paper", start, residual)
            guider.set_branch_conds(positive, negative)
            guider.set_cfg(cfg)
        return io.NodeOutput(guider, guider.changed())
