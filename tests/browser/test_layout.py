"""How the templates open: all of it seen, below the frontend's bars, nothing on top of another, notes that can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest

from dev.paths import PACK_NAME, WORKFLOWS

SHIPPED = sorted(WORKFLOWS.glob("*.json"))
#: Pixels of the page, which is 1920 wide: how wide a graph may be when it opens.
WIDEST = 1500
#: Pixels of the page: letters of notes.
SMALLEST_LETTERS = 8.0
#: As a template is opened: with the frontend's own view of it.
OPEN = """async ([pack, name]) => {
    const data = await (await fetch(`/api/workflow_templates/${pack}/${name}.json`)).json()
    await app.loadGraphData(data, true, true, name, { openSource: 'template' })
}"""
MEASURE = """() => {
    const { ds, canvas } = app.canvas
    const page = canvas.getBoundingClientRect()
    const seen = ([x, y, width, height]) => [
        page.left + (x + ds.offset[0]) * ds.scale, page.top + (y + ds.offset[1]) * ds.scale, width * ds.scale, height * ds.scale,
    ]
    const element = ({ id }) => document.querySelector(`[data-node-id="${id}"]`)
    const box = (node) => {
        const found = element(node)?.getBoundingClientRect()
        return found ? [found.left, found.top, found.width, found.height] : seen([...node.boundingRect])
    }
    // What a press on a node's title meets, if it is not the node: a bar over it.
    const above = ([left, top, width]) => [0.1, 0.5, 0.9].flatMap((share) => {
        const met = document.elementFromPoint(left + width * share, top + 6)
        const parts = '[data-node-id], .dom-widget, [data-testid="transform-pane"]'
        const good = !met || met === canvas || met.closest(parts) || met.contains(canvas)
        return good ? [] : [String(met.className).slice(0, 60)]
    })
    const nodes = app.graph.nodes.map((node) => ({ title: node.title, type: node.type, box: box(node), bars: above(box(node)) }))
    const groups = app.graph.groups.map((group) => ({ title: group.title, box: seen([...(group.boundingRect ?? group._bounding)]) }))
    const texts = [...document.querySelectorAll('.comfy-markdown .tiptap, .comfy-markdown-content')].filter((text) => text.clientHeight)
    const notes = texts.map((text) => {
        const scale = text.getBoundingClientRect().width / text.offsetWidth
        const isWords = (each) => each.nodeType === Node.TEXT_NODE && each.textContent.trim()
        const parts = [...text.querySelectorAll('*')].filter((part) => [...part.childNodes].some(isWords))
        return {
            letters: Math.min(...parts.map((part) => scale * parseFloat(getComputedStyle(part).fontSize))),
            hidden: text.scrollHeight - text.clientHeight, words: text.textContent.slice(0, 40),
        }
    })
    return { nodes, groups, notes, scale: ds.scale }
}"""
#: Pixels by which rounding may err, and a shadow.
SLACK = 2


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, numbers: list[float]) -> Box:
        left, top, width, height = numbers
        return cls(left, top, left + width, top + height)

    def meets(self, other: Box) -> bool:
        return (
            self.left + SLACK < other.right
            and other.left + SLACK < self.right
            and self.top + SLACK < other.bottom
            and other.top + SLACK < self.bottom
        )

    def holds(self, other: Box) -> bool:
        return (
            other.left >= self.left - SLACK
            and other.top >= self.top - SLACK
            and other.right <= self.right + SLACK
            and other.bottom <= self.bottom + SLACK
        )


def faults(measured: dict[str, Any]) -> list[str]:
    """What a new user would trip over."""
    found = []
    boxes = {node["title"]: Box.of(node["box"]) for node in measured["nodes"]}
    left, right = min(box.left for box in boxes.values()), max(box.right for box in boxes.values())
    if right - left > WIDEST:
        found.append(f"{right - left:.0f} pixels wide")
    page = Box(0, 0, 1920, 1080)
    found += [f"{title} is not on the page: {box}" for title, box in boxes.items() if not page.holds(box)]
    found += [f"{node['title']} lies under {', '.join(node['bars'])}" for node in measured["nodes"] if node["bars"]]
    found += [f"{a} lies on {b}" for a, b in combinations(boxes, 2) if boxes[a].meets(boxes[b])]
    frames = {group["title"]: Box.of(group["box"]) for group in measured["groups"]}
    found += [f"group {a} lies on {b}" for a, b in combinations(frames, 2) if frames[a].meets(frames[b])]
    for title, box in boxes.items():
        touched = [name for name, frame in frames.items() if frame.meets(box)]
        found += [f"{title} sticks out of {name}" for name in touched if not frames[name].holds(box)]
    for note in measured["notes"]:
        if note["letters"] < SMALLEST_LETTERS:
            found.append(f"letters of {note['letters']:.1f} pixels: {note['words']}")
        if note["hidden"] > SLACK:
            found.append(f"{note['hidden']} pixels of a note are not seen: {note['words']}")
    return found


@pytest.mark.full
@pytest.mark.parametrize("renderer", ["classic", "nodes-2.0"])
def test_templates_open_in_sight_with_nothing_on_top_of_another(open_frontend: Callable[..., Any], renderer: str) -> None:
    frontend = open_frontend(renderer, {"Comfy.UseNewMenu": "Top"})
    frontend.page.set_viewport_size({"width": 1920, "height": 1080})
    frontend.page.wait_for_timeout(1000)
    found = {}
    try:
        for file in SHIPPED:
            frontend.js(OPEN, [PACK_NAME, file.stem])
            frontend.page.wait_for_timeout(3000)
            found[file.stem] = faults(frontend.js(MEASURE))
    finally:
        frontend.page.close()
    assert {name: said for name, said in found.items() if said} == {}


def test_notes_have_no_words_in_backticks() -> None:
    """Nodes 2.0 of frontend 1.32 shows them blue on blue."""
    for file in SHIPPED:
        notes = [node["widgets_values"][0] for node in json.loads(file.read_text("utf-8"))["nodes"] if node["type"] == "MarkdownNote"]
        assert notes and not [note for note in notes if "`" in note], file.name


def test_a_note_says_what_the_bundled_model_does_not_know() -> None:
    for file in SHIPPED:
        notes = [node["widgets_values"][0] for node in json.loads(file.read_text("utf-8"))["nodes"] if node["type"] == "MarkdownNote"]
        bundled = any(node["type"] == "DragonMiniModel" for node in json.loads(file.read_text("utf-8"))["nodes"])
        assert any("knows only its own rooms" in note for note in notes) == bundled, file.name


def test_a_note_says_what_to_do_with_a_large_picture() -> None:
    """One node and the template with Dragon Crop take it as it is; to scale it down and up again is not needed anywhere."""
    for file in SHIPPED:
        text = file.read_text("utf-8")
        assert "large one down" not in text and "larger one down" not in text, file.name
        if '"DragonCrop"' in text:
            notes = [node["widgets_values"][0] for node in json.loads(text)["nodes"] if node["type"] == "MarkdownNote"]
            assert any("**side**" in note for note in notes), file.name
