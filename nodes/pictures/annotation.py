"""Draws edits on pictures: outlines, arrows with numbers, sheets of titled panels, curves. PIL, numpy and scipy, no tensors.

Everything is drawn with a dark and a light rim, so that it shows on any picture. Pillow's own font has
Latin letters only. ``web/canvas/palette.js`` has the same colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Colour = tuple[int, int, int]
Place = tuple[float, float]

#: One for each object, in turn.
PALETTE: tuple[Colour, ...] = ((255, 64, 160), (0, 200, 255), (255, 190, 0), (96, 224, 96), (186, 130, 255), (255, 120, 60))
ARROW: Colour = (255, 74, 60)
DARK: Colour = (20, 20, 24)
LIGHT: Colour = (255, 255, 255)
PAPER: Colour = (24, 24, 28)
INK: Colour = (226, 226, 232)
FAINT: Colour = (70, 70, 80)

#: Pictures are enlarged by whole factors up to about this many pixels before anything is drawn on them.
READABLE = 512
#: ... and shrunk to this many, beyond which lines take long to draw and nothing is gained.
LARGEST = 2048
#: Lines are drawn larger and scaled down, which smooths their edges.
FINE = 2


@dataclass(frozen=True, eq=False)
class Outline:
    """The rim of a region (H, W) in [0, 1] on any grid over the picture; ``filled`` tints its inside, too."""

    region: NDArray[np.float32]
    colour: Colour
    filled: bool = False


@dataclass(frozen=True)
class Arrow:
    """From one place to another, as fractions of the picture's width and height."""

    start: Place
    end: Place
    colour: Colour = ARROW
    label: str = ""


@dataclass(frozen=True)
class Curve:
    """Values over steps."""

    name: str
    values: tuple[float, ...]
    colour: Colour


def readable(picture: Image.Image) -> Image.Image:
    """A small picture enlarged by a whole factor, so that what is drawn on it can be read."""
    factor = max(1, round(READABLE / max(picture.size)))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.LANCZOS) if factor > 1 else picture


def annotated(picture: Image.Image, outlines: Sequence[Outline] = (), arrows: Sequence[Arrow] = ()) -> Image.Image:
    """The picture, readable and not too large, with outlines below arrows."""
    drawn = readable(picture.convert("RGB")).copy()
    drawn.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    unit = max(1.0, max(drawn.size) / READABLE)
    for outline in outlines:
        _draw_outline(drawn, outline, unit)
    layer = Image.new("RGBA", (drawn.width * FINE, drawn.height * FINE))
    brush = ImageDraw.Draw(layer)
    for arrow in arrows:
        _draw_arrow(brush, arrow, layer.size, unit * FINE)
    smooth = layer.resize(drawn.size, Image.Resampling.BOX)
    return Image.alpha_composite(drawn.convert("RGBA"), smooth).convert("RGB")


def sheet(panels: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Panels side by side, their titles above them; each is scaled to the first one's height."""
    height = panels[0][1].height
    gap, bar = max(6, height // 64), max(22, height // 18)
    scaled = [(title, _to_height(image.convert("RGB"), height)) for title, image in panels]
    width = sum(image.width for _, image in scaled) + gap * (len(scaled) + 1)
    page = Image.new("RGB", (width, height + bar + gap), PAPER)
    brush = ImageDraw.Draw(page)
    left = gap
    for title, image in scaled:
        brush.text((left + 2, bar / 2), title, fill=INK, font=_fitting([title], bar * 0.58, image.width - 4), anchor="lm")
        page.paste(image, (left, bar))
        left += image.width + gap
    return page


def difference(before: Image.Image, after: Image.Image, gain: float = 2.0) -> Image.Image:
    """How far each pixel has changed, ``gain`` times as bright, on black."""
    apart = np.abs(np.asarray(before.convert("RGB"), dtype=np.int16) - np.asarray(after.convert("RGB"), dtype=np.int16))
    return Image.fromarray(np.clip(apart * gain, 0, 255).astype(np.uint8))


def plot(curves: Sequence[Curve], size: tuple[int, int], ends: tuple[str, str] = ("", "")) -> Image.Image:
    """Curves over steps, a dot at each value, each against its own largest one; its legend names the first and the last.

    ``ends``: what stands below the first and the last value, or below the only one.
    """
    width, height = size[0] * FINE, size[1] * FINE
    page = Image.new("RGB", (width, height), PAPER)
    brush = ImageDraw.Draw(page)
    text = max(11, min(size) // 24) * FINE
    left, right = text, width - text
    legends = [_legend(curve) for curve in curves]
    font = _fitting(legends, text, right - left - 2.6 * text)
    legend = round(text * 1.5) * len(curves) + text // 2
    top, bottom = legend + text, height - 2.5 * text
    for share in (0, 0.5, 1):
        level = bottom + share * (top - bottom)
        brush.line([(left, level), (right, level)], fill=FAINT, width=FINE)
    for row, (curve, words) in enumerate(zip(curves, legends, strict=True)):
        middle = round(text * 1.5) * row + text
        brush.line([(left, middle), (left + 2 * text, middle)], fill=curve.colour, width=3 * FINE)
        _draw_dot(brush, (left + text, middle), curve.colour, 4 * FINE)
        brush.text((left + 2.6 * text, middle), words, fill=INK, font=font, anchor="lm")
        # A later one's dots are smaller: where all begin at their largest value, none hides another.
        _draw_curve(brush, curve, (left, right, top, bottom), (3 + 1.5 * (len(curves) - 1 - row)) * FINE)
    font = _fitting(ends, text, (right - left) / 2.2)
    below = bottom + 1.3 * text
    if ends[1]:
        brush.text((left, below), ends[0], fill=INK, font=font, anchor="lm")
        brush.text((right, below), ends[1], fill=INK, font=font, anchor="rm")
    else:
        brush.text(((left + right) / 2, below), ends[0], fill=INK, font=font, anchor="mm")
    return page.resize(size, Image.Resampling.BOX)


def _fitting(lines: Sequence[str], size: float, width: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of this size, or one so small that every line fits the width."""
    longest = max((ImageFont.load_default(size=size).getlength(line) for line in lines), default=0.0)
    return ImageFont.load_default(size=max(1.0, size * min(1.0, width / max(longest, 1.0))))


def _legend(curve: Curve) -> str:
    finite = [value for value in curve.values if math.isfinite(value)]
    if not finite:
        return f"{curve.name}: no finite value"
    return f"{curve.name}: {finite[0]:.3g}" + (f" to {finite[-1]:.3g}" if len(finite) > 1 else "")


def _draw_curve(brush: ImageDraw.ImageDraw, curve: Curve, frame: tuple[float, float, float, float], radius: float) -> None:
    left, right, top, bottom = frame
    largest = max((abs(value) for value in curve.values if math.isfinite(value)), default=0.0) or 1.0
    stride = (right - left) / max(1, len(curve.values) - 1)
    start = left if len(curve.values) > 1 else (left + right) / 2
    dots = [
        (start + index * stride, bottom + max(0.0, value / largest) * (top - bottom))
        for index, value in enumerate(curve.values)
        if math.isfinite(value)
    ]
    if len(dots) > 1:
        brush.line(dots, fill=curve.colour, width=2 * FINE, joint="curve")
    for dot in dots:
        _draw_dot(brush, dot, curve.colour, min(radius, max(2 * FINE, stride / 3)))


def _draw_dot(brush: ImageDraw.ImageDraw, at: Place, colour: Colour, radius: float) -> None:
    brush.ellipse([at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius], fill=colour)


def _draw_outline(picture: Image.Image, outline: Outline, unit: float) -> None:
    region = Image.fromarray((np.clip(outline.region, 0, 1) * 255).astype(np.uint8))
    region = region.resize(picture.size, Image.Resampling.BILINEAR).point([0] * 128 + [255] * 128)
    if outline.filled:
        picture.paste(outline.colour, mask=region.point([0] * 255 + [70]))
    box = region.getbbox()
    if box is None:
        return
    margin = round(3 * unit)
    left, top = max(0, box[0] - margin), max(0, box[1] - margin)
    inside = np.asarray(region)[top : box[3] + margin, left : box[2] + margin] > 0
    core = ndimage.minimum_filter(inside, 3, mode="nearest")
    for colour, width in ((DARK, 3), (LIGHT, 2), (outline.colour, 1)):
        wider = ndimage.maximum_filter(inside, 2 * round(width * unit) + 1, mode="nearest")
        picture.paste(colour, (left, top), Image.fromarray(wider & ~core))


def _draw_arrow(brush: ImageDraw.ImageDraw, arrow: Arrow, size: tuple[int, int], unit: float) -> None:
    start = arrow.start[0] * size[0], arrow.start[1] * size[1]
    end = arrow.end[0] * size[0], arrow.end[1] * size[1]
    length = math.dist(start, end)
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    for colour, rim in ((DARK, 2.2), (LIGHT, 1.2), (arrow.colour, 0.0)):
        head = min(14 * unit, max(7 * unit, length / 2))
        if length > 1:
            neck = (end[0] - head * 0.7 * math.cos(angle), end[1] - head * 0.7 * math.sin(angle))
            brush.line([start, neck], fill=colour, width=round((3 + 2 * rim) * unit))
            tip = (end[0] + rim * unit * math.cos(angle), end[1] + rim * unit * math.sin(angle))
            wing = head + 2 * rim * unit
            wings = [(tip[0] - wing * math.cos(angle + side), tip[1] - wing * math.sin(angle + side)) for side in (-0.5, 0.5)]
            brush.polygon([tip, *wings], fill=colour)
        radius = (4.5 + rim) * unit
        brush.ellipse([start[0] - radius, start[1] - radius, start[0] + radius, start[1] + radius], fill=colour)
    if arrow.label:
        _draw_label(brush, arrow, start, angle, size, unit)


def _draw_label(
    brush: ImageDraw.ImageDraw, arrow: Arrow, start: Place, angle: float, size: tuple[int, int], unit: float
) -> None:
    """The number in a disc behind the arrow's start, where nothing else of it is; beside it where the picture ends behind it."""
    radius, away = 10 * unit, 17 * unit

    def inside(value: float, side: int) -> float:
        return min(max(value, radius), side - radius)

    angles = [angle, angle + math.pi / 2, angle - math.pi / 2]
    places = [(inside(start[0] - away * math.cos(a), size[0]), inside(start[1] - away * math.sin(a), size[1])) for a in angles]
    x, y = max(places, key=lambda place: round(min(math.dist(place, start), away)))
    brush.ellipse([x - radius, y - radius, x + radius, y + radius], fill=DARK, outline=LIGHT, width=round(1.2 * unit))
    brush.text((x, y), arrow.label, fill=LIGHT, font=ImageFont.load_default(size=14 * unit), anchor="mm")


def _to_height(image: Image.Image, height: int) -> Image.Image:
    if image.height == height:
        return image
    return image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS)
