"""DragonCanvas' wand: a press on the picture is where Dragon Auto Mask upstream looks, and its mask comes back with the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCREENSHOTS = os.environ.get("DRAGON_SCREENSHOTS")
PICTURE, SIDE = "dragon_drag_source.png", 256
#: Well inside the elephant, whose box in the picture is about BOX: left, top, right, bottom.
BELLY, BOX = (52, 192), (17, 157, 106, 236)
WAND = ".dragon-canvas button[title^='Wand']"
TRACKER = "app.extensionManager.workflow.activeWorkflow.changeTracker"


def masking(frontend: Any, *between: str) -> Any:
    """The canvas with Dragon Auto Mask and all it needs before it, `between` the two of them nodes that hand the mask on."""
    canvas = frontend.canvas(PICTURE)
    frontend.js(
        """([id, between]) => {
            const canvas = app.graph.getNodeById(id)
            const loader = app.graph.nodes.find(({ type }) => type === 'LoadImage')
            const made = (type, values = {}) => {
                const node = LiteGraph.createNode(type)
                node.pos = [-2000, 400 * app.graph.nodes.length]
                app.graph.add(node)
                for (const [name, value] of Object.entries(values)) node.widgets.find((widget) => widget.name === name).value = value
                return node
            }
            const link = (from, output, to, input) =>
                from.connect(output, to, Math.max(0, to.inputs.findIndex(({ name }) => name === input)))
            const model = made('DragonMiniModel')
            const prompt = made('CLIPTextEncode', { text: 'an elephant on a grass floor with a yellow striped wall' })
            const latent = made('VAEEncode')
            const inverted = made('DragonInvert', { steps: 6, refinement: 0 })
            const masker = made('DragonAutoMask', { x: 128, y: 128 }) // some frontends remember those of a node that had its number
            link(model, 1, prompt, 'clip')
            link(loader, 0, latent, 'pixels')
            link(model, 2, latent, 'vae')
            link(model, 0, inverted, 'model')
            link(prompt, 0, inverted, 'positive')
            link(latent, 0, inverted, 'latent')
            link(model, 0, masker, 'model')
            link(inverted, 0, masker, 'trajectory')
            link(loader, 0, masker, 'image')
            link([...between].reduce((from, type) => {
                const node = made(type)
                link(from, 0, node, 'mask')
                return node
            }, masker), 0, canvas, 'mask')
        }""",
        [canvas.node_id, list(between)],
    )
    frontend.page.locator(WAND).wait_for(timeout=10_000)
    return canvas


def upstream(script: str) -> str:
    return f"() => {{ const masker = app.graph.nodes.find(({{ type }}) => type === 'DragonAutoMask'); {script} }}"


def asked(canvas: Any) -> tuple[Any, Any]:
    """Where Dragon Auto Mask would look, as the server would be told."""
    prompt = canvas.frontend.js("async () => (await app.graphToPrompt()).output")
    (inputs,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "DragonAutoMask")
    return inputs["x"], inputs["y"]


def point(canvas: Any, x: int, y: int) -> None:
    """A click on the middle of a pixel."""
    canvas.tool("Wand")
    canvas.draw((x + 0.5, y + 0.5))


def mask(canvas: Any) -> np.ndarray[Any, Any]:
    width, height, cells = canvas.do("(({ mask }) => [mask.width, mask.height, [...mask.cells]])(editor.drawing.objects[0])")
    return np.array(cells).reshape(height, width) > 0


def keep(canvas: Any, name: str) -> None:
    if SCREENSHOTS:
        canvas.frontend.page.screenshot(path=Path(SCREENSHOTS) / f"{name}_{canvas.frontend.renderer}.png")


def test_what_is_pointed_at_is_masked_by_a_run(frontend: Any) -> None:
    canvas = masking(frontend)
    canvas.tool("Wand")
    assert canvas.help == "Point at the object: Dragon Auto Mask masks it at the next run."
    point(canvas, *BELLY)
    assert asked(canvas) == BELLY
    assert "52, 192 px: a run masks" in canvas.help
    assert canvas.queued() == "", "nothing of it is part of the drawing"
    keep(canvas, "wand_pointed")
    frontend.js("async () => { await app.queuePrompt(0, 1) }")
    frontend.page.wait_for_function(f"() => {canvas.editor}.drawing.objects[0]?.mask", timeout=180_000)
    canvas.settle()
    found = mask(canvas)
    rows, columns = (np.flatnonzero(found.any(axis)) * SIDE / found.shape[0] for axis in (1, 0))
    assert np.abs(np.array([columns[0], rows[0], columns[-1], rows[-1]]) - BOX).max() < 14
    assert canvas.help.startswith("Point at the object"), "it has run"
    assert canvas.queued() == "", "a lent mask is not part of the drawing"
    assert canvas.do("editor.root.firstElementChild.offsetHeight") < 40, "the tools have a row and a half"
    keep(canvas, "wand_masked")
    point(canvas, 200, 60)
    assert asked(canvas) == (200, 60) and canvas.help.startswith("Dragon Auto Mask looks at 200, 60")
    assert frontend.complaints == []


@pytest.mark.parametrize("pixel", [(0, 0), (255, 255), (91, 204)])
def test_the_pixel_under_the_pointer_is_meant(frontend: Any, pixel: tuple[int, int]) -> None:
    canvas = masking(frontend)
    point(canvas, *pixel)
    assert asked(canvas) == pixel
    canvas.draw((-8, 100))
    assert asked(canvas) == pixel, "beside the picture there is nothing"
    canvas.draw((100.5, 90.5), (300, 400), (20.5, 300))
    assert asked(canvas) == (20, 255), "where it is let go, inside of the picture"


def test_there_is_no_wand_without_the_node(frontend: Any) -> None:
    canvas = frontend.canvas(PICTURE)
    canvas.do("editor.focus.focus()")
    canvas.press("w")
    canvas.settle()
    wand = frontend.page.locator(WAND)
    assert not wand.is_visible() and canvas.do("editor.tool") == "arrow"
    canvas = masking(frontend)
    canvas.do("editor.focus.focus()")
    canvas.press("w")
    assert canvas.do("editor.tool") == "wand"
    frontend.js(f"() => {{ {canvas.node}.disconnectInput({canvas.node}.inputs.findIndex(({{ name }}) => name === 'mask')) }}")
    wand.wait_for(state="hidden", timeout=5000)
    assert canvas.do("editor.tool") == "arrow"
    assert frontend.complaints == []


@pytest.mark.parametrize("between", [("Reroute",), ("Reroute", "Reroute"), ("GrowMask", "Reroute")])
def test_what_only_hands_the_mask_on_is_passed(frontend: Any, between: tuple[str, ...]) -> None:
    canvas = masking(frontend, *between)
    point(canvas, 60, 180)
    assert asked(canvas) == (60, 180)


def test_the_node_and_the_graphs_undo_hear_of_it_as_of_a_users_edit(frontend: Any) -> None:
    canvas = masking(frontend)
    frontend.js(f"() => {{ const tracker = {TRACKER}; (tracker.captureCanvasState ?? tracker.checkState).call(tracker) }}")
    script = "for (const widget of masker.widgets) { const { callback } = widget; widget.callback = function (...now) { "
    script += "window.told.push([widget.name, now[0]]); return callback?.apply(this, now) } }"
    frontend.js(upstream(f"window.told = []; {script}"))
    point(canvas, 60, 180)
    assert frontend.js("() => window.told") == [["x", 60], ["y", 180]]
    frontend.js(f"async () => {{ await {TRACKER}.undo() }}")
    frontend.page.wait_for_timeout(900)
    assert asked(canvas) == (128, 128), "one step back"
    frontend.js(f"async () => {{ await {TRACKER}.redo() }}")
    frontend.page.wait_for_timeout(900)
    assert asked(canvas) == (60, 180)
    assert frontend.complaints == []


def test_the_node_shows_the_numbers(frontend: Any) -> None:
    """Nodes 2.0 has elements for widgets, with values of their own; LiteGraph draws what the widget holds."""
    canvas = masking(frontend)
    node = frontend.js(upstream("masker.pos = [560, 0]; app.canvas.setDirty(true, true); return masker.id"))
    point(canvas, 60, 180)
    canvas.settle()
    keep(canvas, "wand_numbers")
    if frontend.renderer == "nodes-2.0":
        frontend.page.wait_for_function(
            """(id) => {
                const shown = [...document.querySelectorAll(`[data-node-id="${id}"] input`)].map(({ value }) => value)
                return shown.includes('60') && shown.includes('180')
            }""",
            arg=node,
            timeout=5000,
        )


def linked(name: str) -> str:
    maker = "PrimitiveString" if name == "points" else "PrimitiveInt"
    return (
        f"const maker = LiteGraph.createNode('{maker}'); app.graph.add(maker); maker.pos = [-2000, 5000]; "
        f"maker.connect(0, masker, masker.inputs.findIndex(({{ name }}) => name === '{name}'))"
    )


OTHER = "const other = LiteGraph.createNode('ImageInvert'); app.graph.add(other); other.pos = [-2000, 5000]; "
OTHER += "app.graph.nodes.find(({ type }) => type === 'LoadImage').connect(0, other, 0); "
OTHER += "other.connect(0, masker, masker.inputs.findIndex(({ name }) => name === 'image'))"
OBSTACLES = {
    "x": (linked("x"), "takes x or y from a link"),
    "y": (linked("y"), "takes x or y from a link"),
    "points": (linked("points"), "takes points from a link"),
    "image": (OTHER, "looks at another picture"),
    "muted": ("masker.mode = 2", "muted or bypassed"),
    "bypassed": ("masker.mode = 4", "muted or bypassed"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_it_says_why_one_cannot_point(frontend: Any, obstacle: str) -> None:
    canvas = masking(frontend)
    script, says = OBSTACLES[obstacle]
    frontend.js(upstream(script))
    frontend.page.wait_for_function(f"() => {canvas.editor}.pointing?.obstacle")
    point(canvas, 60, 180)
    assert says in canvas.help
    values = frontend.js(upstream("return masker.widgets.filter(({ name }) => name === 'x' || name === 'y').map(({ value }) => value)"))
    assert values == [128, 128]
    assert frontend.complaints == []


def test_a_painted_mask_goes_first_and_it_says_so(frontend: Any) -> None:
    canvas = masking(frontend)
    canvas.tool("Lasso")
    canvas.draw((150, 150), (200, 150), (200, 200), (150, 200), (150, 150))
    canvas.tool("Wand")
    assert canvas.help.startswith("Point at")
    point(canvas, *BELLY)
    assert canvas.help.startswith("Object 1 has a painted mask") and asked(canvas) == BELLY
    canvas.press("Delete")
    assert "a run masks" in canvas.help
    assert canvas.queued() == ""


def test_a_pointer_that_is_dropped_points_at_nothing(frontend: Any) -> None:
    canvas = masking(frontend)
    canvas.tool("Wand")
    mouse = frontend.page.mouse
    mouse.move(*canvas.at(60.5, 180.5))
    mouse.down()
    canvas.press("Escape")
    mouse.up()
    assert asked(canvas) == (128, 128)
