"""DragonDraft: the edit made in the picture's own pixels, as a sketch of what is asked for and as a sharp start for the sampler."""

from __future__ import annotations

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io
from einops import rearrange

from ...dragon_core.edits import chain
from ...dragon_core.edits.chain import Chain
from ...dragon_core.errors import DragonError
from ..schema.links import CATEGORY, EnergyLink, named, planes, searched_as


class DragonDraft(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonDraft",
            display_name="Dragon Draft",
            category=CATEGORY,
            **searched_as("warp", "rough edit"),
            description=(
                "Makes the edit in pixels at once, without a model: the object is put in its place, what it leaves is filled from around. "
                "Through VAEEncode it becomes DragonSampler's draft."
            ),
            inputs=[
                io.Image.Input("image", tooltip="The picture to edit."),
                EnergyLink.Input("energy", tooltip="What to do with it, from an energy node such as DragonMoveLoss."),
                io.Image.Input("reference", optional=True, tooltip="The second picture, for paste and appearance."),
            ],
            outputs=[io.Image.Output(display_name="draft", tooltip="To look at, and through VAEEncode for DragonSampler.")],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, energy: Chain, reference: torch.Tensor | None = None) -> io.NodeOutput:
        with named(cls):
            picture = planes(image)
            second = None if reference is None else planes(reference, "the reference")
            size = None if second is None else (second.shape[-2], second.shape[-1])
            if second is not None and len(second) not in (1, len(picture)):
                raise DragonError(f"{len(second)} reference pictures for {len(picture)} of the image: use one reference, or one for each")
            edits = chain.fitted(energy or (), (picture.shape[-2], picture.shape[-1]), 1, size, len(picture))
            on_cpu = tuple(edit.on(torch.device("cpu"), 1) for edit in edits)
            bar = comfy.utils.ProgressBar(2 * len(on_cpu))

            def on_stage() -> None:
                comfy.model_management.throw_exception_if_processing_interrupted()
                bar.update(1)

            drafted = chain.edited_picture(on_cpu, picture, second, on_stage)
        return io.NodeOutput(rearrange(drafted.clamp(0, 1), "b c h w -> b h w c"))
