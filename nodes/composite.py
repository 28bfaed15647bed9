"""DragonComposite: the edited picture where something was edited, the source's own pixels everywhere else."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from einops import rearrange

from ..dragon_core.errors import DragonError
from .links import CATEGORY, named, stacked


class DragonComposite(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonComposite",
            display_name="Dragon Composite",
            category=CATEGORY,
            description=(
                "Puts the edited part back into the source picture. Everything else keeps the source's own pixels, which the VAE would "
                "blur a little."
            ),
            inputs=[
                io.Image.Input("image", tooltip="The edited picture, from VAEDecode."),
                io.Image.Input("source", tooltip="The picture it was made from."),
                io.Mask.Input("changed", tooltip="From DragonSampler or DragonGuider; any mask of what to take from the edited picture."),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The result, as large as the source.")],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, source: torch.Tensor, changed: torch.Tensor) -> io.NodeOutput:
        with named(cls):
            mask = stacked(changed)
            top, left = _offset(image, source)
            height, width = image.shape[1:3]
            if tuple(mask.shape[1:]) != (height, width):
                raise DragonError(f"the mask is {mask.shape[2]}×{mask.shape[1]} pixels, the edited picture {width}×{height}")
            rows = max(image.shape[0], source.shape[0], mask.shape[0])
            if any(part.shape[0] not in (1, rows) for part in (image, source, mask)):
                counts = f"{image.shape[0]} edited pictures, {source.shape[0]} sources and {mask.shape[0]} masks"
                raise DragonError(f"{counts} cannot be put together: use one of each, or as many")
            result = source[..., :3].expand(rows, -1, -1, -1).clone()
            part = result[:, top : top + height, left : left + width]
            weight = rearrange(mask, "b h w -> b h w 1").to(part)
            part += weight * (image[..., :3].to(part) - part)
        return io.NodeOutput(result)


def _offset(image: torch.Tensor, source: torch.Tensor) -> tuple[int, int]:
    """Where the edited picture lies in the source: a VAE crops what its cells cannot cover from both sides."""
    (height, width), (full_height, full_width) = image.shape[1:3], source.shape[1:3]
    if not (0 <= full_height - height < 64 and 0 <= full_width - width < 64):
        raise DragonError(
            f"the edited picture is {width}×{height}, the source {full_width}×{full_height}: connect the picture that was inverted"
        )
    return (full_height - height) // 2, (full_width - width) // 2
