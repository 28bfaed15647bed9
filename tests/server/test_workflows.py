"""Every shipped workflow, as it is in the file, through a real server; the slow tier runs those that are only converted here."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from dev import demo, workflow
from dev.client import Progress
from dev.paths import WORKFLOWS
from dev.server import Server
from dev.workflow import Prompt
from tests.support.random_loaders import in_place_of_files

SHIPPED = sorted(WORKFLOWS.glob("*.json"))
#: One of one picture, one that is drawn on the canvas and shown in a preview. They share the inversion.
RUN_HERE = ("dragon_first_edit", "dragon_move_object", "dragon_move_with_canvas")
#: Those that load files of today's models: they run on small ones with random weights.
OF_FILES = ("dragon_move_few_steps", "dragon_move_in_video", "dragon_move_transformer")
#: ComfyUI shows thumbnails small; larger files only slow the template browser down.
LARGEST_THUMBNAIL = 60_000
#: The paper has neither a draft nor a composite.
AS_THE_PAPER = ("dragon_move_object_paper",)


def every(*, names: tuple[str, ...] | None = None) -> Any:
    files = [file for file in SHIPPED if names is None or file.stem in names]
    return pytest.mark.parametrize("file", files, ids=lambda file: file.stem)


def converted(server: Server, file: Path) -> Prompt:
    return workflow.to_prompt(workflow.load(file), server.client.object_info(), file.name)


@every()
def test_shipped_workflow_is_a_prompt(server: Server, file: Path) -> None:
    """Each input is what the node declares today, and each picture that is loaded comes with the pack."""
    prompt = converted(server, file)
    loaders = {"LoadImage": "image", "LoadImageMask": "image", "LoadVideo": "file"}
    pictures = {prompt[node]["inputs"][name] for kind, name in loaders.items() for node in workflow.of_type(prompt, kind)}
    assert pictures <= {picture.name for picture in (WORKFLOWS / "inputs").iterdir()}


@every()
def test_shipped_workflow_is_wired_for_the_best_result(server: Server, file: Path) -> None:
    """The sampler starts from the draft of the very energy it gets, and the source's own pixels come back around the edit."""
    if file.stem in AS_THE_PAPER:
        return
    prompt = converted(server, file)
    (guide,) = workflow.of_type(prompt, "DragonSampler") + workflow.of_type(prompt, "DragonGuider")
    (draft,) = workflow.of_type(prompt, "DragonDraft")
    (composite,) = workflow.of_type(prompt, "DragonComposite")
    assert draft in workflow.upstream(prompt, guide, "draft")
    assert prompt[draft]["inputs"]["energy"] == prompt[guide]["inputs"]["energy"]
    assert prompt[draft]["inputs"]["image"] == prompt[composite]["inputs"]["source"]
    assert prompt[composite]["inputs"]["changed"][0] == guide
    savers = {"SaveImage": "images", "SaveVideo": "video"}
    saved = [workflow.upstream(prompt, save, name) for kind, name in savers.items() for save in workflow.of_type(prompt, kind)]
    assert any(composite in nodes for nodes in saved)


@every(names=RUN_HERE)
def test_shipped_workflow_gives_a_picture(server: Server, file: Path) -> None:
    steps: list[Progress] = []
    result = server.client.run(converted(server, file), steps.append)
    assert result.images
    assert any(step.maximum for step in steps), "no node reported progress"
    for saved in result.images:
        picture = Image.open(io.BytesIO(server.client.fetch(saved)))
        lowest, highest = picture.convert("L").getextrema()
        assert lowest < highest, f"{saved.filename} is one flat colour"


@every(names=OF_FILES)
def test_a_template_of_todays_models_moves_what_it_says(server: Server, file: Path) -> None:
    """On random weights, so that only the way through the graph is seen: the object's pixels arrive, in every frame; the rest stays."""
    prompt = in_place_of_files(converted(server, file))
    (composite,) = workflow.of_type(prompt, "DragonComposite")
    (move,) = workflow.of_type(prompt, "DragonMoveLoss")
    source = prompt[composite]["inputs"]["source"]
    prompt = {name: node for name, node in prompt.items() if node["class_type"] not in ("SaveImage", "CreateVideo", "SaveVideo")}
    for name, images in (("before", source), ("after", [composite, 0])):
        prompt[name] = {"class_type": "SaveImage", "inputs": {"images": images, "filename_prefix": f"test/{file.stem}_{name}"}}
    result = server.client.run(prompt)
    before, after = ([picture(server, each) for each in result.images if f"_{name}" in each.filename] for name in ("before", "after"))
    assert len(before) == len(after) == (17 if workflow.of_type(prompt, "LoadVideo") else 1)
    with Image.open(WORKFLOWS / "inputs" / prompt[prompt[move]["inputs"]["mask"][0]]["inputs"]["image"]) as loaded:
        mask = np.asarray(loaded.convert("L")) > 128
    shift = prompt[move]["inputs"]["dx"]
    place = np.roll(mask, shift, 1)
    for old, new in zip(before, after, strict=True):
        arrived = np.abs(new[place] - np.roll(old, shift, 1)[place]).mean()
        assert arrived < 0.5 * np.abs(old[place] - np.roll(old, shift, 1)[place]).mean()
        assert np.median(np.abs(new - old)[~(mask | place)]) <= 1


def picture(server: Server, saved: Any) -> npt.NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(server.client.fetch(saved))).convert("RGB"), float)


@every()
def test_shipped_workflow_has_a_thumbnail(file: Path) -> None:
    thumbnail = file.with_suffix(".jpg")
    assert thumbnail.stat().st_size <= LARGEST_THUMBNAIL
    with Image.open(thumbnail) as picture:
        assert min(picture.size) >= 256


@every()
def test_nodes_of_a_shipped_workflow_lie_beside_each_other(file: Path) -> None:
    """With their title bars, which lie above a node's own place."""
    boxes = [
        (node.get("title") or node["type"], *node["pos"], *(a + b for a, b in zip(node["pos"], node["size"], strict=True)))
        for node in json.loads(file.read_text("utf-8"))["nodes"]
    ]
    title = 30
    overlaps = [
        (a[0], b[0])
        for i, a in enumerate(boxes)
        for b in boxes[i + 1 :]
        if a[1] < b[3] and b[1] < a[3] and a[2] - title < b[4] and b[2] - title < a[4]
    ]
    assert overlaps == []


@every()
def test_a_shipped_workflow_is_no_wider_than_the_page_shows(file: Path) -> None:
    """As it opens in Nodes 2.0, which draws it 1.2 times as large; tests/browser/test_layout.py measures it there."""
    graph = json.loads(file.read_text("utf-8"))
    left = min(node["pos"][0] for node in graph["nodes"])
    right = max(node["pos"][0] + node["size"][0] for node in graph["nodes"])
    assert (right - left) * graph["extra"]["ds"]["scale"] * 1.2 <= 1500


def test_workflows_are_shipped() -> None:
    assert set(RUN_HERE) | set(AS_THE_PAPER) <= {file.stem for file in SHIPPED}
    assert all(demo.templates().values()), "a template has no heading in its first note"
