"""DragonPasteLoss: put an object of a second picture into this one."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.paste import Paste, PasteWeights
from ..schema.energy_inputs import energy_input, energy_output, weight
from ..schema.links import CATEGORY, advanced, named, searched_as, stacked


class DragonPasteLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        weights = PasteWeights()

        return io.Schema(
            node_id="DragonPasteLoss",
            display_name="Dragon Paste Loss",
            category=CATEGORY,
            **searched_as("paste object", "insert object", "object from another picture"),
            description=(
                "Pastes what the mask covers in a second picture, at a place and size of your choice. The second picture's trajectory "
                "goes to DragonGuidanceBranch's reference."
            ),
            inputs=[
                io.Mask.Input(
                    "reference_mask", tooltip="White over the object (with its shadow) in the second picture, and as large as it."
                ),
                io.Float.Input(
                    "x",
                    default=128.0,
                    min=-16384.0,
                    max=16384.0,
                    step=1.0,
                    round=False,
                    tooltip="Where the object's middle goes: pixels from the left edge of your picture.",
                ),
                io.Float.Input(
                    "y",
                    default=128.0,
                    min=-16384.0,
                    max=16384.0,
                    step=1.0,
                    round=False,
                    tooltip="Where the object's middle goes: pixels from the top of your picture.",
                ),
                io.Float.Input("scale", default=1.0, min=0.05, max=20.0, step=0.05, tooltip="Its size: 1 keeps it, pixel for pixel."),
                advanced(
                    io.Float.Input(
                        "rotation", default=0.0, min=-360.0, max=360.0, step=1.0, tooltip="Degrees clockwise that the object is turned."
                    )
                ),
                weight("w_edit", weights.edit, "Pull of the place towards the object."),
                weight("w_content", weights.content, "How strongly everything else is held as it was."),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(
        cls,
        reference_mask: torch.Tensor,
        x: float,
        y: float,
        scale: float,
        rotation: float,
        w_edit: float,
        w_content: float,
        energy: Chain = (),
    ) -> io.NodeOutput:
        with named(cls):
            paste = Paste(stacked(reference_mask), (x, y), scale, rotation, PasteWeights(w_edit, w_content))
        return io.NodeOutput((*(energy or ()), paste))
