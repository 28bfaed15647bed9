"""What DragonCanvas and DragonCanvasObject have in common: the drawing on a picture, and its values for the energy nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from comfy_api.latest import io
from PIL import Image

from ..dragon_core.drawing import Bits, Drawing, DrawnObject, grid_for
from ..dragon_core.errors import DragonError
from ..dragon_core.transforms import AffineWarp, warp
from .annotation import LARGEST, PALETTE, Arrow, Outline, annotated
from .links import stacked

CanvasLink = io.Custom("DRAGON_DRAWING")


@dataclass(frozen=True, eq=False)
class DrawnOn:
    """What travels on DRAGON_DRAWING: a drawing and the picture's (height, width)."""

    drawing: Drawing
    size: tuple[int, int]


def object_outputs() -> list[io.Output]:
    """Outputs for one object, in the order of :func:`object_values`."""
    return [
        io.Mask.Output(display_name="mask", tooltip="What was painted for the object; empty where nothing was."),
        io.Int.Output(display_name="dx", tooltip="Pixels to the right that the object was dragged."),
        io.Int.Output(display_name="dy", tooltip="Pixels down that the object was dragged."),
        io.Float.Output(display_name="scale_x", tooltip="How many times as wide the object was made, about its centroid."),
        io.Float.Output(display_name="scale_y", tooltip="How many times as high the object was made, about its centroid."),
        io.Float.Output(display_name="rotation", tooltip="Degrees clockwise that the object was turned about its centroid."),
    ]


def object_values(thing: DrawnObject, size: tuple[int, int]) -> tuple[torch.Tensor, int, int, float, float, float]:
    """mask (1, H, W), dx, dy, scale_x, scale_y, rotation."""
    return (thing.region(size), *thing.shift(size), *thing.scale, thing.rotation)


def as_cells(mask: torch.Tensor) -> Bits:
    """A MASK (M, H, W) or (H, W) on the canvas's grid: its first one, cut at the middle."""
    mask = stacked(mask)
    if mask.ndim != 3 or 0 in mask.shape:
        raise DragonError(f"the mask must have shape (masks, height, width), got {tuple(mask.shape)}")
    size = grid_for((mask.shape[-2], mask.shape[-1]))
    cells = torch.nan_to_num(mask[:1].float()).unsqueeze(1)
    cells = cells if cells.shape[-2:] == size else F.interpolate(cells, size=size, mode="area")
    bits: Bits = (cells[0, 0] > 0.5).cpu().numpy()
    return bits


def to_pil(picture: torch.Tensor) -> Image.Image:
    """A picture (H, W, 3 or more) in [0, 1]; an alpha channel is left out, numbers that are none are black."""
    values = torch.nan_to_num(picture[..., :3].float()).clamp(0, 1).mul(255).round()
    return Image.fromarray(values.to(torch.uint8).cpu().numpy())


def to_tensor(picture: Image.Image) -> torch.Tensor:
    """An IMAGE (1, H, W, 3) of a picture."""
    return torch.from_numpy(np.asarray(picture.convert("RGB")).astype(np.float32) / 255).unsqueeze(0)


def marks(drawn: DrawnOn) -> tuple[list[Outline], list[Arrow]]:
    """What shows a drawing: each object where it is and where it goes, and every arrow with its number."""
    outlines, arrows = [], []
    share = min(1.0, LARGEST / max(drawn.size))
    grid = max(1, round(drawn.size[0] * share)), max(1, round(drawn.size[1] * share))
    for index, thing in enumerate(drawn.drawing.objects):
        colour = PALETTE[index % len(PALETTE)]
        region = thing.region(drawn.size)
        if not region.any():
            continue
        shown = thing.region(grid)
        outlines.append(Outline(shown[0].numpy(), colour, filled=True))
        transform = placement(thing, region, drawn.size)
        centre = torch.tensor(transform.centre, dtype=torch.float64)
        goal = transform.forward(centre)
        if transform.matrix != ((1.0, 0.0), (0.0, 1.0)) or float(torch.dist(centre, goal)) > 0.5:
            outlines.append(Outline(warp(shown.unsqueeze(1), transform)[0, 0].numpy(), colour))
            arrows.append(Arrow(_share(centre, drawn.size), _share(goal, drawn.size), colour))
    arrows += [Arrow(handle, target, label=str(number)) for number, (handle, target) in enumerate(drawn.drawing.arrows, 1)]
    return outlines, arrows


def preview(picture: Image.Image, drawn: DrawnOn) -> Image.Image:
    """The picture with the drawing on it, enlarged where it is small and shrunk where it is huge."""
    outlines, arrows = marks(drawn)
    return annotated(picture, outlines, arrows)


def placement(thing: DrawnObject, region: torch.Tensor, size: tuple[int, int]) -> AffineWarp:
    """Where an object goes: scaled, then turned clockwise, about the centroid of its region (1, H, W), then shifted."""
    ys, xs = torch.nonzero(region[0] > 0.5, as_tuple=True)
    centre = (float(xs.double().mean()) + 0.5, float(ys.double().mean()) + 0.5)
    cos, sin = math.cos(math.radians(thing.rotation)), math.sin(math.radians(thing.rotation))
    (sx, sy), (dx, dy) = thing.scale, thing.shift(size)
    return AffineWarp(size, (dx, dy), ((cos * sx, -sin * sy), (sin * sx, cos * sy)), centre)


def _share(point: torch.Tensor, size: tuple[int, int]) -> tuple[float, float]:
    return float(point[0]) / size[1], float(point[1]) / size[0]
