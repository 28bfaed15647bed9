"""What a user with another language reads on the nodes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dev.paths import REPOSITORY

CHINESE = json.loads((REPOSITORY / "locales" / "zh" / "nodeDefs.json").read_text("utf-8"))["DragonSampler"]


@pytest.mark.full
@pytest.mark.parametrize("renderer", ["classic", "nodes-2.0"])
def test_nodes_speak_chinese(open_frontend: Callable[..., Any], renderer: str) -> None:
    frontend = open_frontend(renderer, {"Comfy.Locale": "zh"})
    try:
        if frontend.js("() => window.__COMFYUI_FRONTEND_VERSION__").startswith("1.32."):
            pytest.skip("this frontend loads its own Chinese over what packs bring (ComfyUI_frontend, pull request 7214)")
        node = frontend.js(
            """() => {
                app.graph.clear()
                const node = LiteGraph.createNode('DragonSampler')
                app.graph.add(node)
                app.canvas.ds.scale = 1
                app.canvas.ds.offset = [250 - node.pos[0], 100 - node.pos[1]]
                app.canvas.setDirty(true, true)
                const named = (slots) => slots.map(({ label, localized_name, name }) => label ?? localized_name ?? name)
                return { title: node.title, inputs: named(node.inputs), outputs: named(node.outputs), category: node.constructor.category }
            }"""
        )
        frontend.page.wait_for_timeout(800)
        if folder := os.environ.get("DRAGON_SCREENSHOTS"):
            frontend.page.screenshot(path=Path(folder) / f"chinese_{renderer}.png")
        assert node["title"] == CHINESE["display_name"]
        assert set(node["inputs"]) == {texts["name"] for texts in CHINESE["inputs"].values()}
        assert node["outputs"] == [texts["name"] for texts in CHINESE["outputs"].values()]
        assert node["category"] == "Dragon 拖拽编辑"
    finally:
        frontend.page.close()
