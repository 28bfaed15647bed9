"""Landmarks as detectors and editors write them: two lists of points, or poses.

A list is ``[[x, y], …]`` or ``[{"x": …, "y": …}, …]``; a third number (a depth or a score) is not read. Of a batch, and of a
pose as OpenPose's editors write it, the first picture's first face is taken. Pixels, or shares of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import DragonError
from ..imaging.affine import Point
from .point_formats import MAX_COORDINATE, MAX_PAIRS, read_json, shortened

FORMS = 'write [[x, y], …] or [{"x": …, "y": …}, …]'
#: Keys under which a pose holds its people, and a person's face: x, y and score in turn.
PEOPLE, FACE_KEYS = "people", ("face_keypoints_2d", "face_keypoints")


def parse_landmarks(value: Any, name: str) -> tuple[Point | None, ...]:  # noqa: ANN401 - any JSON, as text or read already
    """Landmarks from JSON text, or from lists or a tensor; None where a detector has found none. ``name`` is for messages."""
    items = read_json(value) if isinstance(value, str) else value.tolist() if hasattr(value, "tolist") else value
    while isinstance(items, (list, tuple)) and items and _is_nested(items[0]):
        items = items[0]
    if isinstance(items, Mapping):
        items = _face(items, name)
    if not isinstance(items, (list, tuple)) or not items:
        raise DragonError(f"{name} holds no landmarks; {FORMS}")
    if len(items) > MAX_PAIRS:
        raise DragonError(f"{name} holds {len(items)} landmarks, more than the {MAX_PAIRS} that an edit can follow; use fewer")
    return tuple(_landmark(item, f"landmark {number} of {name}") for number, item in enumerate(items, 1))


def _is_nested(item: Any) -> bool:  # noqa: ANN401 - any JSON
    """Whether it is a picture's or a person's list of landmarks, or a pose, not one landmark."""
    if isinstance(item, Mapping):
        return "x" not in item
    return isinstance(item, (list, tuple)) and bool(item) and isinstance(item[0], (list, tuple, Mapping))


def _face(pose: Mapping[str, Any], name: str) -> list[list[float]]:
    """The landmarks of a pose's first person that has a face."""
    people = pose.get(PEOPLE, [pose])
    for person in people if isinstance(people, (list, tuple)) else ():
        for key in FACE_KEYS:
            numbers = person.get(key) if isinstance(person, Mapping) else None
            if isinstance(numbers, (list, tuple)) and numbers:
                if len(numbers) % 3:
                    raise DragonError(f'{name} has "{key}" with {len(numbers)} numbers, which are not x, y and score in turn')
                return [list(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
    raise DragonError(f"{name} is a pose without a face: switch the detector's face on, or {FORMS}")


def _landmark(item: Any, name: str) -> Point | None:  # noqa: ANN401 - any JSON
    if isinstance(item, Mapping) and "x" in item and "y" in item:
        values = [item["x"], item["y"]]
    elif isinstance(item, (list, tuple)) and len(item) in (2, 3):
        values = list(item)
    else:
        raise DragonError(f"{name} is {shortened(item)}, not [x, y]; {FORMS}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DragonError(f"{name} has the coordinate {shortened(value)}, which is not a number")
        if not -MAX_COORDINATE <= value <= MAX_COORDINATE:  # NaN, too
            raise DragonError(f"{name} has a coordinate that is no place in a picture (NaN, infinite or beyond a million pixels)")
    # Detectors write 0, 0 with a score of 0 for what they have not found.
    return None if not any(values) and len(values) == 3 else (float(values[0]), float(values[1]))
