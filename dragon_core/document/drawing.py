"""What was drawn on a picture: arrows, and objects that are masked and put elsewhere. One versioned JSON text, a few kB.

    {"version": 1, "size": [768, 512],
     "arrows": [[0.25, 0.5, 0.4, 0.5], …],                      handle x, y, target x, y
     "objects": [{"mask": {"size": [512, 341], "runs": "5ab 1f …"},
                  "move": [0.1, 0.0], "scale": [1.0, 1.0], "rotation": 0.0}, …]}

Coordinates and shifts are fractions of the picture's width and height, so a drawing fits any size of the picture it was made
on (``size``: width, height in pixels, then). A mask lies on a grid of its own over the whole picture; ``runs`` are lengths of
runs along its rows, in base 36, of cells outside and inside by turns. An object is scaled and rotated (degrees, clockwise)
about its mask's centroid, then shifted. ``web/canvas/drawing.js`` is the same in the browser; it keeps the text of a mask below
sixty kB, but whatever fits ``MAX_TEXT`` is read.

The text may come from anyone's workflow. Nothing in it is more than numbers, and all of them are checked here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DragonError
from ..imaging.affine import Pair
from .point_formats import MAX_PAIRS, parse_points, read_json, shortened

VERSION = 1
MAX_OBJECTS = 16
#: Cells of a mask's longer side: at most, and as masks are made, two pixels of a 1024 picture each.
MAX_GRID, USUAL_GRID = 1024, 512
#: Characters; the largest drawings that the editor makes have some ten thousand.
MAX_TEXT = 2_000_000
#: How far outside the picture a point may lie, in widths and heights of it.
REACH = 2.0
#: How far an object may be put, likewise: it may be pasted into a picture that is far larger.
MAX_MOVE = 50.0
MIN_SCALE, MAX_SCALE = 0.02, 50.0
#: Pixels of the picture: a shorter arrow moves nothing.
NO_LENGTH = 0.5
RUNS = re.compile(r"[0-9a-z ]*\Z")

Bits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DrawnObject:
    """An object and where it goes. ``mask`` is (rows, columns) on a grid over the whole picture, or None where none is painted."""

    mask: Bits | None = None
    move: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0

    def shift(self, size: tuple[int, int]) -> tuple[int, int]:
        """dx, dy in whole pixels of a picture of ``size`` (height, width)."""
        return round(self.move[0] * size[1]), round(self.move[1] * size[0])

    def region(self, size: tuple[int, int]) -> Tensor:
        """The mask as (1, H, W), 0 or 1, for a picture of ``size`` (height, width); empty where none is painted."""
        if self.mask is None:
            return torch.zeros(1, *size)
        cells = torch.from_numpy(self.mask.astype(np.float32))[None, None]
        if cells.shape[-2:] != size:
            # Interpolated and cut at the middle: a smooth outline, where repeated cells would leave steps.
            cells = F.interpolate(cells, size=size, mode="bilinear", align_corners=False)
        return (cells[0] > 0.5).float()


@dataclass(frozen=True, eq=False)
class Drawing:
    """All that was drawn. ``arrows`` are handle → target, as fractions of the picture; ``size`` is (width, height)."""

    size: tuple[int, int] | None = None
    arrows: tuple[Pair, ...] = ()
    objects: tuple[DrawnObject, ...] = ()

    def points(self, size: tuple[int, int]) -> tuple[Pair, ...]:
        """The arrows in pixels of a picture of ``size`` (height, width)."""
        height, width = size
        return tuple(((hx * width, hy * height), (tx * width, ty * height)) for (hx, hy), (tx, ty) in self.arrows)

    def object(self, number: int) -> DrawnObject:
        """The object of this number, from 1. Without any object, number 1 is an empty one."""
        if number == 1 and not self.objects:
            return DrawnObject()
        if not 1 <= number <= len(self.objects):
            raise DragonError(f"object {number} is not on the canvas, which has {len(self.objects)}; draw it, or choose another number")
        return self.objects[number - 1]

    def with_linked_mask(self, mask: Bits) -> Drawing:
        """Object 1 with a mask that comes from elsewhere, unless it has been painted."""
        first, others = self.object(1), self.objects[1:]
        return self if first.mask is not None else replace(self, objects=(replace(first, mask=mask if mask.any() else None), *others))

    def warnings(self, size: tuple[int, int]) -> tuple[str, ...]:
        """What its maker should know before it is used on a picture of ``size`` (height, width)."""
        found = []
        picture = (size[1], size[0])
        if self.size is not None and self.size != picture and (self.arrows or self.objects):
            same_shape = abs(self.size[0] * picture[1] / (self.size[1] * picture[0]) - 1) < 0.01
            how = "was scaled along" if same_shape else "was stretched to the new shape, so check where everything lies"
            found.append(f"drawn on a picture of {_by(self.size)}, used on one of {_by(picture)}: the drawing {how}")
        for number, (handle, target) in enumerate(self.arrows, 1):
            if math.hypot((target[0] - handle[0]) * size[1], (target[1] - handle[1]) * size[0]) < NO_LENGTH:
                found.append(f"arrow {number} has no length: it only pins its point")
            elif not all(0 <= value <= 1 for point in (handle, target) for value in point):
                found.append(f"arrow {number} leaves the picture")
        return tuple(found)


def read_drawing(value: Any, picture: tuple[int, int]) -> Drawing:  # noqa: ANN401 - any JSON, as text or read already
    """A drawing from JSON; nothing drawn from an empty text. A list of points (see ``points``) is in pixels of ``picture``
    (height, width) and gives arrows.
    """
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise DragonError(f"the drawing is {len(value) / 1e6:.1f} MB of text, more than any drawing has; clear the canvas and draw again")
    content = read_json(value) if isinstance(value, str) else value
    if content is None:
        return Drawing()
    if isinstance(content, (list, tuple)):
        return _from_points(parse_points(content), (picture[1], picture[0]))
    if not isinstance(content, Mapping):
        raise DragonError(f"the drawing is {shortened(content)}, not a drawing; clear the canvas and draw again")
    version = content.get("version")
    if isinstance(version, int) and version > VERSION:
        raise DragonError(f"a newer Dragon made the drawing (version {shortened(version)}, this reads {VERSION}); update the pack")
    if isinstance(version, bool) or version != VERSION:
        raise DragonError("the drawing has no version that is known; clear the canvas and draw again")
    return Drawing(
        _size(content.get("size"), "the drawing", 1_000_000) if content.get("size") is not None else None,
        tuple(_arrow(item, number) for number, item in enumerate(_list(content, "arrows", MAX_PAIRS), 1)),
        tuple(_object(item, number) for number, item in enumerate(_list(content, "objects", MAX_OBJECTS), 1)),
    )


def grid_for(picture: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of a mask for a picture of (height, width)."""
    share = min(1.0, USUAL_GRID / max(picture))
    return max(1, round(picture[0] * share)), max(1, round(picture[1] * share))


def encode_runs(mask: Bits) -> str:
    """Lengths of the runs along the rows of a mask, outside first, in base 36."""
    flat = np.concatenate([[False], mask.ravel()])
    edges = np.flatnonzero(np.diff(flat))
    lengths = np.diff(np.concatenate([[0], edges, [mask.size]]))
    return " ".join(np.base_repr(int(length), 36).lower() for length in lengths)


def decode_runs(runs: str, size: tuple[int, int], name: str = "the mask") -> Bits:
    """A mask (rows, columns) of ``size`` (columns, rows) from its runs."""
    columns, rows = size
    if not RUNS.match(runs):
        raise DragonError(f"{name} has a mask that cannot be read; erase the object and paint it again")
    words = runs.split(" ") if runs else []
    if len(words) > columns * rows + 1 or any(not 1 <= len(word) <= 6 for word in words):
        raise DragonError(f"{name} has a mask that cannot be read; erase the object and paint it again")
    lengths = np.array([int(word, 36) for word in words], dtype=np.int64)
    if int(lengths.sum()) != columns * rows:
        raise DragonError(f"{name} has a mask that does not fill its grid of {columns}×{rows}; erase the object and paint it again")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(rows, columns)


def _from_points(pairs: Sequence[Pair], picture: tuple[int, int]) -> Drawing:
    """Arrows from pixels of a picture of (width, height), as near to it as those of any drawing: the canvas writes them down as one."""
    width, height = picture
    arrows = tuple(((hx / width, hy / height), (tx / width, ty / height)) for (hx, hy), (tx, ty) in pairs)
    for number, arrow in enumerate(arrows, 1):
        if not all(-REACH <= value <= 1 + REACH for point in arrow for value in point):
            raise DragonError(f"arrow {number} lies far outside of the picture of {_by(picture)}; its points are in pixels of another")
    return Drawing(picture, arrows)


def _object(item: Any, number: int) -> DrawnObject:  # noqa: ANN401 - any JSON
    name = f"object {number}"
    if not isinstance(item, Mapping):
        raise DragonError(f"{name} of the drawing is {shortened(item)}; clear the canvas and draw again")
    move = _numbers(item.get("move", (0, 0)), 2, f"the shift of {name}", -MAX_MOVE, MAX_MOVE)
    scale = _numbers(item.get("scale", (1, 1)), 2, f"the scale of {name}", MIN_SCALE, MAX_SCALE)
    (rotation,) = _numbers([item.get("rotation", 0)], 1, f"the rotation of {name}", -36000, 36000)
    return DrawnObject(_mask(item.get("mask"), name), (move[0], move[1]), (scale[0], scale[1]), rotation)


def _mask(item: Any, name: str) -> Bits | None:  # noqa: ANN401 - any JSON
    if item is None:
        return None
    if not isinstance(item, Mapping) or not isinstance(item.get("runs"), str):
        raise DragonError(f"{name} has a mask that cannot be read; erase the object and paint it again")
    mask = decode_runs(item["runs"], _size(item.get("size"), f"the mask of {name}", MAX_GRID), name)
    return mask if mask.any() else None


def _arrow(item: Any, number: int) -> Pair:  # noqa: ANN401 - any JSON
    hx, hy, tx, ty = _numbers(item, 4, f"arrow {number}", -REACH, 1 + REACH)
    return (hx, hy), (tx, ty)


def _numbers(item: Any, count: int, name: str, low: float, high: float) -> tuple[float, ...]:  # noqa: ANN401 - any JSON
    if not isinstance(item, (list, tuple)) or len(item) != count:
        raise DragonError(f"{name} is {shortened(item)} where {count} numbers belong; clear the canvas and draw again")
    for value in item:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DragonError(f"{name} has {shortened(value)} where a number belongs; clear the canvas and draw again")
        if not low <= value <= high or not math.isfinite(value):
            raise DragonError(f"{name} has a number that is not between {low:g} and {high:g} (of the picture's size, or degrees)")
    return tuple(float(value) for value in item)


def _size(item: Any, name: str, largest: int) -> tuple[int, int]:  # noqa: ANN401 - any JSON
    good = isinstance(item, (list, tuple)) and len(item) == 2
    if not good or not all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= largest for side in item):
        raise DragonError(f"{name} has a size that is not two whole numbers from 1 to {largest}; clear the canvas and draw again")
    return item[0], item[1]


def _list(content: Mapping[str, Any], key: str, most: int) -> Sequence[Any]:
    items = content.get(key, [])
    if not isinstance(items, (list, tuple)):
        raise DragonError(f'the drawing\'s "{key}" is {shortened(items)}, not a list; clear the canvas and draw again')
    if len(items) > most:
        raise DragonError(f"the drawing has {len(items)} {key}, more than the {most} that are possible; remove some")
    return items


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
