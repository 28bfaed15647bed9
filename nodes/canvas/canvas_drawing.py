"""What DragonCanvas and DragonCanvasObject have in common: the drawing on a picture, and its values for the energy nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from comfy_api.latest import io
from PIL import Image

from ...dragon_core.document.drawing import Bits, Drawing, DrawnObject, grid_for
from ...dragon_core.errors import DragonError
from ...dragon_core.imaging.affine import AffineWarp, rotation_scale, warp
from ...dragon_core.imaging.masks import centroids
from ..pictures.annotation import LARGEST, PALETTE, Arrow, Outline, annotated
from ..schema.links import stacked

CanvasLink = io.Custom("DRAGON_DRAWING")


@dataclass(frozen=True, eq=False)
class DrawnOn:
    """What travels on DRAGON_DRAWING: a drawing and the picture's (height, width).

    ``onto``: the same of the picture that its objects go into, where that is another one. Pixel (x, y) of the one lies on pixel
    (x, y) of the other, so an object's shift means the same in both.
    """

    drawing: Drawing
    size: tuple[int, int]
    onto: tuple[int, int] | None = None


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


def goal_outputs() -> list[io.Output]:
    """What came later than the other outputs, and so after all of them: workflows know outputs by their number."""
    return [
        io.Float.Output(display_name="x", tooltip="Where the object's middle goes: pixels from the left edge, for DragonPasteLoss."),
        io.Float.Output(display_name="y", tooltip="Where the object's middle goes: pixels from the top, for DragonPasteLoss."),
    ]


def goal_values(thing: DrawnObject, size: tuple[int, int]) -> tuple[float, float]:
    """x, y of the centroid when the object is at its place; from the picture's middle where nothing is painted."""
    region = thing.region(size)
    (x, y), (dx, dy) = centroids(region)[0] if region.any() else (size[1] / 2, size[0] / 2), thing.shift(size)
    return x + dx, y + dy


def object_values(thing: DrawnObject, size: tuple[int, int]) -> tuple[torch.Tensor, int, int, float, float, float]:
    """mask (1, H, W), dx, dy, scale_x, scale_y, rotation."""
    return (thing.region(size), *thing.shift(size), *thing.scale, thing.rotation)


def pasted_extent(thing: DrawnObject, size: tuple[int, int]) -> tuple[float, float]:
    """Height and width of an object as scaled, before it is turned, in pixels; its own picture's ``size`` is (height, width)."""
    if thing.mask is None or not thing.mask.any():
        return 0.0, 0.0
    rows, columns = (np.flatnonzero(thing.mask.any(axis)) for axis in (1, 0))
    height = (rows[-1] + 1 - rows[0]) / thing.mask.shape[0] * size[0]
    width = (columns[-1] + 1 - columns[0]) / thing.mask.shape[1] * size[1]
    return float(height * thing.scale[1]), float(width * thing.scale[0])


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
    grid, theirs = _not_too_fine(drawn.size), _not_too_fine(drawn.onto or drawn.size)
    for index, thing in enumerate(drawn.drawing.objects):
        colour = PALETTE[index % len(PALETTE)]
        region = thing.region(drawn.size)
        if not region.any():
            continue
        shown = thing.region(grid)
        transform = placement(thing, region, drawn)
        arrived = Outline(warp(shown.unsqueeze(1), transform, size=theirs)[0, 0].numpy(), colour)
        if drawn.onto is not None:
            outlines.append(arrived)
            continue
        outlines.append(Outline(shown[0].numpy(), colour, filled=True))
        centre = transform.centres[0]
        goal = transform.forward(centre)
        if transform.matrix != ((1.0, 0.0), (0.0, 1.0)) or float(torch.dist(centre, goal)) > 0.5:
            outlines.append(arrived)
            arrows.append(Arrow(_share(centre, drawn.size), _share(goal, drawn.size), colour))
    if drawn.onto is None:  # arrows lead from place to place in the picture that is drawn on
        arrows += [Arrow(handle, target, label=str(number)) for number, (handle, target) in enumerate(drawn.drawing.arrows, 1)]
    return outlines, arrows


def preview(picture: Image.Image, drawn: DrawnOn, onto: Image.Image | None = None) -> Image.Image:
    """The picture with the drawing on it, or ``onto`` with the objects; enlarged where it is small and shrunk where it is huge."""
    outlines, arrows = marks(drawn)
    return annotated(picture if onto is None else _pasted(picture, drawn, onto), outlines, arrows)


def placement(thing: DrawnObject, region: torch.Tensor, drawn: DrawnOn) -> AffineWarp:
    """Where an object goes: scaled, then turned clockwise, about the centroid of its region (1, H, W), then shifted."""
    source = None if drawn.onto is None else drawn.size
    matrix = rotation_scale(thing.rotation, thing.scale)
    return AffineWarp(drawn.onto or drawn.size, thing.shift(drawn.size), matrix, centroids(region)[0], source)


def _pasted(picture: Image.Image, drawn: DrawnOn, onto: Image.Image) -> Image.Image:
    """The objects of one picture lying on another."""
    ground = onto.copy()
    ground.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    source, out = (to_tensor(each).movedim(-1, 1) for each in (picture, ground))
    for thing in drawn.drawing.objects:
        region = thing.region(drawn.size)
        if region.any():
            transform, size = placement(thing, region, drawn), (out.shape[-2], out.shape[-1])
            covered = warp(region.unsqueeze(1), transform, "area", size=size)
            out = torch.lerp(out, warp(source, transform, "area", "border", size), covered)
    return to_pil(out[0].movedim(0, -1))


def _not_too_fine(size: tuple[int, int]) -> tuple[int, int]:
    """The grid (height, width) on which a picture's outlines are found."""
    share = min(1.0, LARGEST / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _share(point: torch.Tensor, size: tuple[int, int]) -> tuple[float, float]:
    return float(point[0]) / size[1], float(point[1]) / size[0]
