"""Handle → target pairs in the three forms that point editors write; all three mean the same thing here.

- pairs: ``[[[hx, hy], [tx, ty]], …]`` (DragonCanvas, DragDiffusion's and DragonDiffusion's interfaces)
- flat, as DragBench stores them: ``[[hx, hy], [tx, ty], …]``, handle and target taking turns
- splines, as KJNodes' editor writes them: ``[[{"x": …, "y": …}, …], …]`` or one spline alone; its first point goes to its last

Points are pixels of the picture, x right, y down. They may lie outside of it: what that means is for the task to say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DragonError
from ..imaging.affine import Pair, Point

MAX_PAIRS = 1000
#: Characters of text that are read at all: a thousand splines of a hundred points fit.
MAX_TEXT = 4_000_000
#: What Python writes for brackets and quotes, as JSON has them, and the comma after a tuple's last part.
PYTHON = str.maketrans("()'", '[]"')
TRAILING = re.compile(r",\s*\]")
#: Pixels; further out is no point of a picture but a mistake.
MAX_COORDINATE = 1e6

FORMS = 'write [[[x, y], [x, y]], …], a handle and its target each, or [[x, y], …] taking turns, or splines [[{"x": …, "y": …}, …], …]'


CLICKS = 'write [[x, y], …] or [{"x": …, "y": …}, …], in pixels'

#: What ComfyUI's BOUNDING_BOX says of a box: its upper left corner and its size, in pixels.
BOX = ("x", "y", "width", "height")


def parse_points(value: Any) -> tuple[Pair, ...]:  # noqa: ANN401 - any JSON, as text or read already
    """Pairs from JSON text or from lists; ``()`` from an empty text or list. A handle may equal its target (a pin)."""
    items = read_json(value, FORMS) if isinstance(value, str) else value
    if items is None:
        return ()
    if not is_list(items):
        raise DragonError(f"the points are {_kind(items)}, not a list; {FORMS}")
    if not items:
        return ()
    pairs = _pairs(items)
    if len(pairs) > MAX_PAIRS:
        raise DragonError(f"there are {len(pairs)} pairs of points, more than the {MAX_PAIRS} that an edit can follow; use fewer")
    return pairs


def parse_clicks(value: Any) -> tuple[Point, ...]:  # noqa: ANN401 - any JSON, as text or read already
    """Points for whoever asks where and not where to: all of a flat list, the handles of pairs and of several splines, and the middles of
    boxes, of a batch the first picture's.
    """
    items = read_json(value, CLICKS) if isinstance(value, str) else value
    boxes = _boxes(items)
    if boxes:
        items = [_middle(box, f"box {number}") for number, box in enumerate(boxes, 1)]
    if is_list(items) and all(is_point(item) for item in items):
        if len(items) > MAX_PAIRS:
            raise DragonError(f"there are {len(items)} points, more than the {MAX_PAIRS} that are read; use fewer")
        return tuple(parse_point(item, f"point {number}") for number, item in enumerate(items, 1))
    return tuple(handle for handle, _ in parse_points(items))


def format_points(pairs: Sequence[Pair]) -> str:
    """The first of the three forms, on one line, to a hundredth of a pixel."""
    return json.dumps([[[round(float(x), 2), round(float(y), 2)] for x, y in pair] for pair in pairs])


def read_json(text: str, forms: str = "") -> Any:  # noqa: ANN401 - any JSON
    """JSON text as Python values; None where it is blank; Python's lists and tuples are read, too. ``forms``: what is accepted."""
    if not text.strip():
        return None
    if len(text) > MAX_TEXT:
        raise DragonError(f"the text is {len(text) / 1e6:.0f} million characters long; at most {MAX_TEXT / 1e6:.0f} million are read")
    try:
        return json.loads(text)
    except RecursionError:
        raise DragonError("the JSON is nested too deeply to be read") from None
    except ValueError as error:
        try:
            return json.loads(TRAILING.sub("]", text.translate(PYTHON)))
        except (ValueError, RecursionError):
            what = f"; {forms}" if forms else ""
            raise DragonError(f"this is not JSON ({error}); it begins with {shortened(text)}{what}") from error


def shortened(value: Any, length: int = 40) -> str:  # noqa: ANN401 - quoted in messages, whatever it is
    """A value as it is quoted in an error message."""
    text = value if isinstance(value, str) else repr(value) if isinstance(value, (int, float, bool)) else _kind(value)
    return repr(text if len(text) <= length else text[: length - 1] + "…") if isinstance(value, str) else text


def _pairs(items: Sequence[Any]) -> tuple[Pair, ...]:
    if all(is_point(item) for item in items):
        return _spline_or_flat(items)
    return tuple(_ends(item, number) for number, item in enumerate(items, 1))


def _spline_or_flat(items: Sequence[Any]) -> tuple[Pair, ...]:
    points = [parse_point(item, f"point {number}") for number, item in enumerate(items, 1)]
    if isinstance(items[0], dict):
        if len(points) < 2:
            raise DragonError("the spline has only one point; it must lead from a handle to a target")
        return ((points[0], points[-1]),)
    if len(points) % 2:
        raise DragonError(f"there are {len(points)} points, an odd number, so the last handle has no target; add one")
    return tuple(zip(points[::2], points[1::2], strict=True))


def _ends(item: Any, number: int) -> Pair:  # noqa: ANN401 - any JSON
    """A pair, or a spline's first and last point."""
    if not is_list(item):
        raise DragonError(f"entry {number} of the points is {_kind(item)}; {FORMS}")
    is_spline = bool(item) and isinstance(item[0], dict)
    if len(item) < 2 or (len(item) > 2 and not is_spline):
        raise DragonError(f"entry {number} of the points has {len(item)} entries where a handle and a target belong; {FORMS}")
    return parse_point(item[0], f"the handle of pair {number}"), parse_point(item[-1], f"the target of pair {number}")


def parse_point(item: Any, name: str) -> Point:  # noqa: ANN401 - any JSON
    """``[x, y]`` or ``{"x": …, "y": …}``. Raises :class:`DragonError`, in which ``name`` says which point it is, for anything else."""
    if isinstance(item, dict):
        if "x" not in item or "y" not in item:
            raise DragonError(f'{name} has no "x" and "y"')
        x, y = item["x"], item["y"]
    elif is_list(item) and len(item) == 2:
        x, y = item
    else:
        raise DragonError(f"{name} is {_kind(item)}, not [x, y]")
    return coordinate(x, name), coordinate(y, name)


def coordinate(value: Any, name: str) -> float:  # noqa: ANN401 - any JSON
    """A number of the point that ``name`` says. Raises :class:`DragonError` for what is none, or no place in a picture."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DragonError(f"{name} has the coordinate {shortened(value)}, which is not a number")
    # Compared before converting: an integer of a thousand digits is no float.
    if not -MAX_COORDINATE <= value <= MAX_COORDINATE or not math.isfinite(value):
        raise DragonError(f"{name} has a coordinate that is no place in a picture (NaN, infinite or beyond a million pixels)")
    return float(value)


def is_point(item: Any) -> bool:  # noqa: ANN401 - any JSON
    """Whether it has a point's form rather than a list's of points."""
    if isinstance(item, dict):
        return True
    return is_list(item) and len(item) == 2 and not any(is_list(part) or isinstance(part, dict) for part in item)


def _boxes(items: Any) -> Sequence[Any]:  # noqa: ANN401 - any JSON
    """One box, or those of the first picture; none where it is something else."""
    if is_list(items) and items and is_list(items[0]):
        items = items[0]
    listed = items if is_list(items) else [items]
    return listed if listed and all(isinstance(item, Mapping) and set(BOX) <= set(item) for item in listed) else ()


def _middle(box: Mapping[str, Any], name: str) -> Point:
    left, top = parse_point(box, name)
    width, height = parse_point([box["width"], box["height"]], f"the size of {name}")
    return left + width / 2, top + height / 2


def is_list(item: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(item, (list, tuple))


def _kind(value: Any) -> str:  # noqa: ANN401 - any JSON
    if is_list(value):
        return f"a list of {len(value)}"
    names = {dict: "an object", str: "a text", bool: "true or false", int: "a number", float: "a number", type(None): "empty"}
    return names.get(type(value), f"a {type(value).__name__}")
