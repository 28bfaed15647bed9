"""DragonDragLoss: what is at each handle goes to its target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch
from comfy_api.latest import io

from ...dragon_core.document.point_formats import parse_points
from ...dragon_core.document.tracks import parse_tracks
from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.drag import START, DragWeights, MaskMeans, drag_each
from ...dragon_core.edits.frames import pairs_along
from ...dragon_core.edits.move import StartLatent
from ...dragon_core.imaging.point_warp import Interpolation
from ..schema.energy_inputs import energy_input, energy_output, weight
from ..schema.links import CATEGORY, advanced, named, searched_as
from ..schema.point_inputs import image_input, mask_and_size, radius_input, tracks_input


class DragonDragLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        weights = DragWeights()
        return io.Schema(
            node_id="DragonDragLoss",
            display_name="Dragon Drag Loss",
            category=CATEGORY,
            **searched_as("drag", "drag points", "DragGAN", "DragDiffusion", "DragonDiffusion", "warp"),
            description="Drags points: what is at each handle goes to its target and takes what is round it along.",
            inputs=[
                io.String.Input(
                    "points",
                    default="[[[100, 100], [140, 100]]]",
                    multiline=True,
                    tooltip=(
                        "Handles and targets in pixels: [[[x, y], [x, y]], …], from Dragon Canvas, or the points or splines of other "
                        "editors. A handle whose target is itself stays where it is."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "The object that goes along, or the area in which things may be stretched, see mask_means. Without one (or with "
                        "an empty one) the area lies round the arrows; then connect image."
                    ),
                ),
                image_input(),
                io.Combo.Input(
                    "mask_means",
                    options=list(get_args(MaskMeans)),
                    default="auto",
                    tooltip=(
                        "object: all of it goes along and its old place is filled. area: what is in it is stretched, and its border "
                        "stays. auto: an area where all targets lie on the mask, an object where one does not."
                    ),
                ),
                radius_input(),
                weight("w_edit", weights.edit, "Pull of what was at the handles towards the targets."),
                weight("w_content", weights.content, "How strongly everything outside the edit is held as it was."),
                weight("w_inpaint", weights.inpaint, "Push of the handles' old places away from what was there."),
                advanced(
                    io.Combo.Input(
                        "start_latent",
                        options=list(get_args(StartLatent)),
                        default=START,
                        tooltip=(
                            "What an object's old place starts from: its surroundings under the noise from where the object goes (swap) or "
                            "fresh noise (noise), or itself (keep). off leaves the start and what it is held to as they are."
                        ),
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "interpolation",
                        options=list(get_args(Interpolation)),
                        default="smooth",
                        optional=True,
                        tooltip=(
                            "What lies between the handles: smooth follows all of them, nearest only the nearest, for arrows that oppose "
                            "each other."
                        ),
                    )
                ),
                tracks_input(
                    "For videos and batches, in place of points: tracks from a spline editor or a node that makes TRACKS. What lies at a "
                    "track's first point follows it, and one that stays pins it. As many points as frames."
                ),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(
        cls,
        points: str,
        mask_means: MaskMeans,
        radius: int,
        w_edit: float,
        w_content: float,
        w_inpaint: float,
        start_latent: StartLatent,
        interpolation: Interpolation = "smooth",
        mask: torch.Tensor | None = None,
        image: torch.Tensor | None = None,
        tracks: str | Mapping[str, Any] | None = None,
        energy: Chain = (),
    ) -> io.NodeOutput:
        with named(cls):
            mask, size = mask_and_size(mask, image)
            sets = (parse_points(points),) if tracks is None else pairs_along(*parse_tracks(tracks), mask)
            weights = DragWeights(w_edit, w_content, w_inpaint)
            edit = drag_each(sets, size, mask, mask_means, radius, weights, start_latent, interpolation)
        return io.NodeOutput((*(energy or ()), edit))
