"""DragonCrossAttnPatch: the generation branch looks at the source picture's keys and values."""

from __future__ import annotations

from typing import Any, get_args

from comfy_api.latest import io

from ...dragon_core.diffusion.schedule import Window
from ...dragon_core.diffusion.sharing import FIRST_BLOCK, MergeMode, Sharing
from ...dragon_core.diffusion.trajectory import Branch
from ..host.model import backbone_of, require_maker
from ..schema.links import CATEGORY, BranchLink, advanced, named, searched_as


class DragonCrossAttnPatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonCrossAttnPatch",
            display_name="Dragon Cross-Attention Patch",
            category=CATEGORY,
            **searched_as("self-attention sharing", "attention injection", "MasaCtrl"),
            description=(
                "Lets the model's self-attention see the source picture, which keeps texture and identity (the paper's "
                "cross-branch self-attention): a UNet's in its decoder, a transformer's in the blocks below."
            ),
            inputs=[
                io.Model.Input("model", tooltip="Any model patches (LoRA, IP-Adapter, …) stay in force."),
                BranchLink.Input("branch", tooltip="The same branch as the sampler's."),
                io.Combo.Input(
                    "mode",
                    options=list(get_args(MergeMode)),
                    default="replace",
                    tooltip=(
                        "replace: only the source is seen, and what edits take from a second picture. concat: these beside the edit's "
                        "own, as the authors do for dragging."
                    ),
                ),
                advanced(
                    io.Float.Input(
                        "start", default=0.1, min=0.0, max=1.0, step=0.01, tooltip="First step that shares, as a share of the schedule."
                    )
                ),
                advanced(
                    io.Float.Input(
                        "end", default=1.0, min=0.0, max=1.0, step=0.01, tooltip="Sharing stops here, as a share of the schedule."
                    )
                ),
                advanced(
                    io.Float.Input(
                        "block_start",
                        default=FIRST_BLOCK,
                        min=0.0,
                        max=1.0,
                        step=0.01,
                        optional=True,
                        tooltip="Transformers only: the first attention layer that shares, as a share of all. 0.33: FLUX's single blocks.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "block_end",
                        default=1.0,
                        min=0.0,
                        max=1.0,
                        step=0.01,
                        optional=True,
                        tooltip="Transformers only: no layer from here on shares.",
                    )
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For DragonSampler or DragonGuider only.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        branch: Branch,
        mode: MergeMode,
        start: float,
        end: float,
        block_start: float = FIRST_BLOCK,
        block_end: float = 1.0,
    ) -> io.NodeOutput:
        with named(cls):
            backbone = backbone_of(model)
            require_maker(model, branch.trajectory, "invert with the model you patch", "branch")
            return io.NodeOutput(backbone.patched(model, Sharing(mode, Window(start, end), Window(block_start, block_end))))
