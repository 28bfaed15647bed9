"""DragonPreview: what was asked for beside what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io, ui
from PIL import Image

from ...dragon_core.edits.chain import Chain
from ...dragon_core.errors import DragonError
from ..canvas.canvas_drawing import CanvasLink, DrawnOn, marks, to_pil, to_tensor
from ..schema.links import CATEGORY, EnergyLink, ReadingsLink, named, pictures, searched_as
from .annotation import PALETTE, Arrow, Curve, Outline, annotated, difference, plot, readable, sheet


class DragonPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonPreview",
            display_name="Dragon Preview",
            category=CATEGORY,
            **searched_as("compare", "before and after", "difference", "energy plot"),
            description="One picture that shows an edit: source, what was asked for, result, difference, and the energies over the steps.",
            inputs=[
                io.Image.Input("source", tooltip="The picture before the edit."),
                io.Image.Input("result", tooltip="The picture after it; it is scaled to the source's size where they differ."),
                CanvasLink.Input("drawing", optional=True, tooltip="From Dragon Canvas: its arrows and masks are drawn."),
                EnergyLink.Input("energy", optional=True, tooltip="The edit's energy: where each edit takes from and where it puts."),
                ReadingsLink.Input("readings", optional=True, tooltip="The sampler's energies over the steps, for the plot."),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="All panels in one picture, one row for each of the batch.")],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        source: torch.Tensor,
        result: torch.Tensor,
        drawing: DrawnOn | None = None,
        energy: Chain = (),
        readings: Sequence[Any] | None = None,
    ) -> io.NodeOutput:
        with named(cls):
            source, result = pictures(source, "the source"), pictures(result, "the result")
            if source.shape[0] not in (1, result.shape[0]):
                raise DragonError(f"{source.shape[0]} source pictures but {result.shape[0]} results: use one source, or one each")
            rows = [
                _row(to_pil(source[row % source.shape[0]]), to_pil(result[row]), drawing, energy or (), readings, row)
                for row in range(result.shape[0])
            ]
        page = torch.cat([to_tensor(row) for row in rows], dim=1)
        return io.NodeOutput(page, ui=ui.PreviewImage(page, cls=cls))


def _row(
    before: Image.Image, after: Image.Image, drawing: DrawnOn | None, energy: Chain, readings: Sequence[Any] | None, row: int
) -> Image.Image:
    if after.size != before.size:
        after = after.resize(before.size, Image.Resampling.LANCZOS)
    outlines, arrows = marks(drawing) if drawing is not None else ([], [])
    for index, edit in enumerate(energy):
        size = edit.image_size or (before.height, before.width)
        regions = edit.cropped(size).regions(size)  # what is pasted learns here where to
        pair = [part[min(row, part.shape[0] - 1)].float().cpu().numpy() for part in (regions.source, regions.target)]
        colour = PALETTE[index % len(PALETTE)]
        if drawing is None:
            arrows += _shift(pair[0], pair[1], colour)
        outlines += [Outline(pair[0], colour, filled=True), Outline(pair[1], colour)]
    panels = [("source", readable(before))]
    if outlines or arrows:
        panels.append(("asked for", annotated(before, outlines, arrows)))
    panels += [("result", readable(after)), ("difference, doubled", readable(difference(before, after)))]
    if readings:  # none where nothing pulled
        panels.append((_guided(readings), _energies(readings, row, panels[0][1].size)))
    return sheet(panels)


def _guided(readings: Sequence[Any]) -> str:
    """How many steps were guided: the plot's title."""
    guided, steps = len({reading.step for reading in readings}), max((reading.steps for reading in readings), default=0)
    return f"energies: {guided} of {steps} steps guided" if steps else "energies"


def _energies(readings: Sequence[Any], row: int, size: tuple[int, int]) -> Image.Image:
    first, last = (f"step {reading.step + 1}" for reading in (readings[0], readings[-1]))
    return plot(_curves(readings, row), size, (first, last if len(readings) > 1 else ""))


def _shift(source: np.ndarray[Any, Any], target: np.ndarray[Any, Any], colour: tuple[int, int, int]) -> list[Arrow]:
    """From the middle of what is taken to the middle of where it is put; nothing where one of them is empty or both are one."""
    if not (source > 0.5).any() or not (target > 0.5).any():
        return []
    start, end = _middle(source), _middle(target)
    return [Arrow(start, end, colour)] if np.hypot(end[0] - start[0], end[1] - start[1]) > 0.01 else []


def _middle(region: np.ndarray[Any, Any]) -> tuple[float, float]:
    rows, columns = np.nonzero(region > 0.5)
    return (float(columns.mean()) + 0.5) / region.shape[1], (float(rows.mean()) + 0.5) / region.shape[0]


def _curves(readings: Sequence[Any], row: int) -> list[Curve]:
    def of(name: str) -> tuple[float, ...]:
        values = [torch.as_tensor(getattr(reading, name)).flatten() for reading in readings]
        return tuple(float(value[min(row, len(value) - 1)]) for value in values)

    return [
        Curve("edit energy", of("edit"), PALETTE[1]),
        Curve("content energy", of("content"), PALETTE[2]),
        Curve("guidance / prediction", of("relative_size"), PALETTE[0]),
    ]
