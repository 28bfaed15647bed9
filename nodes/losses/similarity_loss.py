"""DragonSimilarityLoss: make a region look like another one, point by point or on average."""

from __future__ import annotations

from typing import Literal

import torch
from comfy_api.latest import io

from ...dragon_core.edits.appearance import Appearance, AppearanceWeights
from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.primitives import LocalSimilarity, LocalSimilarityToReference, MeanSimilarity
from ...dragon_core.errors import DragonError
from ..schema.energy_inputs import energy_input, energy_output
from ..schema.links import CATEGORY, advanced, named, searched_as, stacked

Compare = Literal["local", "mean"]
Picture = Literal["source", "second picture"]


class DragonSimilarityLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonSimilarityLoss",
            display_name="Dragon Similarity Loss",
            category=CATEGORY,
            **searched_as("feature guidance"),
            description="Pulls a region towards the look of another one, of the same or of a second picture. It guides, and moves nothing.",
            inputs=[
                io.Mask.Input(
                    "mask", tooltip="mean: white over what should change. local: white over what is taken. As large as the picture."
                ),
                io.Combo.Input(
                    "compare",
                    options=["local", "mean"],
                    default="local",
                    tooltip="local: point by point, dx and dy away. mean: the average look of the reference mask; shape is left free.",
                ),
                io.Combo.Input(
                    "picture",
                    options=["source", "second picture"],
                    default="source",
                    tooltip="Where it takes from; the second picture is DragonGuidanceBranch's reference.",
                ),
                io.Float.Input("weight", default=4.0, min=0.0, max=100.0, step=0.05, tooltip="Strength, beside the other energies'."),
                advanced(io.Int.Input("dx", default=0, min=-8192, max=8192, tooltip="local: pixels to the right; negative is left.")),
                advanced(io.Int.Input("dy", default=0, min=-8192, max=8192, tooltip="local: pixels down; negative is up.")),
                io.Mask.Input(
                    "reference_mask",
                    optional=True,
                    tooltip="mean: white over what it should look like, as large as the picture that is taken from.",
                ),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(
        cls,
        mask: torch.Tensor,
        compare: Compare,
        picture: Picture,
        weight: float,
        dx: int,
        dy: int,
        reference_mask: torch.Tensor | None = None,
        energy: Chain = (),
    ) -> io.NodeOutput:
        with named(cls):
            primitive = similarity(stacked(mask), compare, picture, weight, (dx, dy), reference_mask)
        return io.NodeOutput((*(energy or ()), primitive))


def similarity(
    mask: torch.Tensor, compare: Compare, picture: Picture, weight: float, shift: tuple[int, int], like: torch.Tensor | None
) -> LocalSimilarity | MeanSimilarity | Appearance:
    """The edit that the widgets ask for."""
    if compare == "local":
        kind = LocalSimilarity if picture == "source" else LocalSimilarityToReference
        return kind(mask, weight, shift)
    if like is None:
        raise DragonError("mean needs a reference_mask: paint over what the region should look like, or choose local")
    if picture == "source":
        return MeanSimilarity(mask, weight, stacked(like))
    return Appearance(mask, stacked(like), AppearanceWeights(edit=weight, content=0.0), transfer=0.0)
