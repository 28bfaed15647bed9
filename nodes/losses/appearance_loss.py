"""DragonAppearanceLoss: give an object the look of another picture's object."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ...dragon_core.edits.appearance import Appearance, AppearanceWeights
from ...dragon_core.edits.chain import Chain
from ..schema.energy_inputs import energy_input, energy_output, weight
from ..schema.links import CATEGORY, named, searched_as, stacked


class DragonAppearanceLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        weights = AppearanceWeights()

        return io.Schema(
            node_id="DragonAppearanceLoss",
            display_name="Dragon Appearance Loss",
            category=CATEGORY,
            **searched_as("replace appearance", "texture transfer", "style transfer", "recolour"),
            description=(
                "The object keeps its shape and takes the look of an object in a second picture. That picture's trajectory goes to "
                "DragonGuidanceBranch's reference."
            ),
            inputs=[
                io.Mask.Input("mask", tooltip="White over the object that changes (without its shadow), as large as your picture."),
                io.Mask.Input(
                    "reference_mask", tooltip="White over the object whose look is wanted, in the second picture and as large as it."
                ),
                io.Float.Input(
                    "transfer",
                    default=Appearance.transfer,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "How much of the reference's colours the object starts with; guidance and attention do the rest. 0 leaves all to "
                        "them, as in the paper."
                    ),
                ),
                weight("w_edit", weights.edit, "Pull of the object's look towards the reference's."),
                weight("w_content", weights.content, "How strongly everything else is held as it was."),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(
        cls,
        mask: torch.Tensor,
        reference_mask: torch.Tensor,
        transfer: float,
        w_edit: float,
        w_content: float,
        energy: Chain = (),
    ) -> io.NodeOutput:
        with named(cls):
            own, theirs = stacked(mask), stacked(reference_mask)
            appearance = Appearance(own, theirs, AppearanceWeights(w_edit, w_content), transfer)
        return io.NodeOutput((*(energy or ()), appearance))
