"""The contact sheet: a row a case, so that people look before they read the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.cases import Case, Picture, to_bytes

THUMB = 192
MARGIN = 4
TITLE = 16
ARROW = (255, 40, 40)


def contact_sheet(cases: Sequence[Case], outputs: Sequence[Mapping[str, Picture]], methods: Sequence[str]) -> Image.Image:
    """Columns: source with an arrow, every method, the truth, and the last method's difference to it (×3, grey = equal)."""
    titles = ["source", *methods, "truth", f"{methods[-1]} - truth"]
    step = THUMB + MARGIN
    sheet = Image.new("RGB", (len(titles) * step + MARGIN, TITLE + len(cases) * (step + TITLE) + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((MARGIN + column * step, 2), title, fill="black")
    for line, (case, output) in enumerate(zip(cases, outputs, strict=True)):
        top = TITLE + line * (step + TITLE)
        last = output.get(methods[-1])
        cells = [_arrow(case), *(_thumb(output.get(name)) for name in methods), _thumb(case.truth)]
        cells.append(_thumb(None if last is None else 0.5 + 3 * (last - case.truth)))
        for column, cell in enumerate(cells):
            sheet.paste(cell, (MARGIN + column * step, top))
        draw.text((MARGIN, top + THUMB), f"{case.name}: {case.edit.prompt}", fill="black")
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


def _arrow(case: Case) -> Image.Image:
    """The source with an arrow from the object's centroid along the edit's shift."""
    image = _thumb(case.source)
    scale = image.width / case.mask.shape[1]
    y, x = np.argwhere(case.mask).mean(axis=0) * scale
    dx, dy = case.edit.dx * scale, case.edit.dy * scale
    draw = ImageDraw.Draw(image)
    draw.line((x, y, x + dx, y + dy), fill=ARROW, width=3)
    angle = np.arctan2(dy, dx)
    for turn in (2.6, -2.6):
        draw.line((x + dx, y + dy, x + dx + 10 * np.cos(angle + turn), y + dy + 10 * np.sin(angle + turn)), fill=ARROW, width=3)
    return image
