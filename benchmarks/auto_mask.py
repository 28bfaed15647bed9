"""Measure masks from one click: ``python3 -m dev run -- -m benchmarks.auto_mask --cases DIR --out auto_mask.json``.

Any case folders do (of them ``source.png``, ``mask.png`` and the prompt are used). The click is a pixel of the object drawn from its
inner half, by the case's name; a second one, off the object, asks whether the node knows that there is nothing (in a room with two
objects it may be the other one). Beside Dragon's mask stand the two that need no model: all pixels that hang together with the click
and have its colour, and a disc.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks.box import dilate
from benchmarks.cases import Case, CaseError, Mask, load_cases
from benchmarks.metrics import iou
from benchmarks.results import interval
from toy_world.render import to_bytes

if TYPE_CHECKING:
    from benchmarks.host import Host

LOG = logging.getLogger("benchmarks.auto_mask")
METHODS = ("disc", "colour", "dragon")
#: The best of 0.05–0.3 and 0.1–0.2 on other scenes (seed 401).
COLOUR_TOLERANCE = 0.15
DISC_SHARE = 0.16
THUMB = 160

Click = tuple[int, int]


def click_on(case: Case) -> Click:
    """(x, y) on the object, at least half as deep inside as one can be."""
    depth, left = np.zeros(case.mask.shape, np.int32), case.mask
    while left.any():
        depth += left
        left = ~dilate(~left, 1)
    return _drawn(depth >= 0.5 * depth.max(), case.name)


def click_beside(case: Case) -> Click:
    """(x, y) on the background or another object, away from the object."""
    return _drawn(~dilate(case.mask, max(1, case.side // 16)), case.name)


def disc(case: Case, click: Click) -> Mask:
    rows, columns = np.ogrid[: case.mask.shape[0], : case.mask.shape[1]]
    mask: Mask = np.hypot(columns - click[0], rows - click[1]) <= DISC_SHARE * case.side
    return mask


def same_colour(case: Case, click: Click) -> Mask:
    """Flood fill: pixels within :data:`COLOUR_TOLERANCE` of the mean colour of the 5×5 at the click."""
    x, y = click
    colour = case.source[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean((0, 1))
    alike = Image.fromarray(np.uint8(255 * (np.abs(case.source - colour).mean(-1) < COLOUR_TOLERANCE)))
    alike.putpixel(click, 255)
    ImageDraw.floodfill(alike, click, 128)
    mask: Mask = np.asarray(alike) == 128
    return mask


def measure(case: Case, host: Host) -> tuple[dict[str, Any], dict[str, Mask]]:
    """One case: IoU by method, confidence, seconds of the mask alone, confidence on the background; and the masks."""
    host.begin(case)
    model = host.loaded[0]
    click, beside = click_on(case), click_beside(case)
    trajectory = host.run("DragonInvert", model=model, positive=host.text(case.edit.prompt), latent=host.encode(case.source))[0]
    before = host.meter.read()
    links = {"model": model, "trajectory": trajectory, "image": torch.from_numpy(case.source)[None]}
    found, confidence = host.run("DragonAutoMask", **links, x=click[0], y=click[1], min_confidence=0.0)[:2]
    cost = host.meter.read() - before
    masks = {"disc": disc(case, click), "colour": same_colour(case, click), "dragon": found[0].numpy() > 0.5}
    row = {
        "click": click,
        "iou": {name: iou(mask, case.mask) for name, mask in masks.items()},
        "confidence": confidence,
        "beside": host.run("DragonAutoMask", **links, x=beside[0], y=beside[1], min_confidence=0.0)[1],
        "seconds": cost.seconds,
        "row_forwards": cost.row_forwards,
    }
    return row, masks


def table(rows: Mapping[str, Mapping[str, Any]], least: float) -> str:
    """Medians with 95 % intervals, seen and unseen identities apart."""
    groups = {"all": list(rows.values())}
    for split in ("unseen", "seen"):
        groups[split] = [row for name, row in rows.items() if f"-{split}-" in name]
    lines = [
        "| scenes | disc | colour | Dragon | IoU ≥ 0.75 | taken for unsure | other place taken for an object | seconds |",
        "|---" * 8 + "|",
    ]
    for name, group in groups.items():
        if not group:
            continue
        cells = [f"{name} ({len(group)})"]
        for method in METHODS:
            found = interval([row["iou"][method] for row in group], share=False)
            cells.append(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
        cells.append(f"{np.mean([row['iou']['dragon'] >= 0.75 for row in group]):.0%}")
        cells.append(f"{np.mean([row['confidence'] < least for row in group]):.0%}")
        cells.append(f"{np.mean([row['beside'] >= least for row in group]):.0%}")
        cells.append(f"{np.median([row['seconds'] for row in group]):.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def contact_sheet(cases: Sequence[Case], clicks: Sequence[Click], masks: Sequence[Mapping[str, Mask]], columns: int = 2) -> Image.Image:
    """A case: the click; the masks of colour and Dragon; the true one. ``columns`` cases in a row."""
    tiles = []
    for case, click, found in zip(cases, clicks, masks, strict=True):
        tile = Image.new("RGB", (4 * THUMB + 8, THUMB + 4), "white")
        source = Image.fromarray(to_bytes(case.source))
        pointed = source.copy()
        ImageDraw.Draw(pointed).ellipse(
            [click[0] - 5, click[1] - 5, click[0] + 5, click[1] + 5], fill=(0, 255, 0), outline="black", width=2
        )
        shown = [pointed]
        for mask in (found["colour"], found["dragon"], case.mask):
            tint = Image.new("RGB", source.size, (255, 25, 150))
            shown.append(Image.composite(Image.blend(source, tint, 0.65), source, Image.fromarray(np.uint8(255 * mask))))
        for number, picture in enumerate(shown):
            tile.paste(picture.resize((THUMB, THUMB), Image.Resampling.BOX), (number * THUMB, 0))
        tiles.append(tile)
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (4 * THUMB + 8), rows * (THUMB + 4)), "white")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * tile.width, number // columns * tile.height))
    return sheet


def _drawn(allowed: Mask, name: str) -> Click:
    places = np.argwhere(allowed)
    y, x = places[np.random.default_rng(zlib.crc32(name.encode())).integers(len(places))]
    return int(x), int(y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True, help="folder of case folders, or one case folder")
    parser.add_argument("--out", type=Path, required=True, help="results; a table (.md) and a contact sheet (.png) go beside it")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N cases")
    parser.add_argument("--checkpoint", help="a checkpoint in ComfyUI's models folder instead of the bundled model")
    args = parser.parse_args()
    try:
        cases = load_cases(args.cases)[: args.limit]
    except CaseError as error:
        parser.error(str(error))
    from benchmarks.host import Host  # ComfyUI starts here

    host = Host(args.checkpoint)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)  # ComfyUI's chatter aside
    LOG.setLevel(logging.INFO)
    least = float(str(host.defaults("DragonAutoMask")["min_confidence"]))
    rows: dict[str, dict[str, Any]] = {}
    masks: list[dict[str, Mask]] = []
    for number, case in enumerate(cases, 1):
        rows[case.name], found = measure(case, host)
        masks.append(found)
        row = rows[case.name]
        LOG.info(
            "%s  IoU %.3f  confidence %.2f  beside %.2f  %.1f s",
            case.name,
            row["iou"]["dragon"],
            row["confidence"],
            row["beside"],
            row["seconds"],
        )
        args.out.write_text(json.dumps({"about": host.about(), "min_confidence": least, "cases": rows}, indent=1), "utf-8")
        if number % 8 == 0 or number == len(cases):
            contact_sheet(cases[:number], [row["click"] for row in rows.values()], masks).save(args.out.with_suffix(".png"))
    text = table(rows, least)
    args.out.with_suffix(".md").write_text(text + "\n", "utf-8")
    LOG.info("\n%s", text)


if __name__ == "__main__":
    main()
