"""DragonComposite: the draft's pixels in the light of the edited picture, the source's own where nothing changed."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from einops import rearrange

from ...dragon_core.edits import chain
from ...dragon_core.edits.chain import Chain
from ...dragon_core.errors import DragonError
from ...dragon_core.imaging.light_transfer import transfer_light
from ...dragon_core.imaging.mask_checks import kept_part
from ...dragon_core.imaging.windows import Part
from ..schema.links import CATEGORY, EnergyLink, advanced, changed_masks, named, pictures, searched_as

#: Of a channel in [0, 1], half a step of 8 bits: by more, the draft differs from the source.
DIFFERENT = 1 / 512


class DragonComposite(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonComposite",
            display_name="Dragon Composite",
            category=CATEGORY,
            **searched_as("paste back", "stitch", "blend", "detail"),
            description=(
                "Puts the edit into the source picture, whose other pixels stay as they are. With a draft, pixels are the draft's, which "
                "no VAE has blurred; light, shadows, and what the draft had to make up are the model's."
            ),
            inputs=[
                io.Image.Input("image", tooltip="The edited picture, from VAEDecode."),
                io.Image.Input("source", tooltip="The picture it was made from."),
                io.Mask.Input("changed", tooltip="From DragonSampler or DragonGuider; any mask of what to take from the edited picture."),
                io.Image.Input(
                    "draft",
                    optional=True,
                    tooltip="DragonDraft's picture: the result has its sharp pixels, in the light the model gives them. Needs vae.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The VAE that decoded the edited picture, to see what it loses of the draft."),
                EnergyLink.Input(
                    "energy",
                    optional=True,
                    tooltip="The edit: tells what the draft put somewhere from what it made up, which is taken from the model.",
                ),
                advanced(
                    io.Float.Input(
                        "detail",
                        default=1.0,
                        min=0.0,
                        max=1.0,
                        step=0.05,
                        optional=True,
                        tooltip="1: the draft's own pixels, lit by the model. 0: the edited picture as the VAE decoded it.",
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
        energy: Chain = (),
        detail: float = 1.0,
    ) -> io.NodeOutput:
        with named(cls):
            image, source = pictures(image, "the edited picture"), pictures(source, "the source")
            draft = None if draft is None else pictures(draft, "the draft")
            mask = changed_masks(changed)
            rows, columns = _kept(image, source)
            height, width = image.shape[1:3]
            if tuple(mask.shape[1:]) != (height, width):
                raise DragonError(f"the mask is {mask.shape[2]}×{mask.shape[1]} pixels, the edited picture {width}×{height}")
            count = max(image.shape[0], source.shape[0], mask.shape[0])
            if any(part.shape[0] not in (1, count) for part in (image, source, mask)):
                counts = f"{image.shape[0]} edited pictures, {source.shape[0]} sources and {mask.shape[0]} masks"
                raise DragonError(f"{counts} cannot be put together: use one of each, or as many")
            result = source[..., :3].expand(count, -1, -1, -1).clone()
            part = result[:, rows, columns]
            weight = rearrange(mask, "b h w -> b h w 1").to(part)
            if draft is not None and detail > 0:
                lit = _lit_draft(image, part, draft, vae, energy or ())
                part[:] = lit + (1 - detail) * weight * (image.to(part) - lit)
            else:
                part += weight * (image.to(part) - part)
        return io.NodeOutput(result)


def _lit_draft(image: torch.Tensor, source: torch.Tensor, draft: torch.Tensor, vae: Any, edits: Chain) -> torch.Tensor:
    """The draft in the light of the edited picture (B, H, W, 3); ``source``: the part of it that the VAE keeps."""
    if vae is None:
        raise DragonError("a draft is connected but no vae: connect the VAE that decoded the edited picture, or take the draft away")
    if draft.shape[0] not in (1, image.shape[0]):
        raise DragonError(f"{draft.shape[0]} drafts do not fit {image.shape[0]} edited pictures: use one, or as many")
    rows, columns = _kept(image, draft, "the draft")
    drafted = draft[:, rows, columns]
    # One with a dimension for frames gives pictures one more dimension: a video's, and Qwen-Image's, which has no frames.
    round_trip = rearrange(vae.decode(vae.encode(drafted))[..., :3], "... h w c -> (...) h w c")
    differs = ((drafted - source).abs().amax(-1) > DIFFERENT).float().cpu()
    placed, coloured = differs, torch.zeros_like(differs)
    if edits:
        placed, coloured = _placed(edits, image.shape[0], (draft.shape[1], draft.shape[2]), (image.shape[1], image.shape[2]))
    made_up = differs * (1 - placed)
    edited, before, after = (rearrange(each.float().cpu(), "b h w c -> b c h w") for each in (image, drafted, round_trip))
    return rearrange(transfer_light(before, edited, after, placed, made_up, coloured), "b c h w -> b h w c").to(source)


def _placed(edits: Chain, rows: int, full: tuple[int, int], size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Where edits of ``rows`` pictures (height, width) ``full`` put things in the part that the VAE keeps of it, (M, *size).

    And where they put some whose colours are known.
    """
    for edit in edits:
        if edit.image_size not in (None, full):
            (h, w), (high, wide) = edit.image_size or full, full
            sizes = f"energy was made for a picture of {w}×{h} pixels, the draft has {wide}×{high}"
            raise DragonError(f"{sizes}: connect the energy it was made with")
    chain.check_counts(edits, rows)
    kept = tuple(edit.cropped(size).on(torch.device("cpu"), 1) for edit in edits)
    layout = chain.Layout.of(kept, size)
    return layout.combined.target, layout.coloured


def _kept(image: torch.Tensor, full: torch.Tensor, name: str = "the source") -> Part:
    """Where the edited picture lies in a full one: a VAE crops what its cells cannot cover from both sides."""
    (height, width), (full_height, full_width) = image.shape[1:3], full.shape[1:3]
    if not (0 <= full_height - height < 64 and 0 <= full_width - width < 64):
        sizes = f"the edited picture is {width}×{height}, {name} {full_width}×{full_height}"
        raise DragonError(f"{sizes}: connect the picture that was inverted")
    return kept_part((full_height, full_width), (height, width))
