"""One node for a whole edit: a blueprint with the canvas inside of it on its face, in the template that shows one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.paths import PACK_NAME

SCREENSHOTS = os.environ.get("DRAGON_SCREENSHOTS")
OPEN = """async ([pack, name]) => {
    const data = await (await fetch(`/api/workflow_templates/${pack}/${name}.json`)).json()
    await app.loadGraphData(data, true, true, name, { openSource: 'template' })
}"""
FACE = "app.canvas.graph.nodes.find((node) => node.subgraph?.nodes.some(({ type }) => type === 'DragonCanvas'))"
EDITOR = f"{FACE}.widgets.find(({{ name }}) => name.startsWith('dragon_canvas_')).editor"
INNER = f"{FACE}.subgraph.nodes.find(({{ type }}) => type === 'DragonCanvas')"
ENTER = f"() => {{ const face = {FACE}; app.canvas.openSubgraph(face.subgraph, face) }}"


@pytest.fixture(scope="module", params=["classic", "nodes-2.0"])
def frontend(request: pytest.FixtureRequest, open_frontend: Any) -> Iterator[Any]:
    """A page of its own: loaded workflows and entered subgraphs leave bars on it, under which other tests would draw."""
    opened = open_frontend(request.param)
    yield opened
    opened.page.close()


@pytest.fixture
def opened(frontend: Any) -> Any:
    frontend.js(OPEN, [PACK_NAME, "dragon_first_edit"])
    frontend.page.wait_for_function(f"() => {FACE} && {EDITOR}.layers && {EDITOR}.stage.clientWidth > 100", timeout=120_000)
    frontend.page.wait_for_timeout(500)
    return frontend


def objects(frontend: Any) -> Any:
    """What the server would be told is drawn, and by which execution id."""
    prompt = frontend.js("async () => (await app.graphToPrompt()).output")
    ((name, text),) = ((name, node["inputs"]["drawing"]) for name, node in prompt.items() if node["class_type"] == "DragonCanvas")
    return name, json.loads(text)["objects"]


def drag(frontend: Any, editor: str, by: float) -> None:
    """The object on the canvas, in pixels of the picture, by the mouse."""
    where = frontend.js(
        f"""(by) => {{
            const editor = {editor}
            const box = editor.canvas.getBoundingClientRect()
            const [across, down] = editor.stageSize
            const [a, , , d, e, f] = editor.viewMatrix()
            const at = (x, y) => [box.left + (a * x + e) * box.width / across, box.top + (d * y + f) * box.height / down]
            const [dx] = editor.drawing.objects[0].move
            const x = 70 + dx * editor.size[0]
            return [at(x, 205), at(x + by, 205)]
        }}""",
        by,
    )
    mouse = frontend.page.mouse
    mouse.move(*where[0])
    mouse.down()
    mouse.move(*where[1], steps=5)
    mouse.up()
    frontend.page.wait_for_timeout(300)


def moved(frontend: Any) -> float:
    """Pixels to the right."""
    return 256 * float(objects(frontend)[1][0]["move"][0])


def test_the_canvas_is_on_the_face_and_draws_into_the_graph_inside(opened: Any) -> None:
    assert opened.js(f"() => {EDITOR}.tool") == "move", "something is masked already"
    assert moved(opened) == pytest.approx(104, abs=1)
    drag(opened, EDITOR, -40)
    assert moved(opened) == pytest.approx(64, abs=2)
    if SCREENSHOTS:
        opened.page.screenshot(path=Path(SCREENSHOTS) / f"face_{opened.renderer}.png")
    opened.js(ENTER)
    opened.page.wait_for_function("() => app.canvas.graph.nodes.some(({ type }) => type === 'DragonCanvas')")
    inside = "app.canvas.graph.nodes.find(({ type }) => type === 'DragonCanvas').widgets.find(({ name }) => name === 'drawing')"
    opened.page.wait_for_function(f"() => {inside}.editor.layers", timeout=90_000)
    assert 256 * json.loads(opened.js(f"() => {inside}.value"))["objects"][0]["move"][0] == pytest.approx(64, abs=2)
    opened.js(f"() => {{ {inside}.editor.active = 0; {inside}.editor.nudge([10, 0]) }}")
    opened.js("() => app.canvas.setGraph(app.rootGraph ?? app.graph.rootGraph)")
    opened.page.wait_for_function(f"() => Math.round(256 * {EDITOR}.drawing.objects[0].move[0]) > 70", timeout=90_000)
    assert opened.complaints == []


def test_it_is_kept_when_saved_and_loaded(opened: Any) -> None:
    drag(opened, EDITOR, -30)
    saved = opened.js("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
    opened.js("() => app.graph.clear()")
    opened.js("async (data) => { await app.loadGraphData(data) }", saved)
    opened.page.wait_for_function(f"() => {FACE} && {EDITOR}.layers", timeout=120_000)
    assert moved(opened) == pytest.approx(74, abs=2)
    names = opened.js(f"() => {FACE}.widgets.map(({{ name }}) => name)")
    assert sorted(names)[:1] == [name for name in names if name.startswith("dragon_canvas_")], "one canvas, once"
    assert {"prompt", "seed", "hold_object_until", "side"} <= set(names)
    drag(opened, EDITOR, -20)
    assert moved(opened) == pytest.approx(54, abs=3)
    assert opened.complaints == []


def test_it_works_inside_of_another_subgraph(opened: Any) -> None:
    before, _ = objects(opened)
    opened.js(f"() => {{ app.graph.convertToSubgraph(new Set([{FACE}])) }}")
    opened.page.wait_for_function(f"() => !{FACE}")
    name, things = objects(opened)
    assert name.count(":") == before.count(":") + 1 and 256 * things[0]["move"][0] == pytest.approx(104, abs=1)
    opened.js("() => { const outer = app.graph.nodes.find(({ subgraph }) => subgraph); app.canvas.openSubgraph(outer.subgraph, outer) }")
    opened.page.wait_for_function(f"() => {FACE} && {EDITOR}.layers", timeout=90_000)
    opened.page.wait_for_function(f"() => {EDITOR}.stage.clientWidth > 100", timeout=90_000)
    assert opened.js(f"() => {EDITOR}.layers.size.join()") == "256,256", "the picture from two levels above"
    opened.js(f"() => {{ {EDITOR}.active = 0; {EDITOR}.nudge([-44, 0]) }}")
    opened.page.wait_for_timeout(1000)
    assert moved(opened) == pytest.approx(60, abs=1)
    opened.js("() => app.canvas.setGraph(app.rootGraph ?? app.graph.rootGraph)")
    assert opened.complaints == []


def test_links_of_our_types_have_colours(frontend: Any) -> None:
    frontend.canvas()
    types = ["DRAGON_TRAJECTORY", "DRAGON_BRANCH", "DRAGON_ENERGY", "DRAGON_DRAWING", "DRAGON_READINGS", "DRAGON_CROP"]
    found = frontend.js(
        """(types) => types.map((type) => [
            app.canvas.default_connection_color_byType[type],
            getComputedStyle(document.body).getPropertyValue(`--color-datatype-${type}`).trim(),
        ])""",
        types,
    )
    assert all(classic and classic == modern for classic, modern in found), found
    assert len({classic for classic, _ in found}) == len(types)
    frontend.js("async () => { await app.extensionManager.setting.set('Comfy.ColorPalette', 'light') }")
    frontend.page.wait_for_timeout(1500)
    kept = frontend.js("(types) => types.map((type) => app.canvas.default_connection_color_byType[type])", types)
    frontend.js("async () => { await app.extensionManager.setting.set('Comfy.ColorPalette', 'dark') }")
    assert all(kept)
