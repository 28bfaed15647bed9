"""DragonContentLoss: hold a region, or everything that is not edited, as it was."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.primitives import Content, ContentElsewhere
from ..schema.energy_inputs import energy_input, energy_output
from ..schema.links import CATEGORY, named, searched_as, stacked


class DragonContentLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonContentLoss",
            display_name="Dragon Content Loss",
            category=CATEGORY,
            **searched_as("keep background", "preserve"),
            description="Holds what the mask covers as it was; without a mask, everything that no other energy edits.",
            inputs=[
                io.Float.Input("weight", default=6.0, min=0.0, max=100.0, step=0.05, tooltip="Strength, beside the other energies'."),
                io.Mask.Input(
                    "mask", optional=True, tooltip="White over what should stay, as large as the picture. None: all that is not edited."
                ),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(cls, weight: float, mask: torch.Tensor | None = None, energy: Chain = ()) -> io.NodeOutput:
        with named(cls):
            primitive = ContentElsewhere(weight) if mask is None else Content(stacked(mask), weight)
        return io.NodeOutput((*(energy or ()), primitive))
