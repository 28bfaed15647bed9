"""DragonMiniModel: the bundled miniature Stable Diffusion, for trying the pack without a download."""

from __future__ import annotations

from comfy_api.latest import io

from ..bundled.mini_weights import load_mini_model
from ..schema.links import CATEGORY, named, searched_as


class DragonMiniModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonMiniModel",
            display_name="Dragon Mini Model",
            category=CATEGORY,
            **searched_as("test model", "small checkpoint"),
            description=(
                "A miniature Stable Diffusion (256×256, toy rooms with objects) that comes with the pack. Swap in your "
                "checkpoint when you know the ropes."
            ),
            inputs=[],
            outputs=[
                io.Model.Output(display_name="model", tooltip="Works with KSampler and everything else that takes a MODEL."),
                io.Clip.Output(display_name="clip", tooltip="Knows prompts such as: a teapot on a wood floor with a blue striped wall"),
                io.Vae.Output(display_name="vae", tooltip="For VAEEncode and VAEDecode."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        with named(cls):
            return io.NodeOutput(*load_mini_model())
