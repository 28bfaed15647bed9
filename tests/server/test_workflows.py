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
from dev.client import Progress, PromptRejected
from dev.environment import Environment
from dev.errors import DevError
from dev.paths import WORKFLOWS
from dev.server import Server
from dev.workflow import Prompt
from tests.support.random_loaders import loaders, saved, with_random_models

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
    for image in result.images:
        lowest, highest = Image.open(io.BytesIO(server.client.fetch(image))).convert("L").getextrema()
        assert lowest < highest, f"{image.filename} is one flat colour"


@every(names=OF_FILES)
def test_a_template_of_todays_models_lacks_nothing_but_its_files(server: Server, file: Path) -> None:
    """The server takes all of it but the names of files; the frontend offers these for download, by what the loaders say."""
    graph = workflow.load(file)
    with pytest.raises(PromptRejected) as refused:
        server.client.run(converted(server, file))
    said = str(refused.value)
    found = loaders(graph)
    assert said.count("Value not in list") == len(found) and len(said.splitlines()) == 1 + len(found), said
    for loader in found:
        (offered,) = loader["properties"]["models"]
        assert offered["name"] == loader["widgets_values"][0] and f"'{offered['name']}'" in said
        assert offered["url"].startswith("https://") and offered["url"].endswith(f"/{offered['name']}")
        assert offered["directory"] in ("checkpoints", "diffusion_models", "text_encoders", "vae")


@every(names=OF_FILES)
def test_the_demo_says_which_files_it_lacks(comfy_environment: Environment, file: Path, tmp_path: Path) -> None:
    with pytest.raises(DevError, match=rf"{file.stem} is for a model .*safetensors.* in your own ComfyUI"):
        demo.run_template(comfy_environment, file.stem, tmp_path)


@every(names=OF_FILES)
def test_a_template_of_todays_models_moves_what_it_says(server: Server, file: Path) -> None:
    """On random weights, so that only the way through the graph is seen: the object's edges arrive, in whatever light, in every frame.

    The rest stays.
    """
    prompt = workflow.to_prompt(with_random_models(workflow.load(file)), server.client.object_info(), file.name)
    (composite,) = workflow.of_type(prompt, "DragonComposite")
    (move,) = workflow.of_type(prompt, "DragonMoveLoss")
    result = server.client.run(saved(prompt, before=prompt[composite]["inputs"]["source"], after=[composite, 0]))
    before, after = ([picture(server, each) for each in result.images if each.node_id == name] for name in ("before", "after"))
    assert len(before) == len(after) == (17 if workflow.of_type(prompt, "LoadVideo") else 1)
    with Image.open(WORKFLOWS / "inputs" / prompt[prompt[move]["inputs"]["mask"][0]]["inputs"]["image"]) as loaded:
        mask = np.asarray(loaded.convert("L")) > 128
    shift = prompt[move]["inputs"]["dx"]
    place = np.roll(mask, shift, 1)
    inside = place[:, 1:] & place[:, :-1]
    for old, new in zip(before, after, strict=True):
        asked, was, came = (np.diff(each, axis=1)[inside].ravel() for each in (np.roll(old, shift, 1), old, new))
        assert np.corrcoef(asked, came)[0, 1] > 0.5 > 0.25 > np.corrcoef(asked, was)[0, 1]
        assert np.median(np.abs(new - old)[~(mask | place)]) <= 1


def picture(server: Server, image: Any) -> npt.NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(server.client.fetch(image))).convert("RGB"), float)


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
