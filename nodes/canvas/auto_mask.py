"""DragonAutoMask: a click → the mask of the object there."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.latest import io, ui

from ...dragon_core.diffusion.trajectory import Trajectory
from ...dragon_core.document.point_formats import parse_clicks
from ...dragon_core.errors import DragonError
from ...dragon_core.imaging.affine import Point
from ...dragon_core.imaging.click_to_mask import disc, object_mask
from ...dragon_core.imaging.mask_checks import kept_part
from ...dragon_core.imaging.windows import Part
from ..host.features import decoder_features
from ..schema.links import CATEGORY, TrajectoryLink, advanced, named, pictures, searched_as

log = logging.getLogger(__name__)

#: ComfyUI's own, which 0.3 has not.
BoxLink = io.Custom("BOUNDING_BOX")

#: How the found object is shown on the picture.
TINT = (1.0, 0.1, 0.6)


class DragonAutoMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonAutoMask",
            display_name="Dragon Auto Mask",
            category=CATEGORY,
            **searched_as("click to mask", "segment object", "select object", "DIFT"),
            description="Finds the object at a point of the picture by what the diffusion model sees there. No other model is needed.",
            inputs=[
                io.Model.Input("model", tooltip="The model that the picture was inverted with."),
                TrajectoryLink.Input("trajectory", tooltip="The picture, from DragonInvert or DragonRecord."),
                io.Image.Input("image", tooltip="The picture itself, for the mask's edge."),
                io.Int.Input("x", default=128, min=0, max=16384, tooltip="A point on the object: pixels from the left."),
                io.Int.Input("y", default=128, min=0, max=16384, tooltip="A point on the object: pixels from the top."),
                io.MultiType.Input(
                    io.String.Input(
                        "points",
                        optional=True,
                        force_input=True,
                        tooltip=(
                            "Points on the object, in place of x and y: [[x, y], …], or the arrows of Dragon Canvas or another editor, of "
                            "which only the handles count, or boxes, of which the middles do. Several points mark parts of one object."
                        ),
                    ),
                    [BoxLink],
                ),
                advanced(
                    io.Float.Input(
                        "threshold",
                        default=0.5,
                        min=0.05,
                        max=0.95,
                        step=0.05,
                        tooltip="Probability from which a pixel belongs to the object. Lower takes more of what is round it.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "noise_level",
                        default=0.3,
                        min=0.05,
                        max=0.9,
                        step=0.05,
                        tooltip="How noisy the picture is that the model looks at, as a share of the schedule. More is coarser.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "min_confidence",
                        default=0.7,
                        min=0.0,
                        max=1.0,
                        step=0.05,
                        tooltip="Below this confidence the mask is a disc round the point, and a warning says so. 0 takes any mask.",
                    )
                ),
                io.String.Input(
                    "positive_coords",
                    optional=True,
                    force_input=True,
                    tooltip="Points on the object from a points editor, as SAM nodes take them; besides points, in place of x and y.",
                ),
                io.String.Input(
                    "negative_coords",
                    optional=True,
                    force_input=True,
                    tooltip="Points off the object, from the same editor: what is like them there does not belong to it.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="The object, for an energy node."),
                io.Float.Output(display_name="confidence", tooltip="0–1: how clearly there is an object at the point. Also for the disc."),
                io.Image.Output(display_name="preview", tooltip="The picture with the object tinted."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        trajectory: Trajectory,
        image: torch.Tensor,
        x: int,
        y: int,
        threshold: float,
        noise_level: float,
        min_confidence: float,
        points: Any = None,
        positive_coords: str | None = None,
        negative_coords: str | None = None,
    ) -> io.NodeOutput:
        with named(cls):
            clicks = (*parse_clicks(points or ""), *parse_clicks(positive_coords or "")) or ((float(x), float(y)),)
            others = parse_clicks(negative_coords or "")
            image = pictures(image)
            kept = _kept(image, trajectory)
            top, left = kept[0].start, kept[1].start
            masks, confidences = torch.zeros(image.shape[:3]), []
            features = decoder_features(model, trajectory, noise_level)
            for number, picture in enumerate(image.cpu().float()):
                part = picture[kept][..., :3]
                inside = [(px - left, py - top) for px, py in clicks]
                off = [(px - left, py - top) for px, py in others]
                found = object_mask([f[number] for f in features], inside, part, threshold, off)
                if found.confidence < min_confidence:
                    log.warning("DragonAutoMask: %s", _unsure(clicks, found.confidence))
                mask = found.mask if found.confidence >= min_confidence else disc(inside, part.shape[:2])
                masks[number][kept] = mask.float()
                confidences.append(found.confidence)
        confidence = min(confidences)
        shown = _tinted(image, masks)
        text = f"confidence {confidence:.2f}" if confidence >= min_confidence else _unsure(clicks, confidence)
        return io.NodeOutput(masks, confidence, shown, ui={**ui.PreviewImage(shown).as_dict(), **ui.PreviewText(text).as_dict()})


def _kept(image: torch.Tensor, trajectory: Trajectory) -> Part:
    """Rows and columns of the image that the VAE has kept: it crops, in the middle, what its cells do not divide."""
    pictures, (height, width) = trajectory.latents.shape[1], trajectory.image_size
    if image.ndim != 4 or image.shape[0] != pictures:
        raise DragonError(f"the image has shape {tuple(image.shape)}, but the trajectory {pictures} pictures: connect what was encoded")
    spare = (image.shape[1] - height, image.shape[2] - width)
    if not all(0 <= left_over < trajectory.pixels_per_cell for left_over in spare):
        raise DragonError(
            f"the image is {image.shape[2]}×{image.shape[1]} pixels but the trajectory's picture {width}×{height}: connect what was encoded"
        )
    return kept_part(image.shape[1:3], (height, width))


def _unsure(clicks: tuple[Point, ...], confidence: float) -> str:
    places = ", ".join(f"({px:.0f}, {py:.0f})" for px, py in clicks)
    return (
        f"no clear object at {places} (confidence {confidence:.2f}), the mask is a disc there: move the point to the middle of the object, "
        "add points, lower min_confidence, or draw the mask"
    )


def _tinted(image: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 3): the pictures with the masks in colour."""
    mask = 0.6 * masks.unsqueeze(-1)
    return image[..., :3].cpu().float() * (1 - mask) + torch.tensor(TINT) * mask
