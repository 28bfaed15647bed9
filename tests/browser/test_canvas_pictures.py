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
