"""Photographs of 12 megapixels in the blueprints: seen and drawn on the face, queued, and back at their own size."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from dev import blueprints
from dev.blueprints import BLUEPRINTS, Blueprint
from dev.paths import WORKFLOWS
from dev.server import Server
from dragon_core.document.drawing import read_drawing

SCREENSHOTS = os.environ.get("DRAGON_SCREENSHOTS")
WIDTH, HEIGHT = 4000, 3000
FACE = "app.graph.nodes.find((node) => node.subgraph?.nodes.some(({ type }) => type === 'DragonCanvas'))"
EDITOR = f"{FACE}.widgets.find(({{ name }}) => name.startsWith('dragon_canvas_')).editor"
RUN = 300_000
#: Round the object of each template's picture that is drawn on: left, top, right, bottom as shares of it.
OBJECTS = {"Dragon paste": (0.3, 0.45, 0.75, 0.95), "Dragon recolour": (0.1, 0.6, 0.45, 0.9), "Dragon remove": (0.3, 0.45, 0.7, 0.9)}
USUAL = (0.12, 0.62, 0.42, 0.92)
GB = 2**30


@dataclass
class Watched:
    """Memory of the processes that do the work, in bytes."""

    server: psutil.Process
    page: list[psutil.Process]

    @classmethod
    def of(cls, server: Server) -> Watched:
        below = psutil.Process().children(recursive=True)
        base = str(server.base)
        own = [each for each in below if any(base in word for word in each.cmdline())]
        return cls(own[0], [each for each in below if "--type=renderer" in each.cmdline()])

    def page_memory(self) -> int:
        return max(each.memory_info().rss for each in self.page if each.is_running())

    def server_peak(self) -> int:
        """The most that it ever had."""
        text = Path(f"/proc/{self.server.pid}/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))


def enlarge(folder: Path, name: str) -> str:
    """One of the templates' pictures with as many pixels, and as much noise, as a photograph has; returns its name."""
    with Image.open(WORKFLOWS / "inputs" / name) as small:
        kind = "L" if "mask" in name else "RGB"
        large = small.convert(kind).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    if kind == "RGB":
        noise = np.random.default_rng(0).integers(-6, 7, (HEIGHT, WIDTH, 1), dtype=np.int16)
        large = Image.fromarray(np.clip(np.asarray(large, np.int16) + noise, 0, 255).astype(np.uint8))
    file = f"large_{Path(name).stem}.{'png' if kind == 'L' else 'jpg'}"
    large.save(folder / file, quality=92)
    return file


def at(frontend: Any, x: float, y: float) -> tuple[float, float]:
    """Where on the page a pixel of the picture that is seen lies."""
    place: tuple[float, float] = frontend.js(
        f"""([x, y]) => {{
            const editor = {EDITOR}
            const box = editor.canvas.getBoundingClientRect()
            const [across, down] = editor.stageSize
            const [a, , , d, e, f] = editor.viewMatrix()
            return [box.left + (a * x + e) * box.width / across, box.top + (d * y + f) * box.height / down]
        }}""",
        [x, y],
    )
    return place


def drag(frontend: Any, *pixels: tuple[float, float]) -> None:
    places = [at(frontend, *pixel) for pixel in pixels]
    mouse = frontend.page.mouse
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=8)
    mouse.up()
    frontend.page.wait_for_timeout(300)


def press(frontend: Any, tool: str) -> None:
    frontend.js(f"(tool) => [...{EDITOR}.root.querySelectorAll('button')].find(({{ title }}) => title.startsWith(tool)).click()", tool)


@pytest.fixture
def page(open_frontend: Any) -> Any:
    opened = open_frontend("classic")
    yield opened
    opened.page.close()


@pytest.mark.full
@pytest.mark.parametrize("recipe", BLUEPRINTS, ids=lambda recipe: recipe.name)
def test_a_photograph_is_edited_at_its_own_size(page: Any, server: Server, recipe: Blueprint, record_property: Any) -> None:
    graph = blueprints.shown(recipe, "", f"dragon_large_{recipe.template}")
    loaders = [node for node in graph["nodes"] if node["type"] in ("LoadImage", "LoadImageMask")]
    for loader in loaders:
        loader["widgets_values"][0] = enlarge(server.base / "input", loader["widgets_values"][0])
    before, began = Watched.of(server).page_memory(), time.monotonic()
    page.js("async (graph) => { await app.loadGraphData(graph) }", graph)
    page.page.wait_for_function(f"() => {FACE} && {EDITOR}.layers && {EDITOR}.stage.clientWidth > 100", timeout=60_000)
    shown_after = time.monotonic() - began
    assert page.js(f"() => {EDITOR}.size") == [WIDTH, HEIGHT]
    page.js(f"() => {{ {FACE}.widgets.find(({{ name }}) => name === 'side').value = 256 }}")  # what the bundled model was made for
    draw(page, recipe)
    frame = frame_ms(page)
    drawing = drawn(page)
    check_drawing(drawing, recipe)
    if SCREENSHOTS:
        page.page.screenshot(path=Path(SCREENSHOTS) / f"large_{recipe.template}.png")
    page_grows = Watched.of(server).page_memory() - before

    (saver,) = (node["id"] for node in graph["nodes"] if node["type"] == "SaveImage")
    began = time.monotonic()
    page.js("async () => { await app.queuePrompt(0, 1) }")
    page.page.wait_for_function("(id) => app.nodeOutputs[id]?.images?.length > 0", arg=saver, timeout=RUN)
    took, peak = time.monotonic() - began, Watched.of(server).server_peak()
    figures = {"shown_s": shown_after, "frame_ms": frame, "page_gb": page_grows / GB, "run_s": took, "server_gb": peak / GB}
    for name, value in figures.items():
        record_property(name, value)
    print(recipe.name, {name: round(value, 2) for name, value in figures.items()})  # noqa: T201 - wanted
    stored = page.js("(id) => app.nodeOutputs[id].images[0]", str(saver))
    first = loaders[0]["widgets_values"][0]
    check_result(server.base / "output" / stored["subfolder"] / stored["filename"], server.base / "input" / first, recipe)
    assert shown_after < 20 and frame < 50 and page_grows < 1.5 * GB and peak < 6 * GB
    assert page.complaints == []


def draw(page: Any, recipe: Blueprint) -> None:
    """As the node's description says: masked by the lasso, put elsewhere with the Move tool, or an arrow."""
    left, top, right, bottom = OBJECTS.get(recipe.name, USUAL)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    pixels = [(WIDTH * x, HEIGHT * y) for x, y in corners]
    middle = (WIDTH * (left + right) / 2, HEIGHT * (top + bottom) / 2)
    press(page, "Lasso")
    drag(page, *pixels)
    if recipe.name in ("Dragon move", "Dragon resize"):
        press(page, "Move")
        corner = pixels[2] if recipe.name == "Dragon resize" else middle
        drag(page, corner, (corner[0] + 480, corner[1] + (360 if recipe.name == "Dragon resize" else 0)))
    elif recipe.name == "Dragon paste":
        press(page, "Move")
        drag(page, middle, (middle[0] - 400, middle[1]))
    elif recipe.name == "Dragon drag points":
        press(page, "Arrow")
        drag(page, middle, (middle[0] + 1600, middle[1]))


def drawn(page: Any) -> str:
    prompt = page.js("async () => (await app.graphToPrompt()).output")
    (text,) = (node["inputs"]["drawing"] for node in prompt.values() if node["class_type"] == "DragonCanvas")
    found: str = text
    return found


def check_drawing(text: str, recipe: Blueprint) -> None:
    """A pixel of the screen is some ten of the photograph."""
    assert json.loads(text)["size"] == [WIDTH, HEIGHT]
    drawing = read_drawing(text, (HEIGHT, WIDTH))
    region = drawing.object(1).region((HEIGHT, WIDTH))
    left, top, right, bottom = OBJECTS.get(recipe.name, USUAL)
    assert float(region.mean()) == pytest.approx((right - left) * (bottom - top), rel=0.06)
    if recipe.name == "Dragon move":
        assert drawing.object(1).shift((HEIGHT, WIDTH)) == (pytest.approx(480, abs=15), pytest.approx(0, abs=15))
    if recipe.name == "Dragon resize":
        assert drawing.object(1).scale[0] == pytest.approx(drawing.object(1).scale[1]) == pytest.approx(1 + 480 / 600, abs=0.1)
    if recipe.name == "Dragon drag points":
        ((handle, target),) = drawing.points((HEIGHT, WIDTH))
        assert (target[0] - handle[0], target[1] - handle[1]) == (pytest.approx(1600, abs=20), pytest.approx(0, abs=20))


def frame_ms(page: Any) -> float:
    """The page's own time for a frame while an object is moved."""
    count = 20
    clock = page.thread_clock()
    script = f"""(count) => {{
        const editor = {EDITOR}
        const [tool, drawing] = [editor.tool, editor.drawing]
        editor.setTool('move')
        for (let i = 0; i < count; i++) {{
            const objects = drawing.objects.map((thing) => ({{ ...thing, move: [0.01 * i, 0.01], scale: [1.1, 1.1] }}))
            editor.show({{ ...drawing, objects }})
            editor.draw()
            editor.canvas.getContext('2d').getImageData(0, 0, 1, 1)
        }}
        editor.show(drawing)
        editor.setTool(tool)
    }}"""
    page.js(script, 1)
    before = clock()
    page.js(script, count)
    return (clock() - before) / count


def check_result(result: Path, source: Path, recipe: Blueprint) -> None:
    """Of the source's size, its own pixels far from the edit, and others in it."""
    with Image.open(result) as made, Image.open(source) as old:
        assert made.size == (WIDTH, HEIGHT)
        change = np.abs(np.asarray(made.convert("RGB"), np.int16) - np.asarray(old.convert("RGB"), np.int16)).max(-1)
    assert (change == 0).mean() > 0.1
    if recipe.name == "Dragon move":
        assert change[:, -200:].max() == 0, "beyond the crop it is the photograph, to the bit"
    assert (change > 8).mean() > 0.005, f"{recipe.name} changed nothing"
    if SCREENSHOTS:
        with Image.open(result) as made:
            made.convert("RGB").resize((1000, 750)).save(Path(SCREENSHOTS) / f"large_{recipe.template}_result.jpg")
