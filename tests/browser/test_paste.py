"""Pasting on DragonCanvas: masks are painted on the one picture, and the objects placed on the other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragon_core.document.drawing import read_drawing

SCENE, SIZE = (640, 400), (400, 640)
MAGENTA, LIME, ORANGE, GREY = (255, 0, 255), (0, 255, 0), (255, 128, 0), (128, 128, 128)
#: Round the magenta mark at (120.5, 90.5), which is off its middle (120, 110).
MASK = ((100, 70), (140, 70), (140, 150), (100, 150), (100, 70))
ADD_GROUND = """(ground) => {{
    const loader = LiteGraph.createNode('LoadImage')
    loader.pos = [-2000, 600]
    app.graph.add(loader)
    loader.widgets.find(({{ name }}) => name === 'image').value = ground
    loader.connect(0, {node}, {node}.inputs.findIndex(({{ name }}) => name === 'onto'))
}}"""
SCREENSHOTS = os.environ.get("DRAGON_SCREENSHOTS")
#: Pictures to paste into, with the place of an orange mark in them.
GROUNDS = {"tall.png": ((300, 520), (220.5, 400.5)), "wide.png": ((1500, 600), (1300.5, 250.5)), "small.png": ((200, 160), (150.5, 60.5))}


@pytest.fixture(autouse=True)
def _grounds(input_folder: Path) -> None:
    for name, ((width, height), (x, y)) in GROUNDS.items():
        pixels = np.full((height, width, 3), 60, np.uint8)
        reach = max(2, max(width, height) // 200)
        pixels[int(y) - reach : int(y) + reach + 1, int(x) - reach : int(x) + reach + 1] = ORANGE
        Image.fromarray(pixels).save(input_folder / name)


def pasting(frontend: Any, ground: str) -> Any:
    """A canvas with a mask on marks.png, and another picture to paste into."""
    canvas = frontend.canvas()
    frontend.js(ADD_GROUND.format(node=canvas.node), ground)
    frontend.page.wait_for_function(f"() => {canvas.editor}.onto?.picture")
    canvas.tool("Lasso")
    canvas.draw(*MASK)
    return canvas


def seen(canvas: Any, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(canvas.pixels() - np.array(colour)).max(-1) < 70).any())


def keep(canvas: Any, name: str) -> None:
    if SCREENSHOTS:
        canvas.frontend.page.screenshot(path=Path(SCREENSHOTS) / f"{name}_{canvas.frontend.renderer}.png")


@pytest.mark.parametrize("ground", GROUNDS)
def test_a_mask_on_one_picture_is_dragged_on_the_other(frontend: Any, ground: str) -> None:
    canvas = pasting(frontend, ground)
    (width, height), mark = GROUNDS[ground]
    assert seen(canvas, LIME) and not seen(canvas, ORANGE), "masks are painted on the picture that the object is in"
    keep(canvas, f"paste_lasso_{ground}")
    canvas.tool("Move")
    canvas.settle()
    assert not seen(canvas, LIME), "the other picture is not shown"
    scale = canvas.do("editor.viewMatrix()[0]")
    precision = max(1.1, 1.1 / scale)
    assert np.abs(np.array(canvas.find(ORANGE)) - canvas.at(*mark)).max() < 1.5
    assert np.abs(np.array(canvas.find(MAGENTA)) - canvas.at(120.5, 90.5)).max() < 2, "the object lies where it was in its picture"
    goal = canvas.find(ORANGE)
    canvas.drag(canvas.find(MAGENTA), goal)  # from mark to mark
    thing = read_drawing(canvas.queued(), SIZE).object(1)
    assert np.abs(np.array(thing.shift(SIZE)) - [mark[0] - 120.5, mark[1] - 90.5]).max() <= precision
    assert canvas.drawing()["size"] == list(SCENE)
    x, y = 120 + thing.shift(SIZE)[0], 110 + thing.shift(SIZE)[1]
    assert any(f"{x + off}, {y + also} px" in canvas.help for off in (-1, 0, 1) for also in (-1, 0, 1)), canvas.help
    frontend.page.mouse.move(5, 5)
    canvas.settle()
    assert np.abs(np.array(canvas.find(MAGENTA)) - goal).max() < 3
    keep(canvas, f"paste_move_{ground}")
    canvas.tool("Brush")
    canvas.settle()
    assert np.abs(np.array(canvas.find(MAGENTA)) - canvas.at(120.5, 90.5)).max() < 1.5, "the object has left its own picture"
    assert seen(canvas, LIME)
    assert frontend.complaints == []


def test_what_the_server_makes_of_it(frontend: Any) -> None:
    """x and y are the middle of what is seen, and the preview lies in the other picture."""
    canvas = pasting(frontend, "wide.png")
    canvas.tool("Move")
    canvas.draw((120, 130), (1020, 330))
    dx, dy = read_drawing(canvas.queued(), SIZE).object(1).shift(SIZE)
    assert dx == pytest.approx(900, abs=4) and dy == pytest.approx(200, abs=4), "further than its own picture is wide"
    shown = frontend.js(
        f"""async () => {{
            const node = {canvas.node}
            const shown = ['x', 'y'].map((name, i) => {{
                const any = LiteGraph.createNode('PreviewAny')
                any.pos = [-2000, 900 + 300 * i]
                app.graph.add(any)
                node.connect(node.outputs.findIndex((output) => output.name === name), any, 0)
                return any.id
            }})
            await app.queuePrompt(0, 1)
            return shown
        }}"""
    )
    frontend.page.wait_for_function("(ids) => ids.every((id) => app.nodeOutputs[id]?.text)", arg=shown, timeout=60_000)
    x, y = (float(frontend.js("(id) => app.nodeOutputs[id].text[0]", node)) for node in shown)
    assert (x, y) == pytest.approx((120 + dx, 110 + dy), abs=1.5)
    assert "middle at" in canvas.help


def test_a_paste_keeps_proportions_and_is_nudged_and_put_back(frontend: Any) -> None:
    canvas = pasting(frontend, "tall.png")
    canvas.tool("Move")
    page = frontend.page
    page.keyboard.down("Shift")
    canvas.draw((140, 150), (160, 150))  # a corner; in one's own picture Shift stretches
    page.keyboard.up("Shift")
    (wide, high) = canvas.drawing()["objects"][0]["scale"]
    assert wide == high > 1.05
    before = canvas.drawing()["objects"][0]["move"]
    canvas.press("ArrowRight", "ArrowDown")
    after = canvas.drawing()["objects"][0]["move"]
    assert np.abs((np.array(after) - before) * SCENE - [1, 1]).max() < 1e-3
    canvas.press("r")
    assert canvas.drawing()["objects"][0]["scale"] == [1, 1]
    canvas.press("Control+z")
    assert canvas.drawing()["objects"][0]["scale"] == [wide, high]
    canvas.press("p")
    canvas.settle()
    assert not seen(canvas, MAGENTA), "what is under the object can be looked at"
    canvas.press("p")


def test_a_ground_made_by_another_node_shows_after_a_run_and_goes_with_its_link(frontend: Any) -> None:
    canvas = pasting(frontend, "tall.png")
    frontend.js(
        f"""() => {{
            const inverter = LiteGraph.createNode('ImageInvert')
            app.graph.add(inverter)
            inverter.pos = [-2000, 1200]
            app.graph.nodes.findLast(({{ type }}) => type === 'LoadImage').connect(0, inverter, 0)
            inverter.connect(0, {canvas.node}, {canvas.node}.inputs.findIndex(({{ name }}) => name === 'onto'))
        }}"""
    )
    frontend.page.wait_for_function(f"() => {canvas.editor}.onto && !{canvas.editor}.onto.picture")
    assert "Run once" not in canvas.help
    canvas.tool("Move")
    assert "Run once" in canvas.help
    canvas.settle()
    assert seen(canvas, MAGENTA) and not seen(canvas, LIME)
    frontend.js("async () => { await app.queuePrompt(0, 1) }")
    frontend.page.wait_for_function(f"() => {canvas.editor}.onto?.size?.[0] === 300", timeout=60_000)
    canvas.settle()
    canvas.do("editor.focus.blur()")  # whose rim is blue, too
    inverted = tuple(255 - value for value in ORANGE)
    assert np.abs(np.array(canvas.find(inverted)) - canvas.at(220.5, 400.5)).max() < 1.5
    frontend.js(f"() => {{ {canvas.node}.disconnectInput({canvas.node}.inputs.findIndex(({{ name }}) => name === 'onto')) }}")
    frontend.page.wait_for_function(f"() => !{canvas.editor}.onto")
    canvas.settle()
    assert seen(canvas, LIME), "its own picture again"
    assert frontend.complaints == []


def test_zooms_are_each_pictures_own(frontend: Any) -> None:
    canvas = pasting(frontend, "tall.png")
    canvas.press("+", "+")
    zoom = canvas.do("editor.view.zoom")
    assert zoom > 1.5
    canvas.tool("Move")
    assert canvas.do("editor.view.zoom") == 1
    canvas.tool("Brush")
    assert canvas.do("editor.view.zoom") == zoom


def test_a_pasting_canvas_survives_saving_and_loading(frontend: Any) -> None:
    canvas = pasting(frontend, "tall.png")
    canvas.tool("Move")
    canvas.draw((120, 130), (150, 300))
    text = canvas.queued()
    frontend.js("async () => { const saved = JSON.parse(JSON.stringify(app.graph.serialize())); await app.loadGraphData(saved) }")
    frontend.page.wait_for_timeout(800)
    frontend.page.wait_for_function(f"() => {canvas.editor}.layers && {canvas.editor}.onto?.picture")
    assert canvas.queued() == text and json.loads(text)["size"] == list(SCENE)
    assert frontend.complaints == []


def test_an_object_outside_of_a_small_picture_comes_to_the_pointer(frontend: Any) -> None:
    canvas = pasting(frontend, "small.png")
    canvas.do("editor.edit((now) => ({ ...now, objects: [{ ...now.objects[0], move: [0.5, 0.5] }] }))")
    canvas.tool("Move")
    assert "lies outside" in canvas.help
    canvas.draw((90, 70), (90, 70))
    thing = read_drawing(canvas.queued(), SIZE).object(1)
    assert np.abs(np.array(thing.shift(SIZE)) - [90 - 120, 70 - 110]).max() <= 1
    assert "middle at" in canvas.help
    canvas.draw((90, 70), (100, 80))  # now it is like any other
    assert np.abs(np.array(read_drawing(canvas.queued(), SIZE).object(1).shift(SIZE)) - [100 - 120, 80 - 110]).max() <= 1.5
    canvas.press("Control+z", "Control+z")
    assert "lies outside" in canvas.help


#: Of 4,000×3,000 pixels, most of it an object.
LARGE, LARGE_MASK = (4000, 3000), ((400, 300), (3400, 300), (3400, 2700), (400, 2700), (400, 300))


def pasting_large(frontend: Any, input_folder: Path, mask: Any = LARGE_MASK) -> Any:
    Image.new("RGB", LARGE, MAGENTA).save(input_folder / "photograph.png")
    Image.new("RGB", (512, 384), GREY).save(input_folder / "room.png")
    canvas = frontend.canvas("photograph.png")
    frontend.js(ADD_GROUND.format(node=canvas.node), "room.png")
    frontend.page.wait_for_function(f"() => {canvas.editor}.onto?.picture")
    canvas.tool("Lasso")
    canvas.draw(*mask)
    return canvas


def box(canvas: Any) -> tuple[float, float, float, float]:
    """Left, top, width and height in the other picture, as the server has it."""
    size = (LARGE[1], LARGE[0])
    thing = read_drawing(canvas.queued(), size).object(1)
    rows, columns = np.nonzero(thing.region(size)[0].numpy())
    (dx, dy), (x, y) = thing.shift(size), (columns.mean() + 0.5, rows.mean() + 0.5)
    left, top = x + dx + thing.scale[0] * (columns.min() - x), y + dy + thing.scale[1] * (rows.min() - y)
    return left, top, thing.scale[0] * np.ptp(columns), thing.scale[1] * np.ptp(rows)


def test_a_large_object_is_brought_to_the_size_of_the_picture_it_goes_into(frontend: Any, input_folder: Path) -> None:
    canvas = pasting_large(frontend, input_folder)
    assert canvas.drawing()["objects"][0]["scale"] == [1, 1], "while it is masked it stays what it is"
    canvas.tool("Move")
    left, top, width, height = box(canvas)
    assert 0.45 < max(width / 512, height / 384) <= 0.505
    assert (left + width / 2, top + height / 2) == pytest.approx((256, 192), abs=2)
    frontend.page.mouse.move(5, 5)
    canvas.settle()
    assert np.abs(np.array(canvas.find(MAGENTA)) - canvas.at(256, 192)).max() < 3
    keep(canvas, "paste_large")
    first = canvas.queued()
    canvas.draw((256, 192), (156, 150))
    moved = canvas.queued()
    canvas.tool("Brush")
    canvas.tool("Move")
    assert canvas.queued() == moved != first, "once it has been placed it stays there"
    canvas.press("r")
    assert canvas.queued() == first
    canvas.press("Control+z", "Control+z", "Control+z")
    assert canvas.drawing()["objects"][0]["scale"] == [1, 1]
    assert frontend.complaints == []


def test_a_small_object_far_off_comes_into_sight_in_its_own_size(frontend: Any, input_folder: Path) -> None:
    canvas = pasting_large(frontend, input_folder, ((3000, 2000), (3200, 2000), (3200, 2150), (3000, 2150), (3000, 2000)))
    canvas.tool("Move")
    assert canvas.drawing()["objects"][0]["scale"] == [1, 1]
    left, top, width, height = box(canvas)
    assert (left + width / 2, top + height / 2) == pytest.approx((256, 192), abs=8)


def test_a_saved_drawing_means_what_it_meant(frontend: Any, input_folder: Path) -> None:
    canvas = pasting_large(frontend, input_folder)
    text = canvas.queued()
    frontend.js("async () => { const saved = JSON.parse(JSON.stringify(app.graph.serialize())); await app.loadGraphData(saved) }")
    frontend.page.wait_for_timeout(800)
    frontend.page.wait_for_function(f"() => {canvas.editor}.layers && {canvas.editor}.onto?.picture")
    canvas.tool("Brush")
    canvas.tool("Move")
    assert canvas.queued() == text
    canvas.press("r")
    assert canvas.drawing()["objects"][0]["scale"][0] < 0.1, "R is how one asks for it"
