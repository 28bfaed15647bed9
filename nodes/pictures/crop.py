"""DragonCrop: of a large picture the part around an edit, at the size that the model works in, and the edit on it."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from comfy_execution.graph import ExecutionBlocker
from einops import rearrange

from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.crop import crop_for, edits_in
from ..schema.links import CATEGORY, CropLink, EnergyLink, named, planes, searched_as


class DragonCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonCrop",
            display_name="Dragon Crop",
            category=CATEGORY,
            **searched_as("large picture", "high resolution", "crop and stitch", "zoom in", "megapixel"),
            description=(
                "For pictures larger than the model's: takes what lies around the edit, at the model's size. The edit is made on that "
                "crop, and Dragon Uncrop brings it back into the picture. A picture that is no larger goes through as it is."
            ),
            inputs=[
                io.Image.Input("image", tooltip="The picture to edit, of any size."),
                EnergyLink.Input("energy", tooltip="The edit, drawn on this picture: from an energy node such as DragonMoveLoss."),
                io.Int.Input(
                    "side",
                    default=512,
                    min=64,
                    max=4096,
                    step=16,
                    tooltip="The model's size in pixels: 512 for SD 1.5, 1024 for SDXL and larger models, 256 for the bundled one.",
                ),
                io.Float.Input(
                    "surroundings",
                    default=0.5,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How much the crop shows on each side of the edit, as a share of the edit's size. Shadows need room, too.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="The second picture, for paste and appearance, of any size: what lies around what is taken there.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The crop: to VAEEncode, Dragon Draft and Dragon Composite."),
                EnergyLink.Output(display_name="energy", tooltip="The edit on the crop: to the sampler, the draft and the composite."),
                CropLink.Output(display_name="crop", tooltip="Where the crop lies: to Dragon Uncrop."),
                io.Image.Output(display_name="reference", tooltip="What is taken of the second picture: to its VAEEncode and the draft."),
            ],
        )

    @classmethod
    def execute(
        cls, image: torch.Tensor, energy: Chain, side: int = 512, surroundings: float = 0.5, reference: torch.Tensor | None = None
    ) -> io.NodeOutput:
        with named(cls):
            picture, second = planes(image), None if reference is None else planes(reference, "the reference")
            crop = crop_for(energy or (), picture, side, surroundings, second)
            part = rearrange(crop.window.taken(picture), "b c h w -> b h w c")
            taken: torch.Tensor | ExecutionBlocker = ExecutionBlocker("DragonCrop: there is no second picture: connect it to reference")
            if second is not None and crop.reference_window is not None:
                taken = rearrange(crop.reference_window.taken(second), "b c h w -> b h w c")
            return io.NodeOutput(part, edits_in(crop), crop, taken)
