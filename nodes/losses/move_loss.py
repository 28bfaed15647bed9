"""DragonMoveLoss: put the masked object somewhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch
from comfy_api.latest import io

from ...dragon_core.document.tracks import parse_tracks
from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.frames import shifts_along
from ...dragon_core.edits.move import Move, MoveWeights, StartLatent
from ...dragon_core.imaging.affine import AffineWarp
from ...dragon_core.imaging.mask_checks import warn_of_ground
from ..schema.energy_inputs import energy_input, energy_output, weight
from ..schema.links import CATEGORY, advanced, named, searched_as, stacked
from ..schema.point_inputs import tracks_input


class DragonMoveLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        weights = MoveWeights()

        return io.Schema(
            node_id="DragonMoveLoss",
            display_name="Dragon Move Loss",
            category=CATEGORY,
            **searched_as("move object", "drag", "DragonDiffusion"),
            description="Moves what the mask covers by dx, dy pixels. Chain several to move several objects in one run.",
            inputs=[
                io.Mask.Input("mask", tooltip="White over the object, rather too wide than too narrow; as large as the picture."),
                io.Int.Input("dx", default=64, min=-8192, max=8192, tooltip="Pixels to the right; negative is left."),
                io.Int.Input("dy", default=0, min=-8192, max=8192, tooltip="Pixels down; negative is up."),
                weight("w_edit", weights.edit, "Pull of the object towards its new place."),
                weight("w_content", weights.content, "How strongly everything else is held as it was."),
                weight("w_contrast", weights.contrast, "Push of the old place away from what was there."),
                weight("w_inpaint", weights.inpaint, "Pull of the old place towards the look of the background."),
                advanced(
                    io.Combo.Input(
                        "start_latent",
                        options=list(get_args(StartLatent)),
                        default=Move.start,
                        tooltip=(
                            "Start noise: the object's noise moves along, and its old place gets noise from where it goes (swap), fresh "
                            "noise (noise), or keeps its own (keep). off leaves the start as it is."
                        ),
                    )
                ),
                advanced(
                    io.Mask.Input(
                        "fill",
                        optional=True,
                        tooltip="White over what the old place should come to look like, in your picture. Without one: what is near it.",
                    )
                ),
                tracks_input(
                    "For videos and batches: where it goes, frame by frame, from a spline editor or a node that makes TRACKS. "
                    "What lies at a track's first point follows it; dx and dy are added. As many points as frames."
                ),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(
        cls,
        mask: torch.Tensor,
        dx: int,
        dy: int,
        w_edit: float,
        w_content: float,
        w_contrast: float,
        w_inpaint: float,
        start_latent: StartLatent,
        fill: torch.Tensor | None = None,
        tracks: str | Mapping[str, Any] | None = None,
        energy: Chain = (),
    ) -> io.NodeOutput:
        with named(cls):
            mask, shift = stacked(mask), (float(dx), float(dy))
            mask, shifts = (mask, shift) if tracks is None else shifts_along(mask, *parse_tracks(tracks), shift)
            transform = AffineWarp(image_size=(mask.shape[-2], mask.shape[-1]), shift=shifts)
            weights = MoveWeights(w_edit, w_content, w_contrast, w_inpaint)
            move = Move(mask, transform, weights, start_latent, None if fill is None else stacked(fill))
            warn_of_ground(mask)
        return io.NodeOutput((*(energy or ()), move))
