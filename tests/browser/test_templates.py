"""Every template as a user meets it: opened by the frontend, queued with its own button, the result on the node.

Those of today's models say which files they lack, and are run on small random ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dev.paths import WORKFLOWS
from tests.support.random_loaders import loaders, with_random_models

SHIPPED = sorted(WORKFLOWS.glob("*.json"))
SHORT = ("dragon_move_object",)
RUN = 420_000
BUTTON = 'button[data-testid="queue-button"], [data-testid="queue-button"] button'
#: The pictures that an output node shows: LiteGraph keeps them on the node, Nodes 2.0 has elements.
SHOWN = """(id) => {
    const images = app.rootGraph.getNodeById(id).imgs ?? document.querySelectorAll(`[data-node-id="${id}"] img`)
    return images.length > 0 && [...images].every(({ complete, naturalWidth }) => complete && naturalWidth >= 64)
}"""
#: The frontend's own list of the files that are not there.
MISSING = """(files) => [...document.querySelectorAll('[role=dialog]')]
    .some(({ textContent }) => files.every((file) => textContent.includes(file)))"""
#: Where groups and nodes are on the page, with a rim.
GRAPH = """() => {
    const { ds, canvas } = app.canvas
    const page = canvas.getBoundingClientRect()
    const things = [...app.rootGraph.nodes, ...app.rootGraph.groups]
    const boxes = things.map(({ boundingRect, boundingBox, _bounding }) => boundingRect ?? boundingBox ?? _bounding)
    const [left, top] = [0, 1].map((axis) => Math.min(...boxes.map((box) => box[axis])) - 20)
    const [right, bottom] = [0, 1].map((axis) => Math.max(...boxes.map((box) => box[axis] + box[axis + 2])) + 20)
    return {
        x: page.left + (left + ds.offset[0]) * ds.scale, y: page.top + (top + ds.offset[1]) * ds.scale,
        width: (right - left) * ds.scale, height: (bottom - top) * ds.scale,
    }
}"""
READABLE = {"LiteGraph.Canvas.MinFontSizeForLOD": 0, "LiteGraph.Canvas.LowQualityRenderingZoomThreshold": 0.1}
SCREENSHOTS = os.environ.get("DRAGON_SCREENSHOTS")
FILES = [pytest.param(each, id=each.stem, marks=() if each.stem in SHORT else pytest.mark.full) for each in SHIPPED]


# The second finds the first one's run in the server's cache.
@pytest.mark.parametrize("renderer", ["classic", pytest.param("nodes-2.0", marks=pytest.mark.full)])
@pytest.mark.parametrize("file", FILES)
def test_a_template_opens_and_its_result_arrives(open_frontend: Callable[..., Any], file: Path, renderer: str) -> None:
    graph = json.loads(file.read_text("utf-8"))
    nodes, files = graph["nodes"], [node["widgets_values"][0] for node in loaders(graph)]
    savers = {kind: [node["id"] for node in nodes if node["type"] == kind] for kind in ("SaveImage", "SaveVideo")}
    settings = {"Comfy.UseNewMenu": "Top", "Comfy.Workflow.ShowMissingModelsWarning": True, **READABLE}
    frontend = open_frontend(renderer, settings, template=file.stem)
    frontend.page.set_default_timeout(120_000)  # a graph of twenty nodes, drawn without a graphics card
    try:
        frontend.page.wait_for_function(f"() => app.rootGraph.nodes.length === {len(nodes)}")
        assert frontend.js("() => app.rootGraph.nodes.filter(({ type }) => !LiteGraph.registered_node_types[type])") == []
        if files:
            frontend.js("(graph) => app.loadGraphData(graph)", graph)  # again: `open_frontend` has closed what it said
            frontend.page.wait_for_function(MISSING, arg=files)
            frontend.page.keyboard.press("Escape")
            fit(frontend)
            keep(frontend, f"{file.stem}_{renderer}.jpg")  # as it opens: what random models make is nothing to look at
            frontend.js("(graph) => app.loadGraphData(graph)", with_random_models(graph))
        frontend.page.locator(BUTTON).first.click()
        for saver in (*savers["SaveImage"], *savers["SaveVideo"]):
            frontend.page.wait_for_function("(id) => app.nodeOutputs[id]?.images?.length > 0", arg=saver, timeout=RUN)
        fit(frontend)  # LiteGraph loads only what is in sight
        for saver in savers["SaveImage"]:
            frontend.page.wait_for_function(SHOWN, arg=saver)
        assert frontend.complaints == []
        if not files:
            keep(frontend, f"{file.stem}_{renderer}.jpg")
    finally:
        frontend.page.close()


def fit(frontend: Any) -> None:
    frontend.page.set_viewport_size({"width": 2560, "height": 1440} if SCREENSHOTS else {"width": 1920, "height": 1080})
    frontend.page.wait_for_timeout(500)
    frontend.js("async () => { await app.extensionManager.command.execute('Comfy.Canvas.FitView') }")
    frontend.page.wait_for_timeout(1500)


def keep(frontend: Any, name: str) -> None:
    """The graph without the rest of the page, for a person to look at."""
    if SCREENSHOTS:
        frontend.page.screenshot(path=Path(SCREENSHOTS) / name, clip=frontend.js(GRAPH), type="jpeg", quality=80)
