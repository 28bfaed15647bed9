"""DragonCanvas as a person uses it: what is drawn at a place one sees is what the server gets."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from dragon_core.document.drawing import encode_runs, read_drawing
from dragon_core.errors import DragonError

SCENE = (640, 400)
SIZE = (400, 640)
MAGENTA, LIME = ((255, 0, 255), (120.5, 90.5)), ((0, 255, 0), (500.5, 300.5))
SQUARE = ((200, 100), (300, 100), (300, 200), (200, 200), (200, 100))


def in_pixels(canvas: Any) -> list[Any]:
    return [np.array(arrow) * [*SCENE, *SCENE] for arrow in canvas.drawing()["arrows"]]


def touch(canvas: Any, kind: str, finger: int, place: tuple[float, float], first: bool = True) -> None:
    """A pointer event of a finger, made up: the browser's own ones have no way to get lost."""
    canvas.frontend.js(
        """([kind, id, isPrimary, [x, y]]) => document.elementFromPoint(x, y).dispatchEvent(new PointerEvent(kind, {
            pointerId: id, pointerType: 'touch', clientX: x, clientY: y, button: 0, buttons: 1, isPrimary,
            bubbles: true, cancelable: true, composed: true }))""",
        [kind, finger, first, place],
    )


def test_the_editor_is_there_and_nothing_complains(frontend: Any) -> None:
    canvas = frontend.canvas()
    for button in ("Arrow", "Brush", "Eraser", "Lasso", "Move", "Undo", "Redo", "Delete", "Show"):
        assert frontend.page.locator(f".dragon-canvas button[title^='{button}']").is_visible(), button
    assert "Drag from a point" in canvas.help
    assert canvas.queued() == ""
    vue = frontend.js(f"() => Boolean({canvas.editor}.root.closest('[data-node-id]'))")
    assert vue == (frontend.renderer == "nodes-2.0"), "the renderer is not the one that was asked for"
    assert frontend.complaints == []


@pytest.mark.parametrize("zoom", [0.6, 1.0, 1.7])
def test_an_arrow_begins_and_ends_on_the_pixels_that_were_pressed(frontend: Any, zoom: float) -> None:
    """Two marks of the picture are found on a screenshot; an arrow from one to the other must name their pixels."""
    canvas = frontend.canvas(zoom=zoom)
    shown = canvas.stage()[2] / canvas.do("editor.stageSize")[0]
    assert shown == pytest.approx(zoom, rel=0.01)
    canvas.drag(canvas.find(MAGENTA[0]), canvas.find(LIME[0]))
    (arrow,) = in_pixels(canvas)
    pixel_on_screen = canvas.do("editor.viewMatrix()[0]") * zoom
    # A mouse is placed to a pixel of the screen; where one is larger than a pixel of the picture that is all one can ask.
    assert np.abs(arrow - [*MAGENTA[1], *LIME[1]]).max() <= max(0.6, 0.6 / pixel_on_screen)


def test_closely_looked_at_it_is_right_to_a_tenth_of_a_pixel(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.do("editor.focus.focus()")
    frontend.page.mouse.move(*canvas.find(MAGENTA[0]))
    for _ in range(9):
        frontend.page.mouse.wheel(0, -120)
    frontend.page.wait_for_timeout(300)
    assert canvas.do("editor.view.zoom") > 8
    assert frontend.js("() => app.canvas.ds.scale") == 1, "the wheel has zoomed the graph as well"
    x, y = canvas.find(MAGENTA[0])
    canvas.drag((x, y), (x + 60, y + 30))
    (arrow,) = in_pixels(canvas)
    scale = canvas.do("editor.viewMatrix()[0]")
    assert np.abs(arrow - [120.5, 90.5, 120.5 + 60 / scale, 90.5 + 30 / scale]).max() < 0.12


def test_the_wheel_is_the_graphs_while_the_editor_is_not_in_use(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.do("editor.focus.blur()")
    left, top, width, height = canvas.stage()
    frontend.page.mouse.move(left + width / 2, top + height / 2)
    frontend.page.mouse.wheel(0, -120)
    frontend.page.wait_for_function("() => app.canvas.ds.scale > 1.01", timeout=5000)
    assert canvas.do("editor.view.zoom") == 1


def test_an_arrow_can_be_changed_by_either_end_and_as_a_whole(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (200, 100))
    canvas.draw((200, 100), (220, 160))  # its target
    canvas.draw((100, 100), (80, 100))  # its handle
    canvas.draw((150, 130), (170, 150))  # its middle
    (arrow,) = in_pixels(canvas)
    assert np.abs(arrow - [100, 120, 240, 180]).max() < 1.5
    canvas.press("ArrowRight", "Shift+ArrowDown")
    (nudged,) = in_pixels(canvas)
    assert np.abs(nudged - arrow - [1, 10, 1, 10]).max() < 1e-3


def test_a_click_is_no_arrow(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (100, 100))
    assert canvas.queued() == ""


def test_undo_and_delete_are_the_editors_own(frontend: Any) -> None:
    """The graph must not undo or delete anything, although both listen to the same keys."""
    canvas = frontend.canvas()
    frontend.js(f"() => {{ window.same = {canvas.node} }}")
    canvas.draw((100, 100), (200, 100))
    canvas.draw((100, 300), (200, 300))
    two = canvas.queued()
    canvas.press("Control+z")
    assert len(canvas.drawing()["arrows"]) == 1
    canvas.press("Control+z")
    assert canvas.queued() == ""
    canvas.press("Control+z", "Control+Shift+Z", "Control+y")
    assert canvas.queued() == two
    canvas.press("Delete")
    assert len(canvas.drawing()["arrows"]) == 1
    canvas.press("Control+z")
    assert canvas.queued() == two
    frontend.page.wait_for_timeout(300)
    assert frontend.js(f"() => window.same === {canvas.node} && app.graph.nodes.length === 2")


def test_a_key_that_is_held_is_one_step_of_both_histories(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (200, 100))
    canvas.draw((100, 300), (200, 300))
    text = canvas.queued()
    canvas.settle()
    canvas.do("(window.told = 0, window.tell = editor.host.onChange, editor.host.onChange = () => { window.told++; window.tell() })")
    steps = canvas.do("editor.past.length")
    for _ in range(40):
        frontend.page.keyboard.down("ArrowRight")
    frontend.page.keyboard.up("ArrowRight")
    assert in_pixels(canvas)[1] - [100, 300, 200, 300] == pytest.approx([0, 0, 40, 0], abs=1.5), "the value waits for the pause"
    assert canvas.do("editor.past.length") == steps + 1
    assert frontend.js("() => window.told") == 0
    frontend.page.wait_for_timeout(900)
    assert frontend.js("() => window.told") == 1
    canvas.press("ArrowDown")
    assert canvas.do("editor.past.length") == steps + 2, "after a pause it is another step"
    canvas.draw((200, 100), (210, 110))
    assert canvas.do("editor.past.length") == steps + 3
    assert frontend.js("() => window.told") == 3, "the graph must hear of each state but for those of a series"
    canvas.press("Control+z", "Control+z", "Control+z")
    assert canvas.queued() == text


def test_the_graph_hears_of_changes_by_the_name_that_its_frontend_has_for_it(frontend: Any) -> None:
    canvas = frontend.canvas()
    names = ("captureCanvasState", "checkState")
    tracker = "app.extensionManager.workflow.activeWorkflow.changeTracker"
    frontend.js(
        f"""(names) => {{
            window.heard = []
            for (const name of names) {tracker}[name] = function () {{ window.heard.push([name, this === {tracker}]) }}
        }}""",
        names,
    )
    canvas.draw((100, 100), (200, 100))
    newer = frontend.js("() => window.heard.splice(0)")
    frontend.js(f"() => {{ delete {tracker}.captureCanvasState }}")  # of the instance: back to the frontend's own, if it has one
    if not frontend.js(f"() => Boolean({tracker}.captureCanvasState)"):
        canvas.draw((100, 300), (200, 300))
        assert ["checkState", True] in frontend.js("() => window.heard")
    frontend.js(f"() => {{ delete {tracker}.checkState }}")
    # The frontend itself may look at a click, by either name.
    assert ["captureCanvasState", True] in newer


def test_lasso_and_brush_make_a_mask_of_the_size_that_was_drawn(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.tool("Lasso")
    canvas.draw(*SQUARE)
    mask = read_drawing(canvas.queued(), SIZE).object(1).region(SIZE)[0].numpy()
    assert mask.sum() == pytest.approx(100 * 100, rel=0.03)
    assert mask[103:198, 203:298].all() and not mask[:97].any() and not mask[203:].any()
    canvas.tool("Brush")
    canvas.do("editor.setBrush(20 / 640)")
    canvas.draw((400, 200), (500, 200))
    both = read_drawing(canvas.queued(), SIZE).object(1).region(SIZE)[0].numpy()
    assert both.sum() - mask.sum() == pytest.approx(100 * 40 + np.pi * 400, rel=0.05)
    canvas.tool("Eraser")
    canvas.draw((390, 200), (510, 200))
    left = read_drawing(canvas.queued(), SIZE).object(1).region(SIZE)[0].numpy()
    assert abs(left.sum() - mask.sum()) < 150
    assert len(canvas.queued()) < 6000


def test_an_object_is_dragged_scaled_and_turned(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.tool("Lasso")
    canvas.draw(*SQUARE)
    canvas.tool("Move")
    canvas.draw((250, 150), (330, 190))
    thing = canvas.drawing()["objects"][0]
    assert np.abs(np.array(thing["move"]) * SCENE - [80, 40]).max() < 1.01
    assert "dx 80" in canvas.help or "dx 79" in canvas.help or "dx 81" in canvas.help
    canvas.draw((380, 240), (430, 290))  # a corner, from 50 to 100 pixels of the middle
    thing = canvas.drawing()["objects"][0]
    assert thing["scale"] == pytest.approx([2, 2], abs=0.06)
    assert np.abs(np.array(thing["move"]) * SCENE - [80, 40]).max() < 1.01
    x, y = canvas.at(330, 190)
    _, top = canvas.at(330, 90)
    canvas.drag((x, top - 26), (x + 120, y))  # the round handle, to the right: a quarter clockwise
    assert canvas.drawing()["objects"][0]["rotation"] == pytest.approx(90, abs=1.5)
    canvas.press("ArrowLeft", "ArrowUp")
    moved = canvas.drawing()["objects"][0]["move"]
    assert np.abs((np.array(moved) - thing["move"]) * SCENE - [-1, -1]).max() < 1e-3
    canvas.press("r")
    assert canvas.drawing()["objects"][0]["move"] == [0, 0] and canvas.drawing()["objects"][0]["scale"] == [1, 1]


@pytest.mark.parametrize("kind", ["mouse", "finger"])
def test_a_small_object_is_dragged_by_its_middle_and_scaled_from_outside(frontend: Any, kind: str) -> None:
    """It is sixteen pixels of the picture wide, far less than a finger is."""
    canvas = frontend.canvas()
    canvas.tool("Lasso")
    canvas.draw((200, 100), (216, 100), (216, 116), (200, 116), (200, 100))
    canvas.tool("Move")

    def drag(start: tuple[float, float], end: tuple[float, float]) -> Any:
        if kind == "mouse":
            canvas.draw(start, end)
        else:
            for event, pixel in (("pointerdown", start), ("pointermove", end), ("pointerup", end)):
                touch(canvas, event, 21, canvas.at(*pixel))
        return canvas.drawing()["objects"][0]

    thing = drag((208, 108), (258, 138))
    assert np.abs(np.array(thing["move"]) * SCENE - [50, 30]).max() < 1.01
    assert thing["scale"] == [1, 1]
    thing = drag((267.5, 147.5), (277.5, 157.5))  # just outside of a corner
    assert thing["scale"][0] > 1.5 and thing["scale"][0] == thing["scale"][1]


def test_what_moves_is_seen_where_it_goes_and_its_place_is_filled(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.tool("Lasso")
    canvas.draw((100, 70), (140, 70), (140, 150), (100, 150), (100, 70))  # round the magenta mark, which is off its middle
    canvas.tool("Move")
    before = canvas.find(MAGENTA[0])
    canvas.draw((125, 125), (225, 125))
    canvas.press("Escape")
    scale = canvas.do("editor.viewMatrix()[0]")
    colour = np.abs(canvas.pixels() - np.array(MAGENTA[0])).max(-1) < 40
    left, top, *_ = canvas.stage()
    columns = np.nonzero(colour)[1] + max(0, round(left))
    assert columns.size, "the object is not shown"
    assert columns.min() > before[0] + 100 * scale - 8, "something of it stays behind"


def held(canvas: Any, *pixels: tuple[float, float]) -> None:
    """An arrow that is still being drawn."""
    mouse = canvas.frontend.page.mouse
    mouse.move(*canvas.at(*pixels[0]))
    mouse.down()
    for pixel in pixels[1:]:
        mouse.move(*canvas.at(*pixel), steps=4)
    canvas.frontend.page.wait_for_timeout(150)


@pytest.mark.parametrize("masked", ["nothing", "the area", "the object"])
def test_what_an_arrow_drags_is_seen_where_it_goes_while_it_is_held(frontend: Any, masked: str) -> None:
    """The magenta mark lies beside the arrow, near enough to go along as it is."""
    canvas = frontend.canvas()
    if masked != "nothing":
        canvas.tool("Lasso")
        top, bottom = (40, 240) if masked == "the area" else (75, 105)
        canvas.draw((80, top), (200, top), (200, bottom), (80, bottom), (80, top))
        canvas.tool("Arrow")
    before = canvas.find(MAGENTA[0])
    held(canvas, (138, 90), (138, 150))
    expected = canvas.at(MAGENTA[1][0], MAGENTA[1][1] + 60)
    assert np.abs(np.array(canvas.find(MAGENTA[0])) - expected).max() < 3
    (x, y), (left, top) = canvas.at(180, 90), canvas.stage()[:2]
    is_grey = np.ptp(canvas.pixels()[int(y - top), int(x - left)]) < 10
    assert is_grey == (masked != "the area"), "the mask's colour lies where the object is no more"
    frontend.page.mouse.up()
    canvas.settle()
    assert np.abs(np.array(canvas.find(MAGENTA[0])) - before).max() < 1, "the next arrow could not begin on the picture as it is"
    assert len(canvas.drawing()["arrows"]) == 1
    assert frontend.complaints == []


def test_several_objects_keep_their_own_masks_and_places(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.tool("Lasso")
    canvas.draw(*SQUARE)
    frontend.page.locator(".dragon-canvas button[title^='One more object']").click()
    canvas.draw((400, 250), (500, 250), (500, 350), (400, 350), (400, 250))
    canvas.tool("Move")
    canvas.draw((450, 300), (430, 300))
    canvas.draw((250, 150), (250, 250))  # the first again, by pressing on it
    drawing = read_drawing(canvas.queued(), SIZE)
    assert [thing.shift(SIZE) for thing in drawing.objects] == [(0, 100), (-20, 0)]
    first, second = (thing.region(SIZE)[0].numpy() for thing in drawing.objects)
    assert first[150, 250] and not first[300, 450] and second[300, 450] and not second[150, 250]


def test_it_survives_saving_and_loading(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (200, 130))
    canvas.tool("Lasso")
    canvas.draw(*SQUARE)
    text = canvas.queued()
    frontend.js("async () => { const saved = JSON.parse(JSON.stringify(app.graph.serialize())); await app.loadGraphData(saved) }")
    frontend.page.wait_for_timeout(800)
    canvas.wait_for_picture()
    assert canvas.queued() == text
    assert frontend.complaints == []


def test_a_pasted_node_has_a_copy_of_its_own(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (200, 130))
    text = canvas.queued()
    other = frontend.js(
        f"""async () => {{
            app.canvas.deselectAll?.()
            app.canvas.selectNode({canvas.node})
            app.canvas.copyToClipboard()
            app.canvas.pasteFromClipboard({{ position: [700, 0] }})
            await new Promise((done) => setTimeout(done, 500))
            return app.graph.nodes.find(({{ type, id }}) => type === 'DragonCanvas' && id !== {json.dumps(canvas.node_id)}).id
        }}"""
    )
    copy = type(canvas)(frontend, other)
    assert copy.value == text
    canvas.do("editor.undo()")
    assert (canvas.value, copy.value) == ("", text)


def test_the_graphs_own_undo_takes_a_drawing_back(frontend: Any) -> None:
    canvas = frontend.canvas()
    frontend.js("() => app.extensionManager.workflow.activeWorkflow.changeTracker.checkState?.()")
    canvas.draw((100, 100), (200, 130))
    text = canvas.queued()
    canvas.draw((100, 300), (200, 330))
    frontend.js("async () => { await app.extensionManager.workflow.activeWorkflow.changeTracker.undo() }")
    frontend.page.wait_for_timeout(900)
    assert canvas.queued() == text
    canvas.draw((100, 200), (200, 200))  # on what is shown now, which must be the node that is there now
    assert len(canvas.drawing()["arrows"]) == 2


HOSTILE = {
    "torn": '{"version": 1, "arrows": [[',
    "nested": "[" * 50_000,
    "nan": '{"version":1,"arrows":[[0,0,0,NaN]]}',
    "path": "../../etc/passwd",
    "markup": '"<img src=x onerror=window.hacked=1>"',
    "markup inside": '{"version":1,"size":[9,9],"objects":[{"mask":"<script>window.hacked=1</script>"}]}',
    "a hundred thousand": json.dumps({"version": 1, "arrows": [[0, 0, 1, 1]] * 100_000}),
    "huge mask": '{"version":1,"objects":[{"mask":{"size":[99999,99999],"runs":"zzzzzz"}}]}',
    "newer": '{"version": 2}',
    "number": "7",
    "prototype": '{"__proto__":{"version":1},"constructor":1}',
}


SHORT = ("torn", "nested", "markup")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.full) for name in HOSTILE])
def test_a_hostile_value_is_kept_and_the_node_lives(frontend: Any, name: str) -> None:
    canvas = frontend.canvas(value=HOSTILE[name])
    canvas.wait_for_picture()
    assert canvas.value == HOSTILE[name], "the value is lost before anyone has drawn"
    assert "cannot be read" in canvas.help
    canvas.draw((100, 100), (200, 100))
    assert canvas.value == HOSTILE[name]
    frontend.page.locator(".dragon-canvas button", has_text="Start anew").click()
    canvas.draw((100, 100), (200, 100))
    assert len(canvas.drawing()["arrows"]) == 1
    assert frontend.js("() => window.hacked") is None
    assert frontend.complaints == []


@pytest.mark.parametrize(
    "points", [[[[64, 40], [320, 200]]], [[64, 40], [320, 200]], [[{"x": 64, "y": 40}, {"x": 9, "y": 9}, {"x": 320, "y": 200}]]]
)
def test_points_of_other_editors_become_arrows(frontend: Any, points: Any) -> None:
    canvas = frontend.canvas(value=json.dumps(points))
    canvas.wait_for_picture()
    canvas.settle()
    assert read_drawing(canvas.queued(), SIZE).points(SIZE) == (((64, 40), (320, 200)),)


def paste(canvas: Any, text: str) -> None:
    canvas.frontend.js(
        f"""(text) => {{
            const data = new DataTransfer()
            data.setData('text', text)
            {canvas.editor}.focus.dispatchEvent(new ClipboardEvent('paste', {{ clipboardData: data, bubbles: true, cancelable: true }}))
        }}""",
        text,
    )


def test_points_can_be_pasted(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (200, 100))
    paste(canvas, "[[[64, 40], [320, 200]]]")
    assert len(canvas.drawing()["arrows"]) == 2
    assert frontend.js("() => app.graph.nodes.length") == 2


def test_more_arrows_than_can_be_read_again_are_not_pasted(frontend: Any) -> None:
    canvas = frontend.canvas()
    many = json.dumps([[[1, 1], [9, 9]]] * 600)
    paste(canvas, many)
    text = canvas.queued()
    paste(canvas, many)
    assert "1200 arrows" in canvas.help
    assert canvas.queued() == text and len(canvas.drawing()["arrows"]) == 600
    canvas.press("Control+z")
    assert "1200" not in canvas.help, "it is still said after the next change"


def test_points_far_outside_of_the_picture_are_kept_until_one_is_large_enough(frontend: Any) -> None:
    """As a drawing they could not be read again: they stay the text that they are."""
    points = json.dumps([[[3900, 100], [3950, 120]]])
    canvas = frontend.canvas(value=points)
    canvas.wait_for_picture()
    canvas.settle()
    assert canvas.queued() == points
    assert "arrow 1 lies far outside" in canvas.help
    with pytest.raises(DragonError, match="arrow 1 lies far outside"):
        read_drawing(points, SIZE)
    canvas.do("editor.setPicture(document.createElement('canvas'), [4000, 3000])")
    assert canvas.drawing()["arrows"] == [[0.975, 0.033333, 0.9875, 0.04]]


@pytest.mark.parametrize(
    ("points", "said"), [([[64, 40], [64.2, 40]], "Arrow 2 has no length"), ([[64, 40], [700, 40]], "Arrow 2 leaves the picture")]
)
def test_an_arrow_that_may_not_be_meant_is_pointed_out_before_any_run(frontend: Any, points: Any, said: str) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (200, 100))
    assert said not in canvas.help
    paste(canvas, json.dumps([points]))
    frontend.page.keyboard.press("Escape")
    canvas.settle()
    assert said in canvas.help
    assert canvas.do("editor.panel.help.classList.contains('dragon-warned')")
    (warning,) = read_drawing(canvas.queued(), SIZE).warnings(SIZE)
    assert said.lower() in warning.lower()
    canvas.draw((200, 100), (200, 130))  # the first one, which is in order, is selected now
    assert said not in canvas.help and "Arrow 1: 100, 100" in canvas.help
    canvas.tool("Brush")
    assert said not in canvas.help
    canvas.tool("Arrow")
    assert said in canvas.help


def test_a_picture_of_another_size_is_pointed_out_and_the_drawing_kept(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (200, 100))
    text = canvas.queued()
    frontend.js("() => { app.graph.nodes.find(({ type }) => type === 'LoadImage').widgets[0].value = 'square.png' }")
    frontend.page.wait_for_function(f"() => {canvas.editor}.layers?.size[0] === 256")
    assert "640×400" in canvas.help and "256×256" in canvas.help
    assert canvas.queued() == text


def test_a_picture_that_has_gone_is_pointed_out_and_the_drawing_kept(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (200, 100))
    text = canvas.queued()
    frontend.js("() => { app.graph.nodes.find(({ type }) => type === 'LoadImage').widgets[0].value = 'no_such.png' }")
    frontend.page.wait_for_function(f"() => !{canvas.editor}.layers")
    frontend.page.wait_for_function(f"() => {canvas.editor}.panel.help.textContent.includes('cannot be loaded')")
    assert canvas.queued() == text


def test_a_picture_made_by_another_node_shows_after_a_run(frontend: Any) -> None:
    canvas = frontend.canvas()
    frontend.js(
        f"""() => {{
            const inverter = LiteGraph.createNode('ImageInvert')
            app.graph.add(inverter)
            inverter.pos = [-2000, 600]
            app.graph.nodes.find(({{ type }}) => type === 'LoadImage').connect(0, inverter, 0)
            inverter.connect(0, {canvas.node}, 0)
        }}"""
    )
    frontend.page.wait_for_function(f"() => !{canvas.editor}.layers")
    assert "Run once" in canvas.help
    frontend.js("async () => { await app.queuePrompt(0, 1) }")
    frontend.page.wait_for_function(f"() => {canvas.editor}.layers?.size[0] === 640", timeout=60_000)
    canvas.settle()
    canvas.find((0, 255, 0))  # the magenta mark, inverted
    assert frontend.complaints == []


def test_a_mask_from_another_node_shows_after_a_run_and_can_be_moved(frontend: Any) -> None:
    """It is not part of the value: it may be another one at the next run."""
    canvas = frontend.canvas()
    frontend.js(
        f"""async () => {{
            const loader = LiteGraph.createNode('LoadImageMask')
            loader.pos = [-2000, 600] // before it is added, or Nodes 2.0 may leave it where it is, over the canvas
            app.graph.add(loader)
            const chosen = {{ image: 'marks.png', channel: 'red' }}
            for (const widget of loader.widgets) widget.value = chosen[widget.name] ?? widget.value
            const slot = {canvas.node}.inputs.findIndex(({{ name }}) => name === 'mask')
            loader.connect(0, {canvas.node}, slot)
            await app.queuePrompt(0, 1)
        }}"""
    )
    # Red is over half (128 of 255) all over the picture but in the lime mark.
    frontend.page.wait_for_function(f"() => {canvas.editor}.drawing.objects[0]?.mask", timeout=60_000)
    assert canvas.queued() == ""
    canvas.tool("Move")
    canvas.draw((300, 250), (340, 250))
    (thing,) = canvas.drawing()["objects"]
    assert thing["mask"] is None
    assert round(thing["move"][0] * SCENE[0]) in (39, 40, 41)


def test_a_finger_draws_and_two_fingers_zoom(frontend: Any) -> None:
    canvas = frontend.canvas()
    a, b, c = canvas.at(100, 100), canvas.at(220, 100), canvas.at(300, 250)
    for kind, place in (("pointerdown", a), ("pointermove", b), ("pointerup", b)):
        touch(canvas, kind, 11, place)
    (arrow,) = in_pixels(canvas)
    assert np.abs(arrow - [100, 100, 220, 100]).max() < 1
    text = canvas.queued()
    for kind, finger, place in (
        ("pointerdown", 11, a),
        ("pointermove", 11, b),
        ("pointerdown", 12, c),
        ("pointermove", 12, (c[0] + 90, c[1] + 90)),
        ("pointerup", 12, c),
        ("pointerup", 11, b),
    ):
        touch(canvas, kind, finger, place, first=finger == 11)
    assert canvas.do("editor.view.zoom") > 1.2
    assert canvas.queued() == text, "the first finger of a pinch has drawn"


def test_two_fingers_zoom_the_picture_and_leave_the_graph_alone(frontend: Any) -> None:
    """Fingers of the browser's own: the frontend listens to them too, in places of its own."""
    canvas = frontend.canvas()
    devtools = frontend.page.context.new_cdp_session(frontend.page)
    graph = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset]"
    before = frontend.js(graph)
    x, y = canvas.at(320, 200)

    def send(kind: str, *apart: float) -> None:
        points = [{"x": x + side * half, "y": y + 10 * side, "id": number} for half in apart for number, side in enumerate((-1, 1))]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        frontend.page.wait_for_timeout(40)

    send("touchStart", 40)
    for half in (50, 60, 70, 80):
        send("touchMove", half)
        assert frontend.js(graph) == before
    send("touchEnd")
    canvas.settle()
    assert frontend.js(graph) == before
    assert canvas.do("editor.view.zoom") == pytest.approx(80.6 / 41.2, rel=0.1)
    assert canvas.stage()[2] / canvas.do("editor.stageSize")[0] == pytest.approx(1, rel=0.01)
    assert canvas.queued() == "" and frontend.complaints == []


def test_no_menu_opens_over_the_picture_and_the_nodes_own_one_elsewhere(frontend: Any) -> None:
    """A long press and a pen that is held ask for one as well."""
    canvas = frontend.canvas()
    canvas.do("(window.menus = 0, editor.root.addEventListener('contextmenu', () => window.menus++))")
    frontend.page.mouse.click(*canvas.at(300, 200), button="right")
    frontend.page.wait_for_timeout(200)
    assert frontend.js("() => window.menus") == 0
    box = frontend.js(f"() => {canvas.editor}.panel.help.getBoundingClientRect().toJSON()")
    frontend.page.mouse.click(box["left"] + 20, box["top"] + 5, button="right")
    frontend.page.wait_for_timeout(200)
    assert frontend.js("() => window.menus") == 1
    frontend.page.keyboard.press("Escape")
    assert frontend.complaints == []


def test_space_on_a_button_presses_it_and_does_not_pan(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.do("editor.panel.toolButtons[1].focus()")
    canvas.press("Space")
    assert canvas.do("[editor.tool, editor.spaceIsDown]") == ["brush", False]
    canvas.do("editor.focus.focus()")
    canvas.do("editor.zoom(3)")
    before = canvas.do("editor.view")
    frontend.page.keyboard.down("Space")
    canvas.draw((300, 200), (330, 200))
    frontend.page.keyboard.up("Space")
    assert canvas.do("editor.view") != before and canvas.queued() == ""
    canvas.draw((300, 200), (330, 200))
    assert len(canvas.drawing()["objects"]) == 1


@pytest.mark.parametrize("dropped", ["by Esc", "by a second finger", "by going back"])
def test_an_arrow_that_was_dropped_is_not_selected(frontend: Any, dropped: str) -> None:
    canvas = frontend.canvas()
    canvas.do("editor.focus.focus()")
    start, end = canvas.at(100, 100), canvas.at(220, 100)
    touch(canvas, "pointerdown", 31, start)
    touch(canvas, "pointermove", 31, end)
    assert canvas.do("editor.selection?.index") == 0
    canvas.press("ArrowRight")  # not while it is drawn
    if dropped == "by Esc":
        canvas.press("Escape")
    elif dropped == "by going back":
        touch(canvas, "pointermove", 31, start)
    else:
        touch(canvas, "pointerdown", 32, canvas.at(300, 300), first=False)
        touch(canvas, "pointerup", 32, canvas.at(300, 300), first=False)
    touch(canvas, "pointerup", 31, start)
    assert canvas.do("[editor.selection, editor.past.length]") == [None, 0]
    canvas.press("ArrowRight", "Shift+ArrowDown", "Delete")
    assert canvas.queued() == ""
    assert frontend.complaints == []


@pytest.mark.parametrize("lost", ["with its capture", "without a word"])
def test_a_finger_that_was_lost_is_not_the_first_of_two(frontend: Any, lost: str) -> None:
    canvas = frontend.canvas()
    touch(canvas, "pointerdown", 41, canvas.at(300, 300))
    touch(canvas, "pointermove", 41, canvas.at(350, 300))
    if lost == "with its capture":
        touch(canvas, "lostpointercapture", 41, canvas.at(350, 300))
        assert canvas.do("editor.fingers.size") == 0 and canvas.do("editor.gesture") is None
    for kind, x in (("pointerdown", 100), ("pointermove", 220), ("pointerup", 220)):
        touch(canvas, kind, 42, canvas.at(x, 100))
    (arrow,) = in_pixels(canvas)
    assert np.abs(arrow - [100, 100, 220, 100]).max() < 1
    assert canvas.do("editor.view.zoom") == 1


def noise(side: int, chance: float) -> str:
    """The value of a canvas with a mask of every other cell, but for a share of them by chance: the longest there is, or half of it."""
    cells = (np.indices((side, side)).sum(0) % 2 == 0) ^ (np.random.default_rng(side).random((side, side)) < chance)
    thing = {"mask": {"size": [side, side], "runs": encode_runs(cells)}, "move": [0.1, 0], "scale": [1, 1], "rotation": 0}
    return json.dumps({"version": 1, "size": [1024, 1024], "arrows": [], "objects": [thing]}, separators=(",", ":"))


def test_a_mask_of_noise_of_an_old_value_is_kept_until_something_is_drawn(frontend: Any) -> None:
    text = noise(512, 0.5)
    canvas = frontend.canvas("large.png", value=text)
    canvas.wait_for_picture()
    canvas.settle()
    assert canvas.queued() == text
    canvas.draw((500, 500), (500, 500))  # a click changes nothing
    assert canvas.queued() == text
    canvas.draw((400, 100), (600, 100))
    assert "more detail than can be kept" in canvas.help
    drawing = read_drawing(canvas.queued(), (1024, 1024))
    assert len(canvas.queued()) < 60_000 < len(text)
    assert len(drawing.arrows) == 1 and drawing.object(1).mask is not None
    canvas.press("Control+z")
    assert canvas.queued() == text and "more detail" not in canvas.help


def test_a_mask_of_noise_that_can_just_be_read_does_not_hold_the_page_up(frontend: Any, record_property: Any) -> None:
    """Two megabytes of it, shown where it is and where it goes."""
    text = noise(1024, 0.05)
    assert 1_800_000 < len(text) < 2_000_000
    canvas = frontend.canvas("large.png")
    thread_ms = frontend.thread_clock()
    before = thread_ms()
    frontend.js(f"(text) => {{ const editor = {canvas.editor}; editor.setTool('move'); editor.text = text; editor.draw() }}", text)
    canvas.do("editor.canvas.getContext('2d').getImageData(0, 0, 1, 1).width")
    loading = thread_ms() - before
    rounds = []
    for _ in range(3):  # the thread's clock counts what a busy neighbour takes of its cache, too
        before = thread_ms()
        canvas.do(
            """(() => {
                for (let i = 0; i < 20; i++) {
                    const [thing] = editor.drawing.objects
                    editor.show({ ...editor.drawing, objects: [{ ...thing, move: [0.01 * i, 0.1] }] })
                    editor.draw()
                    editor.canvas.getContext('2d').getImageData(0, 0, 1, 1)
                }
            })()"""
        )
        rounds.append((thread_ms() - before) / 20)
    frame = min(rounds)
    record_property("noise_ms", loading)
    print(f"noise, {frontend.renderer}: {loading:.0f} ms to load, {frame:.1f} ms a frame")  # noqa: T201 - wanted
    assert canvas.value == text
    assert loading < 3000 and frame < 100


def test_a_frame_of_the_live_preview_takes_less_than_50_ms(frontend: Any, record_property: Any) -> None:
    """A 1024×1024 picture on a stage as large; each frame is read back, so that it has been drawn indeed. What counts is the
    time of the page's own thread: other work of the machine is in what a clock on the wall shows.
    """
    canvas = frontend.canvas("large.png")
    thread_ms = frontend.thread_clock()
    size = canvas.do(
        """(() => {
            editor.stage.style.cssText = 'position: fixed; left: 0; top: 0; width: 1044px; height: 1044px; z-index: 999'
            editor.setTool('move')
            return import('/extensions/dragon-diffusion/canvas/mask.js').then(({ blank, stroke }) => {
                const mask = blank(512, 512)
                stroke(mask, [150, 250], [250, 250], 90, 1)
                editor.edit((drawing) => ({ ...drawing, objects: [{ mask, move: [0, 0], scale: [1, 1], rotation: 0 }] }))
                const context = editor.canvas.getContext('2d')
                window.frames = (first, last) => {
                    const times = []
                    for (let i = first; i < last; i++) {
                        const start = performance.now()
                        editor.show({ ...editor.drawing, objects: [{ mask, move: [0.3 * i / 40, 0.1], scale: [1.1, 1.1], rotation: i }] })
                        editor.draw()
                        context.getImageData(0, 0, 1, 1)
                        times.push(performance.now() - start)
                    }
                    return times
                }
                window.pulls = (first, last) => {
                    editor.setTool('arrow')
                    editor.gesture = { move() {}, end() {} }
                    for (let i = first; i < last; i++) {
                        const arrows = [[0.3, 0.5, 0.3 + 0.01 * i, 0.4], [0.5, 0.5, 0.6, 0.9 - 0.01 * i], [0.7, 0.2, 0.7, 0.2]]
                        editor.show({ ...editor.drawing, arrows, objects: [{ mask, move: [0, 0], scale: [1, 1], rotation: 0 }] })
                        editor.draw()
                        context.getImageData(0, 0, 1, 1)
                    }
                    editor.gesture = null
                }
                window.frames(0, 1)
                window.pulls(0, 1)
                return [editor.canvas.width, editor.canvas.height]
            })
        })()"""
    )
    count = 40
    before = thread_ms()
    clock = float(np.median(frontend.js(f"() => window.frames(1, {1 + count})")))
    own = (thread_ms() - before) / count
    rounds = []
    for _ in range(3):  # the thread's clock counts what a busy neighbour takes of its cache, too
        before = thread_ms()
        frontend.js(f"() => window.pulls(1, {1 + count})")
        rounds.append((thread_ms() - before) / count)
    pulled = min(rounds)
    canvas.do("(editor.stage.style.cssText = '')")
    record_property("frame_ms", own)
    record_property("pull_ms", pulled)
    print(f"live preview, {frontend.renderer}: {own:.1f} ms a frame, {clock:.1f} ms on the clock (median); arrows {pulled:.1f} ms")  # noqa: T201 - wanted
    assert min(size) >= 1024
    assert max(own, pulled) < 50
