"""Where DragonCanvas' picture comes from: past bypassed nodes, through get and set nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

RUN = 120_000
#: LoadImage → `between` → DragonCanvas, in the graph that Frontend.canvas makes.
INSERT = """(type) => {
    const [loader, canvas] = ['LoadImage', 'DragonCanvas'].map((each) => app.graph.nodes.find((node) => node.type === each))
    const node = LiteGraph.createNode(type)
    app.graph.add(node)
    node.pos = [-2000, 600]
    loader.connect(0, node, 0)
    node.connect(0, canvas, 0)
    return node.id
}"""
#: As the packs do it that have such nodes: virtual ones, of which the one answers with the other's link.
GET_AND_SET = """() => {
    class TestSet extends LiteGraph.LGraphNode {
        isVirtualNode = true
        constructor(title) { super(title); this.addInput('IMAGE', 'IMAGE'); this.addOutput('IMAGE', 'IMAGE') }
    }
    class TestGet extends LiteGraph.LGraphNode {
        isVirtualNode = true
        constructor(title) { super(title); this.addOutput('IMAGE', 'IMAGE') }
        getInputLink() { return this.graph.nodes.find(({ type }) => type === 'test/set').getInputLink(0) }
    }
    LiteGraph.registerNodeType('test/set', TestSet)
    LiteGraph.registerNodeType('test/get', TestGet)
    const [loader, canvas] = ['LoadImage', 'DragonCanvas'].map((each) => app.graph.nodes.find((node) => node.type === each))
    const [set, get] = ['test/set', 'test/get'].map((type) => LiteGraph.createNode(type))
    for (const node of [set, get]) { app.graph.add(node); node.pos = [-2000, 800] }
    loader.connect(0, set, 0)
    get.connect(0, canvas, 0)
}"""


def shows(canvas: Any) -> None:
    canvas.frontend.page.wait_for_function(f"() => {canvas.editor}.layers && {canvas.editor}.layers.size.join('×') === '640×400'")


def test_a_bypassed_node_hands_the_picture_on(frontend: Any) -> None:
    canvas = frontend.canvas()
    between = frontend.js(INSERT, "ImageInvert")
    frontend.page.wait_for_function(f"() => !{canvas.editor}.layers && {canvas.editor}.notice.startsWith('Run once')")
    frontend.js("(id) => { app.graph.getNodeById(id).mode = 4 }", between)
    shows(canvas)
    frontend.js("(id) => { app.graph.getNodeById(id).mode = 2 }", between)
    frontend.page.wait_for_function(f"() => !{canvas.editor}.layers && {canvas.editor}.notice.includes('muted')")
    assert frontend.complaints == []


def test_a_picture_comes_through_get_and_set_nodes(frontend: Any) -> None:
    canvas = frontend.canvas()
    frontend.js(GET_AND_SET)
    frontend.page.wait_for_timeout(900)
    shows(canvas)
    prompt = frontend.js("async () => (await app.graphToPrompt()).output")
    (loader,) = (name for name, node in prompt.items() if node["class_type"] == "LoadImage")
    assert prompt[str(canvas.node_id)]["inputs"]["image"] == [loader, 0], "as the frontend itself follows it"


def test_alt_begins_an_arrow_on_another(frontend: Any) -> None:
    canvas = frontend.canvas()
    canvas.draw((100, 100), (300, 100))
    canvas.draw((200, 100), (200, 160))
    assert len(canvas.drawing()["arrows"]) == 1, "without it the shaft is taken hold of"
    canvas.press("Control+z")
    for start in ((200, 100), (100, 100), (300, 100)):
        frontend.page.keyboard.down("Alt")
        canvas.draw(start, (start[0] + 20, 250))
        frontend.page.keyboard.up("Alt")
    arrows = canvas.drawing()["arrows"]
    assert len(arrows) == 4
    assert np.allclose(arrows[0], [100 / 640, 100 / 400, 300 / 640, 100 / 400], atol=0.004)
    canvas.tool("Arrow")
    frontend.page.keyboard.press("Escape")
    assert "Alt" in frontend.js("() => document.querySelector('.dragon-canvas button[title^=Arrow]').title")
