"""DragonContrastLoss: push a region away from what was there."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.primitives import Contrast
from ..schema.energy_inputs import energy_input, energy_output
from ..schema.links import CATEGORY, named, searched_as, stacked


class DragonContrastLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonContrastLoss",
            display_name="Dragon Contrast Loss",
            category=CATEGORY,
            **searched_as("push away"),
            description="Pushes what the mask covers away from what was there; what comes instead is Dragon Inpaint Loss's matter.",
            inputs=[
                io.Mask.Input("mask", tooltip="White over what should not be there any more, as large as the picture."),
                io.Float.Input("weight", default=0.2, min=0.0, max=100.0, step=0.05, tooltip="Strength, beside the other energies'."),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(cls, mask: torch.Tensor, weight: float, energy: Chain = ()) -> io.NodeOutput:
        with named(cls):
            primitive = Contrast(stacked(mask), weight)
        return io.NodeOutput((*(energy or ()), primitive))
