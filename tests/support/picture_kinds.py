"""Files of the kinds that programs read in different ways: each a Load Image's value, and the file behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

Write = Callable[[Path], Any]
#: The EXIF orientation "to be shown turned by 90 degrees".
TURNED = 6
#: Width and height as stored.
SIZE = (96, 64)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = TURNED
    return exif


def _note(keyword: str, text: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(keyword, text) if keyword.startswith("XML") else info.add_text(keyword, text)
    return info


def _pictures() -> dict[str, Write]:
    across = np.linspace(0, 255, SIZE[0], dtype=np.uint8)[None].repeat(SIZE[1], 0)
    down = np.linspace(0, 255, SIZE[1], dtype=np.uint8)[:, None].repeat(SIZE[0], 1)
    colours = np.stack([across, 255 - across, down], -1)
    plain, grey = Image.fromarray(colours), Image.fromarray(across)
    hole = np.full_like(across, 255)
    hole[10:30, 20:50] = 0
    clear = Image.fromarray(np.dstack([colours, hole]))
    exif = _exif()
    raw = exif.tobytes()
    profile = f"\nexif\n{len(raw):8d}\n{raw.hex()}\n"  # as ImageMagick keeps it
    return {
        "turned.jpg": lambda file: plain.save(file, exif=exif, quality=100, subsampling=0),
        "turned.webp": lambda file: plain.save(file, exif=exif, lossless=True),
        "turned clear.webp": lambda file: clear.save(file, exif=exif, lossless=True, exact=True),
        "turned.png": lambda file: plain.save(file, exif=exif),
        "turned by a note.png": lambda file: plain.save(file, pnginfo=_note("Raw profile type exif", profile)),
        "turned by metadata.png": lambda file: plain.save(file, pnginfo=_note("XML:com.adobe.xmp", f'<a tiff:Orientation="{TURNED}"/>')),
        "cmyk.jpg": lambda file: plain.convert("CMYK").save(file, quality=100),
        "clear.png": lambda file: clear.save(file),
        "clear grey.png": lambda file: Image.merge("LA", (grey, Image.fromarray(hole))).save(file),
        "palette.png": lambda file: plain.quantize(8).save(file, transparency=3),
        "one bit.png": lambda file: grey.convert("1").save(file),
        "16 bits.png": lambda file: Image.fromarray(across.astype(np.uint16) * 257).save(file),
        "plain.tiff": lambda file: plain.save(file),
        "plain.tga": lambda file: plain.save(file),
        "frames.gif": lambda file: plain.save(file, save_all=True, append_images=[plain.rotate(180)]),
        "two..dots.png": lambda file: plain.save(file),
        "a folder/below it/a name.png": lambda file: plain.save(file),
        "Größe 大きさ 100% #1 & a+b.png": lambda file: plain.save(file),
        "made.png [output]": lambda file: plain.save(file),
    }


KINDS = tuple(_pictures())


def write_kinds(base: Path) -> None:
    """All of KINDS into the folders of a server with this base folder."""
    for value, write in _pictures().items():
        name, _, kind = value.partition(" [")
        file = base / (kind.removesuffix("]") or "input") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file)
