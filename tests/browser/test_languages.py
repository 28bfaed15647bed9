"""What a user with another language reads on the nodes and on the canvas."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dev.paths import REPOSITORY

CHINESE = json.loads((REPOSITORY / "locales" / "zh" / "nodeDefs.json").read_text("utf-8"))["DragonSampler"]
CHINESE_LETTER = re.compile(r"[\u4e00-\u9fff]")


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


@pytest.mark.full
@pytest.mark.parametrize("renderer", ["classic", "nodes-2.0"])
def test_the_canvas_speaks_chinese(open_frontend: Callable[..., Any], renderer: str) -> None:
    frontend = open_frontend(renderer, {"Comfy.Locale": "zh-TW" if renderer == "classic" else "zh"})
    try:
        canvas = frontend.canvas()
        canvas.tool("套索")
        assert canvas.help.startswith("圈出物体")
        canvas.draw((200, 100), (300, 100), (300, 200), (200, 200), (200, 100))
        canvas.tool("移动")
        canvas.draw((250, 150), (330, 190))
        assert canvas.help.startswith("物体 1：dx ")
        said = canvas.do("[...editor.root.querySelectorAll('*')].flatMap((part) => [part.title, part.ariaLabel]).filter(Boolean)")
        assert len(said) > 15
        assert [text for text in said if not CHINESE_LETTER.search(text)] == []
        if folder := os.environ.get("DRAGON_SCREENSHOTS"):
            frontend.page.screenshot(path=Path(folder) / f"chinese_canvas_{renderer}.png")
        canvas.do("editor.text = '{'")
        assert canvas.help.startswith("无法读取已保存的绘制内容：不是 JSON。") and canvas.help.endswith("重新开始")
        assert frontend.complaints == []
    finally:
        frontend.page.close()


@pytest.mark.full
def test_the_canvas_follows_a_change_of_language(open_frontend: Callable[..., Any]) -> None:
    frontend = open_frontend("classic")
    try:
        frontend.canvas()
        frontend.js("() => app.extensionManager.workflow.activeWorkflow.changeTracker.checkState()")  # as at a user's next click
        for locale, button in (("zh", "撤销"), ("en", "Undo")):
            frontend.js("async (locale) => { await app.extensionManager.setting.set('Comfy.Locale', locale) }", locale)
            frontend.page.locator(f".dragon-canvas button[title^='{button}']").wait_for(timeout=20_000)
    finally:
        frontend.page.close()
