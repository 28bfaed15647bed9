"""The demo's picture: source, source with the mask's outline and an arrow, result."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

ACCENT = (255, 64, 160)
HALO = (255, 255, 255)
GAP = 8


def side_by_side(source: Path, mask: Path, result: Path, shift: tuple[float, float]) -> Image.Image:
    """The three at the result's size; `shift` is in pixels of the source."""
    after = Image.open(result).convert("RGB")
    scale = max(1, round(384 / max(after.size)))
    size = (after.width * scale, after.height * scale)
    before = Image.open(source).convert("RGB")
    shift = (shift[0] * size[0] / before.width, shift[1] * size[1] / before.height)
    before = before.resize(size, Image.Resampling.LANCZOS)
    region = Image.open(mask).convert("L").resize(size, Image.Resampling.NEAREST).point([0] * 128 + [255] * 128)
    panels = (before, _annotated(before, region, shift), after.resize(size, Image.Resampling.LANCZOS))
    sheet = Image.new("RGB", (sum(panel.width for panel in panels) + GAP * (len(panels) - 1), size[1]), HALO)
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width + GAP
    return sheet


def _annotated(image: Image.Image, region: Image.Image, shift: tuple[float, float]) -> Image.Image:
    drawn = image.copy()
    outline = ImageChops.subtract(region.filter(ImageFilter.MaxFilter(5)), region.filter(ImageFilter.MinFilter(3)))
    drawn.paste(ACCENT, mask=outline)
    box = region.getbbox()
    if box is not None:
        start = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        _arrow(ImageDraw.Draw(drawn), start, (start[0] + shift[0], start[1] + shift[1]))
    return drawn


def _arrow(draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A line with a head, white underneath so that it shows on any picture."""
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    for colour, width, head in ((HALO, 8, 20.0), (ACCENT, 4, 16.0)):
        wings = [(end[0] - head * math.cos(angle + side), end[1] - head * math.sin(angle + side)) for side in (-0.5, 0.5)]
        draw.line([start, end], fill=colour, width=width)
        draw.polygon([end, *wings], fill=colour)
