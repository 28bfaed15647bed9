"""DragonUncrop: what was edited on a crop, back in the large picture, with the large picture's own sharp pixels."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from einops import rearrange

from ...dragon_core.diffusion.features import NO_REFERENCE
from ...dragon_core.edits.crop import Crop, uncropped
from ...dragon_core.errors import DragonError
from ..schema.links import CATEGORY, CropLink, changed_masks, named, planes, searched_as


class DragonUncrop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonUncrop",
            display_name="Dragon Uncrop",
            category=CATEGORY,
            **searched_as("large picture", "high resolution", "stitch", "paste back", "megapixel"),
            description=(
                "Brings what was edited on Dragon Crop's crop back into the large picture. What was moved has the large picture's own "
                "pixels, as sharp as they are; light, shadows and what had to be made up are the edited crop's. All other pixels stay."
            ),
            inputs=[
                CropLink.Input("crop", tooltip="From Dragon Crop."),
                io.Image.Input("image", tooltip="The edited crop: from Dragon Composite, or from VAEDecode."),
                io.Mask.Input(
                    "changed",
                    optional=True,
                    tooltip="Where the edited crop may differ, from DragonSampler. Without it anywhere in the crop, for shadows.",
                ),
                io.Image.Input("reference", optional=True, tooltip="The second picture, for paste and appearance, if DragonCrop has none."),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The result, as large as the picture that was cropped.")],
        )

    @classmethod
    def execute(
        cls, crop: Crop, image: torch.Tensor, changed: torch.Tensor | None = None, reference: torch.Tensor | None = None
    ) -> io.NodeOutput:
        with named(cls):
            edited = planes(image, "the edited crop")
            height, width = crop.window.size
            _check_size(edited, (height, width), "the edited crop")
            counts = {"edited crops": len(edited), "pictures": len(crop.picture)}
            mask = None if changed is None else changed_masks(changed).float()
            if mask is not None:
                _check_size(mask, (height, width), "changed")
                counts["masks"] = len(mask)
            second = None if reference is None else planes(reference, "the reference")
            if second is not None:
                counts["references"] = len(second)
            elif crop.reference is None and any(edit.needs_reference for edit in crop.edits):
                raise DragonError(NO_REFERENCE)
            if any(count not in (1, max(counts.values())) for count in counts.values()):
                told = ", ".join(f"{count} {name}" for name, count in counts.items())
                raise DragonError(f"{told} cannot be put together: use one of each, or as many")
            return io.NodeOutput(rearrange(uncropped(crop, edited, mask, second), "b c h w -> b h w c"))


def _check_size(values: torch.Tensor, size: tuple[int, int], name: str) -> None:
    (h, w), (height, width) = values.shape[-2:], size
    if (h, w) != (height, width):
        raise DragonError(f"{name} is {w}×{h} pixels, the crop {width}×{height}: connect what was made of Dragon Crop's image")
