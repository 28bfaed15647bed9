"""DragonLandmarksLoss: each landmark of one list goes where the other list has it."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ...dragon_core.document.poses import parse_landmarks
from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.drag import DragWeights
from ...dragon_core.edits.landmarks import FACE, landmarks
from ..schema.energy_inputs import energy_input, energy_output, weight
from ..schema.links import CATEGORY, named, searched_as
from ..schema.point_inputs import image_input, mask_and_size, radius_input

#: What OpenPose and DWPose detectors give out, faces among it.
PoseLink = io.Custom("POSE_KEYPOINT")
#: What ComfyUI's own detector of faces gives out (MediaPipe), which 0.3 has not.
FaceLink = io.Custom("FACE_LANDMARKS")


class DragonLandmarksLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        def points(name: str, default: str, tooltip: str) -> io.Input:
            return io.MultiType.Input(io.String.Input(name, default=default, multiline=True, tooltip=tooltip), [PoseLink, FaceLink])

        return io.Schema(
            node_id="DragonLandmarksLoss",
            display_name="Dragon Landmarks Loss",
            category=CATEGORY,
            **searched_as("face landmarks", "facial expression", "keypoints", "face editing"),
            description="Takes the landmarks of a face, or of anything, from where they are to where a second list has them.",
            inputs=[
                points(
                    "source",
                    "[[100, 100], [140, 100], [120, 130]]",
                    "Where the picture has them: [[x, y], …] in pixels or as shares of the picture, or a pose or landmarks with a face.",
                ),
                points("target", "[[100, 100], [140, 100], [120, 120]]", "Where they should be, in the same order."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="The area in which things may change. Without one it lies round the landmarks; then connect image.",
                ),
                image_input(),
                radius_input(),
                weight("w_edit", FACE.edit, "Pull of what was at the landmarks towards their targets."),
                weight("w_content", FACE.content, "How strongly everything outside the edit is held as it was."),
                energy_input(),
            ],
            outputs=[energy_output()],
        )

    @classmethod
    def execute(
        cls,
        source: Any,
        target: Any,
        radius: int,
        w_edit: float,
        w_content: float,
        mask: torch.Tensor | None = None,
        image: torch.Tensor | None = None,
        energy: Chain = (),
    ) -> io.NodeOutput:
        with named(cls):
            mask, size = mask_and_size(mask, image)
            places = parse_landmarks(source, "source").in_pixels(size, "source")
            goals = parse_landmarks(target, "target").in_pixels(size, "target")
            edit = landmarks(places, goals, size, mask, radius, DragWeights(w_edit, w_content, inpaint=0.0))
        return io.NodeOutput((*(energy or ()), edit))
