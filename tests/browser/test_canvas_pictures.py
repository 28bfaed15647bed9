"""The picture on DragonCanvas: which one is shown, as the model will see it, and that nothing is kept of what has gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

MODULES = "/extensions/dragon-diffusion/canvas"
MAGENTA, INVERTED = (255, 0, 255), (0, 255, 0)
GREY = (128, 128, 128)

#: `made('ImageInvert')` puts a node between the loader and the canvas; `await run()` until its output is there.
HELPERS = """
    const loader = app.graph.nodes.find(({ type }) => type === 'LoadImage')
    const node = app.graph.nodes.find(({ type }) => type === 'DragonCanvas')
    const made = (type) => {
        const maker = LiteGraph.createNode(type)
        maker.pos = [-2000, 600]
        app.graph.add(maker)
        loader.connect(0, maker, 0)
        maker.connect(0, node, 0)
        return maker
    }
"""


def run(canvas: Any) -> None:
    """Queue, and wait until the canvas has heard of it."""
    page = canvas.frontend.page
    page.evaluate(
        f"""async () => {{
            window.heard = 0
            const node = {canvas.node}
            const before = node.onExecuted
            node.onExecuted = function (output) {{
                before.call(this, output)
                window.heard++
                node.onExecuted = before
            }}
            await app.queuePrompt(0, 1)
        }}"""
    )
    page.wait_for_function("() => window.heard > 0", timeout=60_000)


def shows(canvas: Any, colour: tuple[int, int, int], count: int = 1) -> bool:
    return int((np.abs(canvas.pixels() - np.array(colour)).max(-1) < 40).sum()) >= count


def test_what_is_under_transparent_places_is_shown_as_the_model_sees_it(frontend: Any, input_folder: Path) -> None:
    """ComfyUI's mask editor saves a picture that is transparent right where the object is."""
    pixels = np.asarray(Image.open(input_folder / "marks.png"))
    hole = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    hole[60:160, 80:170] = 0
    Image.fromarray(np.concatenate([pixels, hole], -1)).save(input_folder / "hole.png")
    canvas = frontend.canvas("hole.png")
    assert np.abs(np.array(canvas.find(MAGENTA)) - canvas.at(120.5, 90.5)).max() < 1.5
    canvas.tool("Lasso")
    canvas.draw((100, 70), (140, 70), (140, 150), (100, 150), (100, 70))  # the mark is off its middle, where an arrow will be
    canvas.tool("Move")
    canvas.draw((125, 125), (225, 125))
    canvas.press("Escape")
    assert np.abs(np.array(canvas.find(MAGENTA)) - canvas.at(220.5, 90.5)).max() < 3, "the cut-out is empty"


def test_a_picture_with_one_transparent_pixel(frontend: Any, input_folder: Path) -> None:
    pixels = np.full((1000, 1500, 4), 255, np.uint8)
    pixels[..., :3] = GREY
    pixels[700, 900] = (255, 0, 255, 0)
    Image.fromarray(pixels).save(input_folder / "pinhole.png")
    script = f"async (url) => {{ const m = await import('{MODULES}/picture.js'); const {{ image }} = await m.loaded(url); "
    script += "const canvas = new OffscreenCanvas(1500, 1000); const context = canvas.getContext('2d'); context.drawImage(image, 0, 0); "
    script += "return [...context.getImageData(900, 700, 1, 1).data] }"
    assert frontend.js(script, "/api/view?filename=pinhole.png&type=input") == [255, 0, 255, 255]


def test_a_picture_that_was_made_is_still_there_after_the_graphs_undo(frontend: Any) -> None:
    canvas = frontend.canvas()
    frontend.js(f"() => {{ {HELPERS} made('ImageInvert') }}")
    run(canvas)
    canvas.wait_for_picture()
    frontend.js("() => app.extensionManager.workflow.activeWorkflow.changeTracker.checkState?.()")
    canvas.draw((100, 100), (200, 130))
    frontend.js("async () => { await app.extensionManager.workflow.activeWorkflow.changeTracker.undo() }")
    frontend.page.wait_for_timeout(900)
    canvas.wait_for_picture()
    canvas.settle()
    assert canvas.queued() == "" and shows(canvas, INVERTED)
    assert frontend.complaints == []


def test_another_nodes_picture_does_not_stay_when_the_link_is_changed(frontend: Any) -> None:
    canvas = frontend.canvas()
    first = frontend.js(f"() => {{ {HELPERS} return made('ImageInvert').id }}")
    run(canvas)
    canvas.wait_for_picture()
    frontend.js(f"() => {{ {HELPERS} made('ImageInvert') }}")
    frontend.page.wait_for_function(f"() => !{canvas.editor}.layers")
    assert "Run once" in canvas.help
    frontend.js(f"() => app.graph.getNodeById({json.dumps(first)}).connect(0, {canvas.node}, 0)")
    canvas.wait_for_picture()


def test_a_file_that_comes_late_or_changes_is_shown(frontend: Any, input_folder: Path) -> None:
    late = input_folder / "late.png"
    late.unlink(missing_ok=True)
    canvas = frontend.canvas()
    frontend.js("() => { app.graph.nodes.find(({ type }) => type === 'LoadImage').widgets[0].value = 'late.png' }")
    frontend.page.wait_for_function(f"() => {canvas.editor}.panel.help.textContent.includes('cannot be loaded')")
    Image.new("RGB", (300, 200), MAGENTA).save(late)
    canvas.frontend.page.wait_for_function(f"() => {canvas.editor}.layers", timeout=15_000)
    canvas.settle()
    assert shows(canvas, MAGENTA, 1000) and "cannot be loaded" not in canvas.help
    Image.new("RGB", (300, 200), INVERTED).save(late)
    run(canvas)
    frontend.page.wait_for_timeout(800)
    assert shows(canvas, INVERTED, 1000)


def test_numbers_of_arrows_stay_on_the_stage(frontend: Any) -> None:
    """A wide picture reaches to the stage's sides but for a few pixels."""
    canvas = frontend.canvas()
    canvas.do("(editor.stage.style.background = 'rgb(128, 128, 128)')")
    dark = []
    for start, end in ((0.5, 0.8), (0.002, 0.3), (0.998, 0.7)):
        canvas.do(f"editor.edit((now) => ({{ ...now, arrows: [[{start}, 0.5, {end}, 0.5]] }}))")
        canvas.settle()
        x, y = canvas.at(start * 640, 200)
        left, top, *_ = canvas.stage()
        pixels = canvas.pixels()
        column, row = round(x - left), round(y - top)
        near = pixels[row - 32 : row + 32, max(0, column - 32) : column + 32]
        dark.append(int((near.max(-1) < 60).sum()))
    assert min(dark[1:]) > 0.75 * dark[0], dark


def test_canvases_of_past_masks_are_let_go(frontend: Any) -> None:
    """A mask takes about a megabyte as a tint and a cut-out, and there are two hundred steps of undo."""
    canvas = frontend.canvas()
    kept, same, other = canvas.do(
        f"""import('{MODULES}/mask.js').then(async ({{ blank, stroke }}) => {{
            const {{ alphaTint }} = await import('{MODULES}/layers.js')
            const masks = Array.from({{ length: 40 }}, (_, i) => {{
                const mask = blank(512, 320)
                stroke(mask, [100 + i, 100], [200, 100], 20, 1)
                return mask
            }})
            const first = alphaTint(masks[0], '#ff40a0', false)
            const same = alphaTint(masks[0], '#ff40a0', false) === first
            for (const mask of masks) {{
                editor.edit((now) => ({{ ...now, objects: [{{ mask, move: [0.1, 0], scale: [1, 1], rotation: 0 }}] }}))
                editor.setTool('move')
                editor.draw()
                editor.setTool('brush')
                editor.draw()
            }}
            return [editor.layers.cutouts.size, same, alphaTint(masks[0], '#ff40a0', false) !== first]
        }})"""
    )
    assert same and other
    assert kept <= 16


def test_nothing_looks_after_a_node_that_is_not_in_the_graph(frontend: Any) -> None:
    """Ctrl+C makes nodes that are never added, and those of a subgraph are not told when the graph is cleared."""
    frontend.js(
        """() => {
            window.timers = new Set()
            const { setInterval: start, clearInterval: stop } = window
            window.setInterval = (act, ms) => { const id = start(act, ms); if (ms === 400) window.timers.add(id); return id }
            window.clearInterval = (id) => { window.timers.delete(id); stop(id) }
        }"""
    )
    canvas = frontend.canvas()
    count = "() => window.timers.size"
    assert frontend.js(count) == 1
    frontend.js(f"() => {{ for (let i = 0; i < 3; i++) {canvas.node}.clone() }}")
    frontend.page.wait_for_timeout(900)
    assert frontend.js(count) == 1
    inside = frontend.js(
        f"""() => {{
            const {{ subgraph }} = app.graph.convertToSubgraph(new Set([{canvas.node}]))
            window.inner = subgraph.nodes.find(({{ type }}) => type === 'DragonCanvas')
            return Boolean(window.inner)
        }}"""
    )
    assert inside
    frontend.page.wait_for_timeout(900)
    assert frontend.js(count) == 2, "a canvas in a subgraph is looked after, and so is the one on its face"
    frontend.js("() => app.graph.clear()")
    frontend.page.wait_for_timeout(900)
    assert frontend.js(count) == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.png", ["a.png", "", "input"]),
        ("sub/a.png", ["a.png", "sub", "input"]),
        ("sub\\a.png", ["a.png", "sub", "input"]),
        ("deep/er/a b.png [output]", ["a b.png", "deep/er", "output"]),
    ],
)
def test_where_a_loaders_file_is(frontend: Any, value: str, expected: list[str]) -> None:
    script = f"async (value) => {{ const {{ stored }} = await import('{MODULES}/picture.js'); return stored(value, 'input') }}"
    found = frontend.js(script, value)
    assert [found["filename"], found["subfolder"], found["type"]] == expected
