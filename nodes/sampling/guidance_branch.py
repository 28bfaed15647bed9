"""DragonGuidanceBranch: a trajectory → the branch that replays it beside the edit."""

from __future__ import annotations

from comfy_api.latest import io

from ...dragon_core.diffusion.trajectory import Branch, Trajectory
from ..schema.links import CATEGORY, BranchLink, TrajectoryLink, advanced, named, searched_as


class DragonGuidanceBranch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonGuidanceBranch",
            display_name="Dragon Guidance Branch",
            category=CATEGORY,
            **searched_as("DragonDiffusion", "reference picture"),
            description="Replays the source picture's trajectory; gives the edit its reference features, keys and values.",
            inputs=[
                TrajectoryLink.Input("trajectory", tooltip="The picture to edit, from DragonInvert."),
                TrajectoryLink.Input(
                    "reference",
                    optional=True,
                    tooltip="A second picture to take an object or its look from (paste, appearance); inverted with the same steps.",
                ),
                advanced(
                    io.Int.Input(
                        "taps",
                        default=2,
                        min=1,
                        max=3,
                        tooltip=(
                            "How many scales of decoder features are compared, counted from the finest. 2 is the paper's: one semantic, "
                            "one geometric."
                        ),
                    )
                ),
            ],
            outputs=[BranchLink.Output(display_name="branch", tooltip="For DragonSampler, DragonGuider and DragonCrossAttnPatch.")],
        )

    @classmethod
    def execute(cls, trajectory: Trajectory, taps: int, reference: Trajectory | None = None) -> io.NodeOutput:
        with named(cls):
            return io.NodeOutput(Branch(trajectory, taps, reference))
