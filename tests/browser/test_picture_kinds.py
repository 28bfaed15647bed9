"""Files of all kinds on DragonCanvas: what is shown is what the model sees, or the canvas says that it may not be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from picture_kinds import KINDS, write_kinds
from PIL import Image

from dev.server import Server

RUN = 120_000
#: Two decoders of one JPEG may differ by so much.
ROUNDING = 4
#: What Load Image gives goes to a node that keeps it, too.
WITNESS = """() => {
    const loader = app.graph.nodes.find(({ type }) => type === 'LoadImage')
    const witness = LiteGraph.createNode('PreviewImage')
    witness.pos = [-2000, 600]
    app.graph.add(witness)
    loader.connect(0, witness, 0)
    return witness.id
}"""
#: The browser may be right about them; another one is not.
MAY_WARN = {kind for kind in KINDS if kind.startswith(("turned", "16 bits", "palette"))} | {"plain.tiff", "plain.tga"}
Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Seen:
    """What the canvas shows."""

    pixels: Pixels | None
    notice: str


@pytest.fixture(scope="module")
def open_once(open_frontend: Any) -> Any:
    """In one renderer: it draws nothing of the picture."""
    return open_frontend("classic")


def look(canvas: Any) -> Seen:
    canvas.frontend.page.wait_for_function(f"() => {canvas.editor}.layers || {canvas.editor}.notice")
    canvas.settle()
    found = canvas.do(
        """(() => {
            if (!editor.layers) return { notice: editor.notice }
            const [width, height] = editor.layers.size
            const context = new OffscreenCanvas(width, height).getContext('2d')
            context.drawImage(editor.layers.picture, 0, 0)
            return { notice: editor.notice, size: [height, width, 4], data: [...context.getImageData(0, 0, width, height).data] }
        })()"""
    )
    return Seen(np.array(found["data"]).reshape(found["size"]) if "data" in found else None, found["notice"])


def is_same(shown: Pixels | None, models: Pixels) -> bool:
    if shown is None or shown.shape[:2] != models.shape[:2]:
        return False
    return bool((shown[..., 3] == 255).all() and np.abs(shown[..., :3] - models).max() <= ROUNDING)


def models_picture(canvas: Any, server: Server, witness: int) -> Pixels:
    """Queue, and wait until the canvas has heard of it."""
    page = canvas.frontend.page
    page.evaluate("async () => { await app.queuePrompt(0, 1) }")
    page.wait_for_function(
        f"() => app.nodeOutputs['{canvas.node_id}']?.dragon_picture && app.nodeOutputs['{witness}']?.images", timeout=RUN
    )
    stored = canvas.frontend.js("(id) => app.nodeOutputs[id].images[0]", str(witness))
    file = server.base / stored["type"] / stored["subfolder"] / stored["filename"]
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_the_model_sees_what_is_shown_or_it_says_so(open_once: Any, server: Server, kind: str) -> None:
    write_kinds(server.base)
    canvas = open_once.canvas(kind, value="")
    witness = open_once.js(WITNESS)
    before = look(canvas)
    models = models_picture(canvas, server, witness)
    open_once.page.wait_for_function(f"() => {canvas.editor}.layers && !{canvas.editor}.notice", timeout=RUN)
    after = look(canvas)
    assert is_same(after.pixels, models) and not after.notice
    same = is_same(before.pixels, models)
    assert same or before.notice, "it shows another picture than the model sees, and says nothing"
    if same and kind not in MAY_WARN:
        assert not before.notice, "it warns of a picture that is right"


@pytest.mark.full
def test_the_file_comes_back_when_the_runs_picture_has_gone(open_once: Any, server: Server) -> None:
    """A restarted server has emptied its folder of runs' pictures, while the page stays open."""
    write_kinds(server.base)
    canvas = open_once.canvas("clear.png")
    witness = open_once.js(WITNESS)
    models = models_picture(canvas, server, witness)
    for file in (server.base / "temp").iterdir():
        file.unlink()
    canvas.do(f"{canvas.node}.onExecuted(app.nodeOutputs['{canvas.node_id}'])")
    after = look(canvas)
    assert is_same(after.pixels, models) and not after.notice
    open_once.js(f"() => app.graph.nodes.find(({{ type }}) => type === 'LoadImage').connect(0, {canvas.node}, 0)")
    assert is_same(look(canvas).pixels, models)
