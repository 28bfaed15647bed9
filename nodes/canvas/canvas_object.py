"""DragonCanvasObject: another object of a canvas, so that several are edited in one run."""

from __future__ import annotations

from comfy_api.latest import io

from ..schema.links import CATEGORY, named, searched_as
from .canvas_drawing import CanvasLink, DrawnOn, goal_outputs, goal_values, object_outputs, object_values


class DragonCanvasObject(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonCanvasObject",
            display_name="Dragon Canvas Object",
            category=CATEGORY,
            **searched_as("second object", "several objects"),
            description="Another object of a Dragon Canvas: its mask and where it goes. One energy node for each, joined through energy.",
            inputs=[
                CanvasLink.Input("drawing", tooltip="From Dragon Canvas."),
                io.Int.Input("object", default=2, min=1, max=16, tooltip="The object's number on the canvas."),
            ],
            outputs=[*object_outputs(), *goal_outputs()],
        )

    @classmethod
    def execute(cls, drawing: DrawnOn, object: int) -> io.NodeOutput:
        with named(cls):
            thing = drawing.drawing.object(object)
            return io.NodeOutput(*object_values(thing, drawing.size), *goal_values(thing, drawing.size))
