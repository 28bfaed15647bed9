"""DragonInpaintLoss: fill a region with the look of its surroundings, or of another region."""

from __future__ import annotations

from typing import get_args

import torch
from comfy_api.latest import io

from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.primitives import HoleStart, Inpaint
from ...dragon_core.imaging.mask_checks import warn_of_ground
from ..schema.energy_inputs import energy_input, energy_output
from ..schema.links import CATEGORY, advanced, named, searched_as, stacked


class DragonInpaintLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonInpaintLoss",
            display_name="Dragon Inpaint Loss",
            category=CATEGORY,
            **searched_as("remove object", "erase object", "fill"),
            description="Fills what the mask covers with the look of what lies around it, or of a region you mark: takes objects away.",
            inputs=[
                io.Mask.Input("mask", tooltip="White over what should be filled (an object with its shadow), as large as the picture."),
                io.Float.Input("weight", default=0.8, min=0.0, max=100.0, step=0.05, tooltip="Strength, beside the other energies'."),
                advanced(
                    io.Combo.Input(
                        "start_latent",
                        options=list(get_args(HoleStart)),
                        default=Inpaint.start,
                        tooltip="What the place starts from: its surroundings under fresh noise (noise), or what was there (keep).",
                    )
                ),
                io.Mask.Input("fill", optional=True, tooltip="White over what it should look like. None: what lies around it."),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(
        cls,
        mask: torch.Tensor,
        weight: float,
        start_latent: HoleStart,
        fill: torch.Tensor | None = None,
        energy: Chain = (),
    ) -> io.NodeOutput:
        with named(cls):
            primitive = Inpaint(stacked(mask), weight, None if fill is None else stacked(fill), start_latent)
            warn_of_ground(primitive.mask)
        return io.NodeOutput((*(energy or ()), primitive))
