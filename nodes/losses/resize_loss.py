"""DragonResizeLoss: make the masked object larger or smaller, turn it, move it."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.move import MoveWeights, StartLatent
from ...dragon_core.edits.resize import resize
from ...dragon_core.imaging.mask_checks import warn_of_ground
from ..schema.energy_inputs import energy_input, energy_output, weight
from ..schema.links import CATEGORY, advanced, named, searched_as, stacked


class DragonResizeLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        weights = MoveWeights()

        def shift(name: str, tooltip: str) -> io.Int.Input:
            return advanced(io.Int.Input(name, default=0, min=-8192, max=8192, tooltip=tooltip))

        return io.Schema(
            node_id="DragonResizeLoss",
            display_name="Dragon Resize Loss",
            category=CATEGORY,
            **searched_as("resize object", "scale object", "rotate object", "enlarge", "shrink"),
            description="Makes what the mask covers larger or smaller about its middle; can also stretch, turn and move it.",
            inputs=[
                io.Mask.Input("mask", tooltip="White over the object (with its shadow), as large as the picture."),
                io.Float.Input(
                    "scale", default=1.4, min=0.1, max=10.0, step=0.05, tooltip="How many times as large the object becomes; 0.5 is half."
                ),
                advanced(
                    io.Float.Input(
                        "scale_y",
                        default=0.0,
                        min=0.0,
                        max=10.0,
                        step=0.05,
                        tooltip="How many times as high, where that differs: scale is the width's then. 0 keeps the proportions.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "rotation", default=0.0, min=-360.0, max=360.0, step=1.0, tooltip="Degrees clockwise; negative is the other way."
                    )
                ),
                shift("dx", "Pixels to the right that its middle moves; negative is left."),
                shift("dy", "Pixels down that its middle moves; negative is up."),
                weight("w_edit", weights.edit, "Pull of the object towards its new look."),
                weight("w_content", weights.content, "How strongly everything else is held as it was."),
                weight("w_contrast", weights.contrast, "Push of what is uncovered away from what was there."),
                weight("w_inpaint", weights.inpaint, "Pull of what is uncovered towards the look of the background."),
                advanced(
                    io.Combo.Input(
                        "start_latent",
                        options=["noise", "keep", "off"],
                        default="noise",
                        tooltip=(
                            "Start noise: the object's noise goes along, and what it uncovers gets fresh noise (noise) or keeps its own "
                            "(keep). off leaves the start as it is."
                        ),
                    )
                ),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(
        cls,
        mask: torch.Tensor,
        scale: float,
        scale_y: float,
        rotation: float,
        dx: int,
        dy: int,
        w_edit: float,
        w_content: float,
        w_contrast: float,
        w_inpaint: float,
        start_latent: StartLatent,
        energy: Chain = (),
    ) -> io.NodeOutput:
        with named(cls):
            mask = stacked(mask)
            weights = MoveWeights(w_edit, w_content, w_contrast, w_inpaint)
            edit = resize(mask, (scale, scale_y or scale), rotation, (dx, dy), weights, start_latent)
            warn_of_ground(mask)
        return io.NodeOutput((*(energy or ()), edit))
