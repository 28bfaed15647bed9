"""Where the nodes of the templates lie: a strip of notes, and below it the graph in columns, so that all of it is seen when it opens.

Newer frontends fit a template into the window; 1.32 opens it as its view says (without one, its Nodes 2.0 misplace nodes as they fit
it). So what counts is that it is narrow, and low enough for its width. Room is kept for the tallest of the renderers (classic,
Nodes 2.0); `tests/browser/test_layout.py` measures them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dev import workflow
from dev.graph_file import Graph, Node, save
from dev.paths import WORKFLOWS

Column = tuple[str, ...]
"""Titles (or types) of nodes from top to bottom; those that a graph lacks are passed over."""

TITLE, GROUP_TITLE, RIM, GAP = 30, 46, 16, 22
NOTES = 330
"""Height of the strip: what the frontend makes of Dragon Preview when its picture has come."""
SEEN, CORNER = (1235, 740), (90, 165)
"""Pixels of the page: how large the graph is when it opens (Nodes 2.0 of 1.32 draws it 1.2 times as large), and where it begins, below
the bars."""
CLEAREST = 0.6
"""The classic renderer draws no letters at smaller scales."""
WIDEST = 2080
"""Of a graph: at `CLEAREST` it fills what is seen in Nodes 2.0, which draws it 1.2 times as large."""
BADGE = 56
"""Nodes 2.0: the pack's name and *Show advanced inputs* below the widgets."""


@dataclass(frozen=True)
class Group:
    """Columns with a frame around them."""

    title: str
    colour: str
    columns: tuple[tuple[int, Column], ...]
    """Width of each, and what is in it."""


@dataclass(frozen=True)
class Placed:
    """What is around the nodes of a subgraph: frames, and its two sides."""

    groups: list[dict[str, Any]]
    before: list[int]
    after: list[int]


SHIFTED = ("ModelSamplingAuraFlow", "ModelSamplingSD3")
NEGATIVE = ("What it should not show",)
PROMPTS = ("What the picture shows", "What is left without it")
PAIRED = ("What the source shows", "What the second picture shows", "What the result shows", *NEGATIVE)
ENCODED = ("Encode the picture", "Encode the source", "Encode the second")
LOADERS = ("DragonMiniModel", "CheckpointLoaderSimple", "UNETLoader", *SHIFTED, "CLIPLoader", "VAELoader")
SOURCES = ("Source picture", "Source video", "Its frames")
MASKS = ("What moves", "What is resized", "What goes along", "What is removed")
CANVAS = "Draw here: what goes where"
CROP = "DragonCrop"
LOSSES = (
    "DragonMoveLoss",
    "DragonResizeLoss",
    "DragonDragLoss",
    "DragonLandmarksLoss",
    "DragonPasteLoss",
    "DragonAppearanceLoss",
    "DragonInpaintLoss",
)


def _groups(titles: set[str]) -> tuple[Group, ...]:
    """From left to right, by what there is: what a user brings, how the model retraces it, the edit, what comes of it."""
    shared = "DragonCrossAttnPatch"
    inverts = ("DragonInvert", "Invert the source", "Invert the second picture")
    early, late = ((shared,), ()) if "Second picture" not in titles else ((), (shared,))
    guidance = (*inverts, "DragonGuidanceBranch", *early, "DisableNoise")
    cropped, losses = ((*LOSSES, CROP, *ENCODED), ()) if CROP in titles else ((), LOSSES)
    edit = (*losses, *late, "DragonDraft", "Encode the draft", "SamplerCustomAdvanced")
    sampling = ("DragonSampler", "DragonGuider", "DragonEulerSampler")
    result = ("VAEDecode", "DragonComposite", "DragonUncrop", "The same picture, its object moved", "SaveImage", "CreateVideo", "SaveVideo")
    return (
        *_source(titles),
        *((Group("The edit on a crop", "#88A", ((255, cropped),)),) if cropped else ()),
        Group("Guidance branch", "#3f789e", ((255, guidance),)),
        Group("The edit", "#a1309b", ((260, edit), (270, sampling))),
        Group("Result", "#b58b2a", ((270, result),)),
    )


def _source(titles: set[str]) -> tuple[Group, ...]:
    columns: tuple[tuple[int, Column], ...]
    if "DragonRecord" in titles:
        made = ((255, ("DragonRecord", "Decode the picture", "The picture")), (260, ("Point at what moves", "Its soft edge, too")))
        return (
            Group("Prompt", "#8A8", ((225, ("DragonMiniModel", *PROMPTS, *NEGATIVE, "Size of the picture")),)),
            Group("The picture, and what moves", "#88A", made),
        )
    if "Whose look is wanted" in titles:
        columns = (
            (230, ("Source picture", "Second picture", "Encode the source")),
            (230, ("What changes its look", "Whose look is wanted", "Encode the second")),
            (230, (*PAIRED, "DragonMiniModel")),
        )
        return (Group("Source and second picture", "#8A8", columns),)
    if "Second picture" in titles:
        columns = (
            (230, ("Source picture", "Second picture")),
            (230, ("What is pasted", *PAIRED[:2])),
            (230, (*PAIRED[2:], "DragonMiniModel", *ENCODED)),
        )
        return (Group("Source and second picture", "#8A8", columns),)
    if CANVAS in titles:
        columns = ((230, ("Source picture", *PROMPTS, *NEGATIVE, "DragonMiniModel")), (480, (CANVAS, *ENCODED)))
        return (Group("Source", "#8A8", columns),)
    masks = [title for title in MASKS if title in titles]
    left: Column = (*SOURCES, *LOADERS)
    right: Column = (*PROMPTS, *NEGATIVE, *ENCODED)
    if "Source video" in titles:  # too much for one column
        left, right = (*SOURCES, *LOADERS[:-1]), (*masks, *PROMPTS, *NEGATIVE, LOADERS[-1], *ENCODED)
    elif CROP in titles or "DragonMiniModel" not in titles:
        right = (*masks, *PROMPTS, *NEGATIVE, *(() if CROP in titles else ENCODED))
    elif masks:
        left, right = ("Source picture", PROMPTS[0], "DragonMiniModel"), (*masks, PROMPTS[1], *NEGATIVE, *ENCODED)
    return (Group("Source", "#8A8", ((230, left), (230, right))),)


def write() -> list[str]:
    """Lay out the templates that are not made from others; returns the names of the files that changed."""
    changed = []
    for file in sorted(WORKFLOWS.glob("*.json")):
        graph = workflow.load(file)
        if not graph.get("definitions", {}).get("subgraphs"):
            arrange(graph)
            changed += [file.name] if save(graph, file) else []
    return changed


def arrange(graph: Graph) -> None:
    """Lay a template out, frames and all; raises LookupError for a node that has no place here."""
    nodes = {node.get("title") or node["type"]: node for node in graph["nodes"] if node["type"] != "MarkdownNote"}
    titles = set(nodes)
    left, groups, bottom = 0, [], 0
    for group in _narrowed(_groups(titles), titles):
        width, height = _place(group, nodes, left, 0)
        groups.append((group, left, width))
        left += width + GAP
        bottom = max(bottom, height)
    right = left - GAP
    frames = [_frame(number, group, (at, 0, width, bottom)) for number, (group, at, width) in enumerate(groups, 1)]
    strip = [node for node in graph["nodes"] if node["type"] == "MarkdownNote"]
    preview = nodes.get("What came of it")
    _strip(strip, preview, right)
    graph["groups"] = frames
    graph.setdefault("extra", {})["ds"] = view((0, -NOTES - GAP - TITLE, right, bottom))
    placed = {title for group, _, _ in groups for _, column in group.columns for title in column} | {"What came of it"}
    if lost := titles - placed:
        raise LookupError(f"dev/layout.py has no place for {', '.join(sorted(lost))}")


def _narrowed(groups: Sequence[Group], titles: set[str]) -> list[Group]:
    """The groups that have nodes; where they are too wide together, each column gives up as much as any other."""
    seen = [replace(group, columns=tuple(each for each in group.columns if titles & set(each[1]))) for group in groups]
    seen = [group for group in seen if group.columns]
    widths = [width for group in seen for width, _ in group.columns]
    across = sum(widths) + GAP * (len(widths) - 1) + 2 * RIM * len(seen)
    less = max(0, math.ceil((across - WIDEST) / len(widths)))
    return [replace(group, columns=tuple((width - less, column) for width, column in group.columns)) for group in seen]


def arrange_first(before: Sequence[Node], face: Node, after: Node, notes: Sequence[Node]) -> dict[str, Any]:
    """One node between what it takes and what it gives, the notes to its left; returns the view."""
    left = 0
    if notes:
        height = (face["size"][1] - (TITLE + GAP) * (len(notes) - 1)) // len(notes)
        for number, node in enumerate(notes):
            node["pos"], node["size"] = [0, number * (height + TITLE + GAP)], [400, height]
        left = 400 + 2 * GAP
    down = 0
    for node in before:
        node["pos"], node["size"] = [left, down], [260, own_height(node, 260)]
        down += room(node, 260) + GAP
    face["pos"] = [left + 260 + 2 * GAP, 0]
    after["pos"], after["size"] = [face["pos"][0] + face["size"][0] + 2 * GAP, 0], [400, own_height(after, 400)]
    return view((0, -TITLE, after["pos"][0] + 400, face["size"][1]))


def view(box: tuple[int, int, int, int]) -> dict[str, Any]:
    """How a frontend that does not fit templates into the window opens it: below its bars, all of it on a screen of 1920×1080."""
    left, top, right, bottom = box
    scale = round(max(CLEAREST, min(SEEN[0] / (right - left), SEEN[1] / (bottom - top), 1)), 3)
    return {"scale": scale, "offset": [round(CORNER[0] / scale - left, 1), round(CORNER[1] / scale - top, 1)]}


def inside(nodes: Sequence[Node]) -> Placed:
    """Lay the nodes of a subgraph out, between its two sides."""
    by_title = {node.get("title") or node["type"]: node for node in nodes}
    asked = tuple(dict.fromkeys((*PROMPTS, *PAIRED)))
    source = Group("Source", "#8A8", ((250, asked), (480, (CANVAS,))))
    left, frames, bottom = 0, [], 0
    for number, group in enumerate((source, *_groups(set(by_title))[-4:]), 1):
        width, height = _place(group, by_title, left, 0)
        frames.append(_frame(number, group, (left, 0, width, height)))
        left += width + GAP
        bottom = max(bottom, height)
    for frame in frames:
        frame["bounding"][3] = bottom
    return Placed(frames, [-220, 200, 160, 240], [left + 60, 200, 120, 60])


def _place(group: Group, nodes: dict[str, Node], left: int, top: int) -> tuple[int, int]:
    """Put a group's nodes into its columns; its width and its bottom."""
    across, deepest = left + RIM, top
    for width, column in group.columns:
        present = [nodes[title] for title in column if title in nodes]
        if not present:
            continue
        down = top + GROUP_TITLE + TITLE
        for node in present:
            node["pos"] = [across, down]
            node["size"] = [width, own_height(node, width)]
            down += room(node, width) + GAP
        across += width + GAP
        deepest = max(deepest, down - GAP - TITLE + RIM)
    return across - GAP + RIM - left, deepest


def _strip(notes: Iterable[Node], preview: Node | None, right: int) -> None:
    """Notes, and the preview if there is one, side by side above the graph."""
    things = [*notes, *([preview] if preview else [])]
    width = (right - GAP * (len(things) - 1)) / len(things)
    left = 0.0
    for node in things:
        node["pos"] = [round(left), -NOTES - GAP]
        node["size"] = [round(width), NOTES]
        left += width + GAP


def _frame(number: int, group: Group, box: tuple[int, int, int, int]) -> dict[str, Any]:
    return {"id": number, "title": group.title, "bounding": list(box), "color": group.colour, "font_size": 24, "flags": {}}


def _widgets(node: Node) -> int:
    """A file may have values for widgets that it has no sockets for: the node has got them since."""
    sockets = sum("widget" in entry for entry in node.get("inputs") or ())
    return max(sockets, len(node.get("widgets_values") or ())) if node["type"].startswith("Dragon") else sockets


def _slots(node: Node) -> int:
    sockets = sum("widget" not in entry for entry in node.get("inputs") or ())
    return max(sockets, len(node.get("outputs") or ()))


SQUARE = ("LoadImage", "LoadImageMask", "LoadVideo")
SAVED = ("SaveImage", "SaveVideo")
TEXT = {"CLIPTextEncode": 64}


def own_height(node: Node, width: int) -> int:
    """What the classic renderer needs, without the title."""
    kind = node["type"]
    if kind in SQUARE:
        return 20 * _slots(node) + 24 * _widgets(node) + width
    if kind in SAVED:
        return 60 + width
    if kind == "DragonCanvas":
        return 20 * _slots(node) + 420
    if kind == "DragonLandmarksLoss":
        return 20 * _slots(node) + 24 * (_widgets(node) - 2) + 160
    if kind == "DragonAutoMask":
        return 24 * _widgets(node) + 20 * _slots(node) + 200
    if kind in TEXT:
        return 20 * _slots(node) + 6 + TEXT[kind]
    return 20 * _slots(node) + 24 * _widgets(node) + 6


def room(node: Node, width: int) -> int:
    """What the tallest renderer takes, with the title."""
    kind = node["type"]
    if kind in SQUARE:
        return TITLE + 20 * _slots(node) + 30 * _widgets(node) + width + 10
    if kind in TEXT:
        return TITLE + 20 * _slots(node) + TEXT[kind] + 20
    if kind in (*SAVED, "DragonCanvas", "DragonAutoMask", "DragonLandmarksLoss"):
        return TITLE + own_height(node, width) + 20
    count = _widgets(node)
    below = BADGE if kind.startswith("Dragon") and count <= 5 else 12
    return TITLE + 20 * _slots(node) + 30 * count + below


def face_size(inputs: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Of a blueprint's node: sockets, text, numbers and the canvas."""
    sockets = sum(not each["has_widget"] for each in inputs)
    texts = sum(each["type"] == "STRING" for each in inputs)
    numbers = sum(each["has_widget"] for each in inputs) - texts
    return 500, 20 * sockets + 90 * texts + 24 * numbers + 560
