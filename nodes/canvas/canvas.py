"""DragonCanvas: the edit is drawn on the picture."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io, ui

from ...dragon_core.document.drawing import encode_runs, read_drawing
from ...dragon_core.document.point_formats import format_points
from ..schema.links import CATEGORY, named, pictures, searched_as
from .canvas_drawing import (
    CanvasLink,
    DrawnOn,
    as_cells,
    goal_outputs,
    goal_values,
    object_outputs,
    object_values,
    pasted_extent,
    preview,
    to_pil,
    to_tensor,
)

log = logging.getLogger(__name__)

LOADERS = ("LoadImage", "LoadImageOutput")
#: The widget is made by web/dragon_canvas.js.
CanvasWidget = io.Custom("DRAGON_CANVAS")


class DragonCanvas(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonCanvas",
            display_name="Dragon Canvas",
            category=CATEGORY,
            **searched_as("drag", "move object", "paste object", "point editor", "draw mask", "arrows", "DragGAN"),
            description=(
                "Draw the edit on the picture: arrows for dragging, a mask over an object that you then move, scale and turn, or "
                "paste into another picture. Its outputs are what the energy nodes take."
            ),
            inputs=[
                io.Image.Input(
                    "image", tooltip="The picture to draw on. A Load Image shows at once, any other source after its first run."
                ),
                CanvasWidget.Input(
                    "drawing",
                    optional=True,
                    tooltip="What is drawn, as JSON with coordinates relative to the picture.",
                    extra_dict={"default": "", "socketless": True},
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Object 1's mask from another node (Dragon Auto Mask, SAM), where none is painted. On the canvas after a run.",
                ),
                io.Image.Input(
                    "onto",
                    optional=True,
                    tooltip="For pasting: the picture that the objects go into. Paint on the other one, then place them on this one.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="points", tooltip="The arrows as [[[x, y], [x, y]], …] in pixels, handle and target."),
                *object_outputs(),
                io.Image.Output(display_name="image", tooltip="The picture, as it came."),
                io.Image.Output(
                    display_name="preview", tooltip="The picture with arrows and masks drawn on it, or with what is pasted, for showing."
                ),
                CanvasLink.Output(display_name="drawing", tooltip="All objects, for DragonCanvasObject: the second one and further."),
                *goal_outputs(),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
            is_output_node=True,  # so that a picture that is not from a file can be fetched by running this node alone
        )

    @classmethod
    def execute(
        cls, image: torch.Tensor, drawing: Any = "", mask: torch.Tensor | None = None, onto: torch.Tensor | None = None
    ) -> io.NodeOutput:
        with named(cls):
            shown, ground_shown = pictures(image), None if onto is None else pictures(onto, "onto")
            size = _size(shown)
            drawn = DrawnOn(read_drawing(drawing, size), size, None if ground_shown is None else _size(ground_shown))
            linked = None if mask is None or not mask.numel() else as_cells(mask)
            drawn = drawn if linked is None else replace(drawn, drawing=drawn.drawing.with_linked_mask(linked))
        warnings = (*drawn.drawing.warnings(size), *_mask_warnings(mask, size), *_paste_warnings(drawn))
        for warning in warnings:
            log.warning("DragonCanvas: %s", warning)
        picture, ground = to_pil(shown[0]), None if ground_shown is None else to_pil(ground_shown[0])
        first = drawn.drawing.object(1)
        return io.NodeOutput(
            format_points(drawn.drawing.points(size)),
            *object_values(first, size),
            image,
            to_tensor(preview(picture, drawn, ground)),
            drawn,
            *goal_values(first, size),
            # Keys of our own: under "images" the frontend would put the picture below the widget once more.
            ui={
                "dragon_picture": _kept(shown, cls._chosen("image")),
                "dragon_onto": [] if ground_shown is None else _kept(ground_shown, cls._chosen("onto")),
                "dragon_warnings": list(warnings),
                "dragon_mask": [] if linked is None else [{"size": [linked.shape[1], linked.shape[0]], "runs": encode_runs(linked)}],
            },
        )

    @classmethod
    def _chosen(cls, name: str) -> str:
        """The file chosen in the loader that an input is linked to in this run; empty where it is another node's picture."""
        prompt, node_id = getattr(cls.hidden, "prompt", None), getattr(cls.hidden, "unique_id", None)
        link = ((prompt or {}).get(str(node_id)) or {}).get("inputs", {}).get(name)
        loader = (prompt or {}).get(str(link[0])) if isinstance(link, list) and link else None
        chosen = loader["inputs"].get("image") if loader and loader["class_type"] in LOADERS else None
        return chosen if isinstance(chosen, str) else ""


def _size(image: torch.Tensor) -> tuple[int, int]:
    return image.shape[1], image.shape[2]


def _kept(image: torch.Tensor, chosen: str) -> list[Any]:
    """Where the browser finds the picture, and of which file it is as the model sees it."""
    return [{**file, "chosen": chosen} for file in ui.PreviewImage(image[:1]).as_dict()["images"]]


def _paste_warnings(drawn: DrawnOn) -> tuple[str, ...]:
    if drawn.onto is None:
        return ()
    found = []
    for number, thing in enumerate(drawn.drawing.objects, 1):
        if thing.mask is None:
            continue
        if abs(thing.scale[0] / thing.scale[1] - 1) > 0.01:
            found.append(
                f"object {number} is {thing.scale[0]:.2f} times as wide and {thing.scale[1]:.2f} times as high; pasting takes one scale"
            )
        height, width = pasted_extent(thing, drawn.size)
        if height > drawn.onto[0] or width > drawn.onto[1]:
            found.append(
                f"object {number} is {width:.0f}×{height:.0f} pixels, more than the picture that it goes into "
                f"({drawn.onto[1]}×{drawn.onto[0]}): take the Move tool and press R, which brings it to size"
            )
    return tuple(found)


def _mask_warnings(mask: torch.Tensor | None, size: tuple[int, int]) -> tuple[str, ...]:
    """A mask of another shape than the picture's, which is stretched; an empty one is what a loader has without alpha, of any shape."""
    if mask is not None and not mask.numel():
        return ("there is no mask: what makes it has found nothing",)
    if mask is None or not mask.any():
        return ()
    many = len(mask) if mask.ndim == 3 else 1
    found = (f"there are {many} masks, of which the first is used; take others with another node",) if many > 1 else ()
    height, width = mask.shape[-2:]
    if abs(width * size[0] / (height * size[1]) - 1) < 0.01:
        return found
    return (*found, f"the mask has {width}×{height} pixels, the picture {size[1]}×{size[0]}: it was stretched, so check where it lies")
