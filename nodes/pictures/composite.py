"""DragonComposite: the edited picture where something was edited, the source's own pixels everywhere else."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from einops import rearrange

from ...dragon_core.errors import DragonError
from ...dragon_core.imaging import vae_residual
from ..schema.links import CATEGORY, advanced, named, pictures, searched_as, stacked


class DragonComposite(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonComposite",
            display_name="Dragon Composite",
            category=CATEGORY,
            **searched_as("paste back", "stitch", "blend", "detail"),
            description=(
                "Puts the edited part back into the source picture. Everything else keeps the source's own pixels, which the VAE would "
                "blur a little. With a draft it also gives back the detail that the VAE took from the edited part."
            ),
            inputs=[
                io.Image.Input("image", tooltip="The edited picture, from VAEDecode."),
                io.Image.Input("source", tooltip="The picture it was made from."),
                io.Mask.Input("changed", tooltip="From DragonSampler or DragonGuider; any mask of what to take from the edited picture."),
                io.Image.Input(
                    "draft",
                    optional=True,
                    tooltip="DragonDraft's picture: what the VAE loses of it is given back where the edit shows the same. Needs vae.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The VAE that decoded the edited picture, to see what it loses of the draft."),
                advanced(
                    io.Float.Input(
                        "detail",
                        default=1.0,
                        min=0.0,
                        max=1.0,
                        step=0.05,
                        optional=True,
                        tooltip="How much of the draft's lost detail is given back. 0 takes the edited picture as the VAE decoded it.",
                    )
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The result, as large as the source.")],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        source: torch.Tensor,
        changed: torch.Tensor,
        draft: torch.Tensor | None = None,
        vae: Any = None,
        detail: float = 1.0,
    ) -> io.NodeOutput:
        with named(cls):
            image, source = pictures(image, "the edited picture"), pictures(source, "the source")
            draft = None if draft is None else pictures(draft, "the draft")
            mask = stacked(changed)
            if mask.ndim != 3 or not mask.numel():
                raise DragonError(f"changed must have shape (masks, height, width), got {tuple(mask.shape)}")
            top, left = _offset(image, source)
            height, width = image.shape[1:3]
            if tuple(mask.shape[1:]) != (height, width):
                raise DragonError(f"the mask is {mask.shape[2]}×{mask.shape[1]} pixels, the edited picture {width}×{height}")
            rows = max(image.shape[0], source.shape[0], mask.shape[0])
            if any(part.shape[0] not in (1, rows) for part in (image, source, mask)):
                counts = f"{image.shape[0]} edited pictures, {source.shape[0]} sources and {mask.shape[0]} masks"
                raise DragonError(f"{counts} cannot be put together: use one of each, or as many")
            if draft is not None and detail > 0:
                image = _with_detail(image, draft, vae, detail)
            result = source[..., :3].expand(rows, -1, -1, -1).clone()
            part = result[:, top : top + height, left : left + width]
            weight = rearrange(mask, "b h w -> b h w 1").to(part)
            part += weight * (image[..., :3].to(part) - part)
        return io.NodeOutput(result)


def _with_detail(image: torch.Tensor, draft: torch.Tensor, vae: Any, strength: float) -> torch.Tensor:
    """The edited picture (B, H, W, 3) with what ``vae`` loses of the draft."""
    if vae is None:
        raise DragonError("a draft is connected but no vae: connect the VAE that decoded the edited picture, or take the draft away")
    if draft.shape[0] not in (1, image.shape[0]):
        raise DragonError(f"{draft.shape[0]} drafts do not fit {image.shape[0]} edited pictures: use one, or as many")
    top, left = _offset(image, draft, "the draft")
    height, width = image.shape[1:3]
    drafted = draft[:, top : top + height, left : left + width, :3]
    round_trip = vae.decode(vae.encode(drafted))[..., :3]
    edited, before, after = (rearrange(each[..., :3].float().cpu(), "b h w c -> b c h w") for each in (image, drafted, round_trip))
    return rearrange(vae_residual.add_vae_residual(edited, before, after, strength), "b c h w -> b h w c")


def _offset(image: torch.Tensor, full: torch.Tensor, name: str = "the source") -> tuple[int, int]:
    """Where the edited picture lies in a full one: a VAE crops what its cells cannot cover from both sides."""
    (height, width), (full_height, full_width) = image.shape[1:3], full.shape[1:3]
    if not (0 <= full_height - height < 64 and 0 <= full_width - width < 64):
        sizes = f"the edited picture is {width}×{height}, {name} {full_width}×{full_height}"
        raise DragonError(f"{sizes}: connect the picture that was inverted")
    return (full_height - height) // 2, (full_width - width) // 2
