"""The real frontend, served by a real server, in the system's Chromium: nothing here stands in for anything.

Skipped, with the reason, where there is no Chromium. DRAGON_FRONTEND names the `static` folder of another frontend release,
DRAGON_SCREENSHOTS a folder in which to keep what the templates look like.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dev import environment
from dev.paths import PACK_NAME, WORKFLOWS
from dev.server import Server, copy_inputs, running
from tests.support.servers import install

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
SETTINGS = {
    "Comfy.Locale": "en",
    "Comfy.TutorialCompleted": True,
    "Comfy.Canvas.NavigationMode": "legacy",
    "Comfy.Minimap.Visible": False,
    "Comfy.UseNewMenu": "Disabled",
    "Comfy.Workflow.ShowMissingModelsWarning": False,
}
#: Markers in the test picture, by colour: their middles in pixels. Drawn 5×5, so a middle is a pixel's centre.
SCENE = (640, 400)
MARKS = {"magenta": ((255, 0, 255), (120.5, 90.5)), "lime": ((0, 255, 0), (500.5, 300.5))}
START = 240_000

Place = tuple[float, float]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH: apt install chromium")
    frontend = os.environ.get("DRAGON_FRONTEND")
    arguments = ["--front-end-root", frontend] if frontend else []
    with running(environment.ensure(), install=install, arguments=arguments) as started:
        copy_inputs(started, WORKFLOWS / "inputs")
        scene = np.full((SCENE[1], SCENE[0], 3), 128, np.uint8)
        for colour, (x, y) in MARKS.values():
            scene[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = colour
        pictures = {"marks.png": scene, "square.png": np.full((256, 256, 3), 90, np.uint8)}
        noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        pictures["large.png"] = np.asarray(Image.fromarray(noise).resize((1024, 1024), Image.Resampling.BICUBIC))
        for name, pixels in pictures.items():
            Image.fromarray(pixels).save(started.base / "input" / name)
        yield started


@pytest.fixture(scope="session")
def chromium(server: Server) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -r dev/requirements.txt")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Frontend:
    """One browser page with the frontend in it, in one of its two renderers."""

    page: Any
    renderer: str
    complaints: list[str] = field(default_factory=list)
    """What the console has had to say that names our files."""

    def js(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def thread_clock(self) -> Callable[[], float]:
        """Milliseconds of work of the page's own thread so far: other work of the machine is in what a clock on the wall shows."""
        devtools = self.page.context.new_cdp_session(self.page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

        def milliseconds() -> float:
            metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
            return 1000 * float(metrics["TaskDuration"])

        return milliseconds

    def canvas(self, picture: str = "marks.png", value: str | None = None, zoom: float = 1.0) -> Canvas:
        """A fresh graph: LoadImage (out of sight) → DragonCanvas, whose editor is in the middle of the page."""
        self.js(
            """async ([picture, value, zoom]) => {
                const { app, LiteGraph } = window
                app.clean() // what runs have said of the nodes before, which had the same numbers
                app.graph.clear()
                const [loader, node] = ['LoadImage', 'DragonCanvas'].map((type) => LiteGraph.createNode(type))
                app.graph.add(loader)
                app.graph.add(node)
                loader.pos = [-2000, 0]
                loader.widgets.find(({ name }) => name === 'image').value = picture
                node.pos = [0, 0]
                if (value !== null) node.widgets.find(({ name }) => name === 'drawing').value = value
                loader.connect(0, node, 0)
                app.canvas.ds.scale = zoom
                app.canvas.ds.offset = [40 / zoom + 20, 30 - (zoom > 1 ? 240 : 0)]
                app.canvas.setDirty(true, true)
            }""",
            [picture, value, zoom],
        )
        canvas = Canvas(self, self.js("() => app.graph.nodes.find(({ type }) => type === 'DragonCanvas').id"))
        self.page.wait_for_function(f"() => {canvas.editor}.root.isConnected && {canvas.editor}.stage.clientWidth > 100")
        if value is None:
            canvas.wait_for_picture()
        canvas.settle()
        return canvas


@dataclass
class Canvas:
    """One Dragon Canvas on the page, used as a person would: by what is seen, with mouse and keys."""

    frontend: Frontend
    node_id: int

    @property
    def node(self) -> str:
        return f"app.graph.getNodeById({json.dumps(self.node_id)})"

    @property
    def editor(self) -> str:
        return f"{self.node}.widgets.find(({{ name }}) => name === 'drawing').editor"

    @property
    def value(self) -> str:
        """What the widget holds."""
        text: str = self.frontend.js(f"() => {self.node}.widgets.find(({{ name }}) => name === 'drawing').value")
        return text

    def queued(self) -> str:
        """What would be sent to the server."""
        prompt = self.frontend.js("async () => (await app.graphToPrompt()).output")
        text: str = prompt[str(self.node_id)]["inputs"]["drawing"]
        return text

    def drawing(self) -> Any:
        return json.loads(self.queued())

    @property
    def help(self) -> str:
        text: str = self.frontend.js(f"() => {self.editor}.panel.help.textContent")
        return text

    def do(self, script: str) -> Any:
        return self.frontend.js(f"() => {{ const editor = {self.editor}; return {script} }}")

    def wait_for_picture(self) -> None:
        self.frontend.page.wait_for_function(f"() => {self.editor}.layers")

    def settle(self) -> None:
        """Two frames of the page, and the editor's look at the graph's zoom."""
        self.frontend.page.wait_for_timeout(500)

    def stage(self) -> tuple[float, float, float, float]:
        """The drawing area on the page: left, top, width, height."""
        box = self.frontend.js(f"() => {self.editor}.canvas.getBoundingClientRect().toJSON()")
        return box["left"], box["top"], box["width"], box["height"]

    def pixels(self) -> np.ndarray[Any, Any]:
        """The drawing area as it is on the screen."""
        left, top, width, height = (round(value) for value in self.stage())
        page = np.asarray(Image.open(io.BytesIO(self.frontend.page.screenshot())).convert("RGB")).astype(int)
        return page[max(0, top) : top + height, max(0, left) : left + width]

    def find(self, colour: tuple[int, int, int]) -> Place:
        """Where on the page a colour is seen: the middle of it."""
        near = np.abs(self.pixels() - np.array(colour)).max(-1) < 70
        assert near.any(), f"nothing of {colour} is seen"
        rows, columns = np.nonzero(near)
        left, top = (max(0, round(value)) for value in self.stage()[:2])
        return left + float(columns.mean()) + 0.5, top + float(rows.mean()) + 0.5

    def at(self, x: float, y: float) -> Place:
        """A pixel of the picture on the page, from the editor's own view (which the marker tests prove right)."""
        a, _b, _c, d, e, f = self.do("editor.viewMatrix()")
        left, top, width, height = self.stage()
        across, down = self.do("editor.stageSize")
        return left + (a * x + e) * width / across, top + (d * y + f) * height / down

    def drag(self, *places: Place, button: str = "left") -> None:
        """Press at the first place of the page, go through the others, let go."""
        mouse = self.frontend.page.mouse
        mouse.move(*places[0])
        mouse.down(button=button)
        for place in places[1:]:
            mouse.move(*place, steps=4)
        mouse.up(button=button)

    def draw(self, *pixels: Place) -> None:
        self.drag(*(self.at(*pixel) for pixel in pixels))

    def tool(self, name: str) -> None:
        self.frontend.page.locator(f".dragon-canvas button[title^='{name}']").first.click()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.frontend.page.keyboard.press(key)
        self.frontend.page.wait_for_timeout(60)


@pytest.fixture(scope="session")
def open_frontend(chromium: Any, server: Server) -> Callable[..., Frontend]:
    """`open_frontend("nodes-2.0", {"Comfy.Locale": "zh"}, template="dragon_move_object")`"""

    def open_one(renderer: str, changed: Mapping[str, Any] | None = None, template: str | None = None) -> Frontend:
        page = chromium.new_page(viewport={"width": 1300, "height": 1000})
        frontend = Frontend(page, renderer)

        def note(kind: str, text: str, where: str = "") -> None:
            # "api.comfy.org": the frontend asks the registry about the packs of a template, and may not be let out.
            if "dragon" in f"{text} {where}".lower() and "api.comfy.org" not in text:
                frontend.complaints.append(f"{kind}: {text[:400]} ({where})")

        page.on("console", lambda said: note(said.type, said.text, str(said.location)) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: note("uncaught", f"{error} {getattr(error, 'stack', '')}"))
        settings = {**SETTINGS, **(changed or {}), "Comfy.VueNodes.Enabled": renderer == "nodes-2.0"}
        page.request.post(f"{server.client.url}/api/settings", data=json.dumps(settings), headers={"content-type": "application/json"})
        query = f"/?template={template}&source={PACK_NAME}" if template else ""
        page.goto(server.client.url + query, wait_until="domcontentloaded", timeout=START)
        page.wait_for_function("() => window.app?.graph && window.LiteGraph?.registered_node_types?.DragonCanvas", timeout=START)
        page.wait_for_timeout(1000)
        page.keyboard.press("Escape")  # the template dialog of a first start
        page.wait_for_timeout(300)
        return frontend

    return open_one


@pytest.fixture(scope="session", params=["classic", "nodes-2.0"])
def frontend(request: pytest.FixtureRequest, open_frontend: Callable[..., Frontend]) -> Iterator[Frontend]:
    opened = open_frontend(request.param)
    yield opened
    opened.page.close()


@pytest.fixture
def input_folder(server: Server) -> Path:
    return server.base / "input"
