"""DragonMoveLoss: put the masked object somewhere else."""

from __future__ import annotations

from typing import get_args

import torch
from comfy_api.latest import io

from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.move import Move, MoveWeights, StartLatent
from ...dragon_core.imaging.affine import AffineWarp
from ..schema.energy_inputs import energy_input, energy_output, weight
from ..schema.links import CATEGORY, advanced, named, searched_as, stacked


class DragonMoveLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        weights = MoveWeights()

        return io.Schema(
            node_id="DragonMoveLoss",
            display_name="Dragon Move Loss",
            category=CATEGORY,
            **searched_as("move object", "drag", "DragonDiffusion"),
            description="Moves what the mask covers by dx, dy pixels. Chain several to move several objects in one run.",
            inputs=[
                io.Mask.Input("mask", tooltip="White over the object (with its shadow), as large as the picture."),
                io.Int.Input("dx", default=64, min=-8192, max=8192, tooltip="Pixels to the right; negative is left."),
                io.Int.Input("dy", default=0, min=-8192, max=8192, tooltip="Pixels down; negative is up."),
                weight("w_edit", weights.edit, "Pull of the object towards its new place."),
                weight("w_content", weights.content, "How strongly everything else is held as it was."),
                weight("w_contrast", weights.contrast, "Push of the old place away from what was there."),
                weight("w_inpaint", weights.inpaint, "Pull of the old place towards the look of the background."),
                advanced(
                    io.Combo.Input(
                        "start_latent",
                        options=list(get_args(StartLatent)),
                        default=Move.start,
                        tooltip=(
                            "Start noise: the object's noise moves along, and its old place gets noise from where it goes (swap), fresh "
                            "noise (noise), or keeps its own (keep). off leaves the start as it is."
                        ),
                    )
                ),
                advanced(
                    io.Mask.Input(
                        "fill",
                        optional=True,
                        tooltip="White over what the old place should come to look like, in your picture. Without one: what is near it.",
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
        dx: int,
        dy: int,
        w_edit: float,
        w_content: float,
        w_contrast: float,
        w_inpaint: float,
        start_latent: StartLatent,
        fill: torch.Tensor | None = None,
        energy: Chain = (),
    ) -> io.NodeOutput:
        with named(cls):
            mask = stacked(mask)
            shift = AffineWarp(image_size=(mask.shape[-2], mask.shape[-1]), shift=(dx, dy))
            weights = MoveWeights(w_edit, w_content, w_contrast, w_inpaint)
            move = Move(mask, shift, weights, start_latent, None if fill is None else stacked(fill))
        return io.NodeOutput((*(energy or ()), move))
