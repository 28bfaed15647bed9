"""The blueprints in `subgraphs/`: made from the templates as they are now, listed by the server, and prompts that it takes."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dev import blueprints, layout, workflow
from dev.blueprints import BLUEPRINTS, Blueprint
from dev.paths import PACK_NAME, SUBGRAPHS, WORKFLOWS
from dev.server import Server
from dragon_core.document.drawing import encode_runs

every = pytest.mark.parametrize("recipe", BLUEPRINTS, ids=lambda recipe: recipe.name)
ARROWS = [[0.383, 0.641, 0.766, 0.586], [0.102, 0.641, 0.383, 0.586]]


def drawn(recipe: Blueprint, times: int = 1) -> str:
    """The template's mask, moved a little, or arrows: what a user would draw on the face. `times`: on a picture so much larger."""
    if "points" in recipe.drawn:
        return json.dumps({"version": 1, "size": [256, 256], "arrows": ARROWS, "objects": []})
    masks = {"DragonPasteLoss": "paste_second", "DragonAppearanceLoss": "appearance", "DragonInpaintLoss": "remove"}
    name = next((name for loss, name in masks.items() if loss == recipe.drawn["mask"][0]), "move")
    with Image.open(WORKFLOWS / "inputs" / f"dragon_{name}_mask.png") as picture:
        cells = np.kron(np.asarray(picture.convert("L")) > 127, np.ones((times, times), bool))
    mask = {"size": [cells.shape[1], cells.shape[0]], "runs": encode_runs(cells)}
    thing = {"mask": mask, "move": [0.25, 0], "scale": [1, 1], "rotation": 0}
    return json.dumps({"version": 1, "size": [cells.shape[1], cells.shape[0]], "arrows": [], "objects": [thing]})


def test_everything_is_made_from_the_templates_as_they_are() -> None:
    """`python3 -m dev templates` has nothing to change."""
    assert [*layout.write(), *blueprints.write()] == []


def test_there_is_one_for_each_task() -> None:
    assert {file.stem for file in SUBGRAPHS.iterdir()} == {recipe.name for recipe in BLUEPRINTS}


def test_the_server_lists_them(server: Server) -> None:
    listed = server.client.get_json("/api/global_subgraphs")
    ours = {entry["name"]: key for key, entry in listed.items() if PACK_NAME in entry["info"]["node_pack"]}
    assert set(ours) == {recipe.name for recipe in BLUEPRINTS}
    data: Any = json.loads(server.client.get_json(f"/api/global_subgraphs/{ours['Dragon move']}")["data"])
    assert data == json.loads((SUBGRAPHS / "Dragon move.json").read_text("utf-8"))


@every
def test_it_takes_what_a_user_brings(recipe: Blueprint) -> None:
    (face,) = blueprints.blueprint(recipe)["nodes"]
    inputs = [entry["name"] for entry in face["inputs"]]
    assert inputs[:4] == ["model", "clip", "vae", "image"] and {"prompt", "seed", "hold_object_until", "side"} <= set(inputs)
    assert [entry["name"] for entry in face["outputs"]] == ["image"]
    assert len(set(inputs)) == len(inputs)


@every
def test_what_is_on_its_face_is_found_by_the_frontend(recipe: Blueprint) -> None:
    """The frontend puts a node's links before its widgets, and then looks a promoted widget up by the number of its slot."""
    (graph,) = blueprints.blueprint(recipe)["definitions"]["subgraphs"]
    nodes = {node["id"]: node for node in graph["nodes"]}
    for link in graph["links"]:
        if link["origin_id"] == blueprints.INPUT_NODE:
            kinds = ["widget" in entry for entry in nodes[link["target_id"]]["inputs"]]
            before = kinds[: link["target_slot"]]
            assert not kinds[link["target_slot"]] or False not in kinds[len(before) :], nodes[link["target_id"]]["type"]


@every
def test_it_is_a_prompt(server: Server, recipe: Blueprint) -> None:
    """Opened up, it is the template's graph on a crop: each of its nodes, the canvas in the place of its masks, and two for the crop."""
    info = server.client.object_info()
    prompt = workflow.to_prompt(blueprints.shown(recipe, drawn(recipe), "dragon_test"), info, recipe.name)
    template = workflow.to_prompt(workflow.load(WORKFLOWS / f"{recipe.template}.json"), info)

    def kinds(graph: workflow.Prompt) -> list[str]:
        return sorted(node["class_type"] for node in graph.values() if node["class_type"] not in ("LoadImageMask", "DragonPreview"))

    ours = ("DragonCanvas", "DragonCrop", "DragonUncrop")
    assert kinds({name: node for name, node in prompt.items() if node["class_type"] not in ours}) == kinds(template)
    (canvas,), (crop,), (uncrop,) = (workflow.of_type(prompt, kind) for kind in ours)
    (loss,) = workflow.of_type(prompt, next(node for node, _ in recipe.drawn.values()))
    onto = "onto" if "onto" in prompt[canvas]["inputs"] else "image"
    assert prompt[crop]["inputs"]["image"] == prompt[canvas]["inputs"][onto]  # drawn on all of it, edited on the crop
    assert prompt[crop]["inputs"]["energy"][0] == loss
    for name, node in prompt.items():
        for into, link in node["inputs"].items():
            if isinstance(link, list) and name != crop:
                assert link[0] != loss, f"{node['class_type']}.{into} has the edit of the whole picture"
            if isinstance(link, list) and link == prompt[crop]["inputs"]["image"]:
                assert name in (crop, canvas), f"{node['class_type']}.{into} has the whole picture"
    if len(recipe.pictures) > 1:  # the second, too
        second = prompt[crop]["inputs"]["reference"]
        users = [name for name, node in prompt.items() for link in node["inputs"].values() if link == second]
        assert set(users) <= {crop, canvas}
    (saved,) = workflow.of_type(prompt, "SaveImage")
    assert prompt[saved]["inputs"]["images"][0] == uncrop
    (sampler,) = workflow.of_type(prompt, "DragonSampler")
    assert canvas in workflow.upstream(prompt, sampler, "energy")
    shared = {name: value for name, value in prompt[sampler]["inputs"].items() if not isinstance(value, list)}
    (theirs,) = workflow.of_type(template, "DragonSampler")
    assert shared.items() <= template[theirs]["inputs"].items()


def test_a_large_second_picture_costs_no_more(server: Server, tmp_path: Path) -> None:
    """Pasted from a picture of nine times the model's pixels: cropped like the first, and what arrives looks as from the small one."""
    recipe = next(each for each in BLUEPRINTS if each.name == "Dragon paste")
    results = []
    for times in (1, 3):
        prompt = workflow.to_prompt(blueprints.shown(recipe, drawn(recipe, times), "dragon_test"), server.client.object_info(), recipe.name)
        (crop,) = workflow.of_type(prompt, "DragonCrop")
        prompt[crop]["inputs"]["side"] = 256
        (paste,) = workflow.of_type(prompt, "DragonPasteLoss")
        prompt[paste]["inputs"] |= {"x": 150, "y": 170, "scale": 1 / times}
        second = prompt[prompt[crop]["inputs"]["reference"][0]]["inputs"]
        with Image.open(WORKFLOWS / "inputs" / "dragon_paste_second.png") as small:
            size = (times * small.width, times * small.height)
            small.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(tmp_path / f"{times}.png")
        second["image"] = server.client.upload_image(tmp_path / f"{times}.png", f"second_{times}.png")
        (saved,) = server.client.run(prompt).images
        with Image.open(BytesIO(server.client.fetch(saved))) as result:
            results.append(np.asarray(result.convert("RGB")).astype(float))
    assert results[0].shape == results[1].shape
    assert np.abs(results[0] - results[1]).mean() < 1


def test_values_of_a_subgraphs_own_are_refused(server: Server) -> None:
    graph = blueprints.shown(BLUEPRINTS[0], "", "dragon_test")
    next(node for node in graph["nodes"] if "widgets_values" in node and node["title"] == "Dragon move")["widgets_values"] = ["a cup"]
    with pytest.raises(workflow.WorkflowError, match="values of its own"):
        workflow.to_prompt(graph, server.client.object_info())
