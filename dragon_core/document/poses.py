"""Landmarks as detectors and editors write them: lists of points, or poses.

A list is ``[[x, y], …]`` or ``[{"x": …, "y": …}, …]``; a third number (a depth or a score) is not read. Of a batch, and of a
pose as OpenPose's editors write it, the first picture's first face is taken. Pixels, or shares of the picture: what most of a list's
points say. What a detector has not found has negative numbers, or 0, 0 with a score of 0. A pose may say how large the picture was that it
was found in (``canvas_width``, ``canvas_height``). Of ComfyUI's FACE_LANDMARKS, too, the first picture's first face is taken.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DragonError
from ..imaging.affine import Point
from .point_formats import MAX_COORDINATE, MAX_PAIRS, coordinate, read_json, shortened

FORMS = 'write [[x, y], …] or [{"x": …, "y": …}, …]'
#: Keys under which a pose holds its people, and a person's face: x, y and score in turn.
PEOPLE, FACE_KEYS = "people", ("face_keypoints_2d", "face_keypoints")
#: Keys under which ComfyUI's FACE_LANDMARKS hold pictures of faces, a face's points in pixels, and (height, width) of the pictures.
FRAMES, FACE_POINTS, IMAGE_SIZE = "frames", "landmarks_xy", "image_size"


log = logging.getLogger(__name__)

#: Fewer points than this that all lie within one pixel may be points; more are shares of the picture.
FEW = 3


@dataclass(frozen=True)
class Landmarks:
    """Points as they were given, None where none was found. canvas: (width, height) of the picture they were found in, if it is known."""

    points: tuple[Point | None, ...]
    canvas: tuple[float, float] | None = None

    def in_pixels(self, image_size: tuple[int, int], name: str) -> tuple[Point | None, ...]:
        """The points in pixels of a picture of (height, width)."""
        size = (image_size[1], image_size[0])
        found = [point for point in self.points if point is not None]
        if len(found) >= FEW and statistics.median(max(point) for point in found) <= 1:
            factor: tuple[float, float] = size
        elif self.canvas is not None and self.canvas != size:
            factor = size[0] / self.canvas[0], size[1] / self.canvas[1]
            log.warning(
                "%s was found in a picture of %g×%g, this one is %d×%d: its points are scaled along", name, *self.canvas, *size
            )
        else:
            return self.points
        return tuple(point and (point[0] * factor[0], point[1] * factor[1]) for point in self.points)


def parse_landmarks(value: Any, name: str) -> Landmarks:  # noqa: ANN401 - any JSON, as text or read already
    """Landmarks from JSON text, or from lists or a tensor. ``name`` is for messages."""
    items = read_json(value, FORMS) if isinstance(value, str) else value.tolist() if hasattr(value, "tolist") else value
    while isinstance(items, (list, tuple)) and items and _is_nested(items[0]):
        items = items[0]
    canvas = None
    if isinstance(items, Mapping):
        canvas = _canvas(items)
        items = _face(items, name)
    if not isinstance(items, (list, tuple)) or not items:
        raise DragonError(f"{name} holds no landmarks; {FORMS}")
    if len(items) > MAX_PAIRS:
        raise DragonError(f"{name} holds {len(items)} landmarks, more than the {MAX_PAIRS} that an edit can follow; use fewer")
    return Landmarks(tuple(_landmark(item, f"landmark {number} of {name}") for number, item in enumerate(items, 1)), canvas)


def _is_nested(item: Any) -> bool:  # noqa: ANN401 - any JSON
    """Whether it is a picture's or a person's list of landmarks, or a pose, not one landmark."""
    if isinstance(item, Mapping):
        return "x" not in item
    return isinstance(item, (list, tuple)) and bool(item) and isinstance(item[0], (list, tuple, Mapping))


def _face(pose: Mapping[str, Any], name: str) -> list[list[float]]:
    """The landmarks of a pose's first person that has a face, or of the first face of face landmarks."""
    frames = pose.get(FRAMES)
    if frames:
        for found in (frames[0] if isinstance(frames, (list, tuple)) else ()):
            if isinstance(found, Mapping) and FACE_POINTS in found:
                points = found[FACE_POINTS]
                return list(points.tolist() if hasattr(points, "tolist") else points)
        raise DragonError(f"{name} has no face in its first picture: lower the detector's confidence, or {FORMS}")
    people = pose.get(PEOPLE, [pose])
    for person in people if isinstance(people, (list, tuple)) else ():
        for key in FACE_KEYS:
            numbers = person.get(key) if isinstance(person, Mapping) else None
            if isinstance(numbers, (list, tuple)) and numbers:
                if len(numbers) % 3:
                    raise DragonError(f'{name} has "{key}" with {len(numbers)} numbers, which are not x, y and score in turn')
                return [list(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
    raise DragonError(f"{name} is a pose without a face: switch the detector's face on, or {FORMS}")


def _canvas(pose: Mapping[str, Any]) -> tuple[float, float] | None:
    height_and_width = pose.get(IMAGE_SIZE)
    if isinstance(height_and_width, (list, tuple)) and len(height_and_width) == 2:
        size = (height_and_width[1], height_and_width[0])
    else:
        size = (pose.get("canvas_width"), pose.get("canvas_height"))
    sides = [float(side) for side in size if isinstance(side, (int, float)) and not isinstance(side, bool) and 0 < side <= MAX_COORDINATE]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def _landmark(item: Any, name: str) -> Point | None:  # noqa: ANN401 - any JSON
    if isinstance(item, Mapping) and "x" in item and "y" in item:
        values = [item["x"], item["y"]]
    elif isinstance(item, (list, tuple)) and len(item) in (2, 3):
        values = list(item)
    else:
        raise DragonError(f"{name} is {shortened(item)}, not [x, y]; {FORMS}")
    x, y, *score = (coordinate(value, name) for value in values)
    return None if min(x, y) < 0 or (score and not any((x, y, *score))) else (x, y)
