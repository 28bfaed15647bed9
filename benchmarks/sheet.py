"""The contact sheet: a row a case, so that people look before they read the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.box import dilate
from benchmarks.cases import Case, Mask, Picture, Point
from toy_world.render import to_bytes

THUMB = 192
MARGIN = 4
TITLE = 16
ARROW = (255, 40, 40)
OUTLINE = (255, 255, 255)
TARGET = (255, 40, 40)


def contact_sheet(cases: Sequence[Case], outputs: Sequence[Mapping[str, Picture]], methods: Sequence[str]) -> Image.Image:
    """Columns: the source with the edit drawn on it, the reference where there is one, every method, the truth, and the last
    method's difference to it (×3, grey = equal).
    """
    has_reference = any(case.reference is not None for case in cases)
    titles = ["source", *(["reference"] if has_reference else []), *methods, "truth", f"{methods[-1]} - truth"]
    step = THUMB + MARGIN
    sheet = Image.new("RGB", (len(titles) * step + MARGIN, TITLE + len(cases) * (step + TITLE) + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((MARGIN + column * step, 2), title, fill="black")
    for line, (case, output) in enumerate(zip(cases, outputs, strict=True)):
        top = TITLE + line * (step + TITLE)
        last = output.get(methods[-1])
        cells = [_request(case)]
        if has_reference:
            cells.append(_thumb(_outlined(case.reference, case.reference_mask, OUTLINE)))
        cells += [*(_thumb(output.get(name)) for name in methods), _thumb(case.truth)]
        cells.append(_thumb(None if last is None else 0.5 + 3 * (last - case.truth)))
        for column, cell in enumerate(cells):
            sheet.paste(cell, (MARGIN + column * step, top))
        draw.text((MARGIN, top + THUMB), f"{case.name}: {case.wanted_prompt}", fill="black")
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    sheet.save(path, optimize=True)


def _thumb(picture: Picture | None) -> Image.Image:
    """At most THUMB a side; grey where there is no picture."""
    if picture is None:
        return Image.new("RGB", (THUMB, THUMB), (200, 200, 200))
    image = Image.fromarray(to_bytes(picture))
    image.thumbnail((THUMB, THUMB), Image.Resampling.BOX)
    return image


def _request(case: Case) -> Image.Image:
    """The source with what is asked for: the object outlined (its place in the answer in red where that has another outline), arrows."""
    picture = _outlined(case.source, case.mask, TARGET if case.edit.task == "paste" else OUTLINE)
    if case.edit.task == "resize":
        picture = _outlined(picture, case.truth_mask, TARGET)
    image = _thumb(picture)
    scale = image.width / case.mask.shape[1]
    draw = ImageDraw.Draw(image)
    for start, end in _arrows(case):
        _draw_arrow(draw, (start[0] * scale, start[1] * scale), (end[0] * scale, end[1] * scale))
    return image


def _arrows(case: Case) -> Iterable[tuple[Point, Point]]:
    if case.edit.points:
        return case.edit.points
    if case.edit.task in ("appearance", "paste") or case.edit.dx == case.edit.dy == 0:
        return ()
    y, x = np.argwhere(case.mask).mean(axis=0)
    return (((x, y), (x + case.edit.dx, y + case.edit.dy)),)


def _outlined(picture: Picture | None, mask: Mask | None, colour: tuple[int, int, int]) -> Picture | None:
    if picture is None or mask is None:
        return None
    out = picture.copy()
    out[dilate(mask, 2) & ~mask] = np.array(colour, dtype=np.float32) / 255
    return out


def _draw_arrow(draw: ImageDraw.ImageDraw, start: Point, end: Point) -> None:
    angle = np.arctan2(end[1] - start[1], end[0] - start[0])
    draw.line((*start, *end), fill=ARROW, width=3)
    for turn in (2.6, -2.6):
        draw.line((*end, end[0] + 10 * np.cos(angle + turn), end[1] + 10 * np.sin(angle + turn)), fill=ARROW, width=3)
