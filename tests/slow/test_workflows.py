"""Every shipped workflow through a real server: those that the server tier only converts give a picture, too."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dev import environment, workflow
from dev.paths import WORKFLOWS
from dev.server import Server, copy_inputs, running
from tests.support.random_loaders import loaders, saved, with_random_models
from tests.support.servers import install

SHIPPED = sorted(WORKFLOWS.glob("*.json"))
#: Of today's models: in the place of files nobody has here they get small random models.
OF_FILES = [file for file in SHIPPED if loaders(workflow.load(file))]
BUNDLED = [file for file in SHIPPED if file not in OF_FILES]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(environment.ensure(), install=install) as started:
        copy_inputs(started, WORKFLOWS / "inputs")
        yield started


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: file.stem)
def test_shipped_workflow_edits_its_picture(server: Server, file: Path) -> None:
    """Something has changed where it was asked for, and no more than half of the picture (which a broken edit would)."""
    prompt = workflow.to_prompt(workflow.load(file), server.client.object_info(), file.name)
    result = server.client.run(prompt)
    pictures = [np.asarray(Image.open(io.BytesIO(server.client.fetch(image))).convert("RGB"), float) for image in result.images]
    assert pictures and all(picture.std() > 5 for picture in pictures), "a flat picture"
    composites = workflow.of_type(prompt, "DragonComposite")
    loaders = [workflow.upstream(prompt, node, "source") for node in composites]
    names = [prompt[first]["inputs"].get("image") for nodes in loaders for first in nodes if prompt[first]["class_type"] == "LoadImage"]
    if not names:  # the paper's form, and a picture that is made rather than loaded
        return
    source = np.asarray(Image.open(WORKFLOWS / "inputs" / names[0]).convert("RGB"), float)
    edited = next(picture for picture in pictures if picture.shape == source.shape)
    share = (np.abs(edited - source).max(-1) > 24).mean()
    assert 0.005 < share < 0.5, f"{share:.1%} of the picture differs from its source"


@pytest.mark.parametrize("file", OF_FILES, ids=lambda file: file.stem)
def test_a_template_of_todays_models_runs_on_comfyuis_own_classes(server: Server, file: Path) -> None:
    """What random weights make is noise, so what is asked is where it is: in the object's new place, in every frame.

    Not elsewhere in stills; Wan's VAE, being random, spreads some of it over all of a frame.
    """
    graph = with_random_models(workflow.load(file), vae="own")
    prompt = workflow.to_prompt(graph, server.client.object_info(), file.name)
    (composite,) = workflow.of_type(prompt, "DragonComposite")
    (move,) = workflow.of_type(prompt, "DragonMoveLoss")
    result = server.client.run(saved(prompt, before=prompt[composite]["inputs"]["source"], after=[composite, 0]))
    before, after = (
        [
            np.asarray(Image.open(io.BytesIO(server.client.fetch(image))).convert("RGB"), float)
            for image in result.images
            if image.node_id == name
        ]
        for name in ("before", "after")
    )
    assert len(before) == len(after) > 0
    with Image.open(WORKFLOWS / "inputs" / prompt[prompt[move]["inputs"]["mask"][0]]["inputs"]["image"]) as picture:
        mask = np.asarray(picture.convert("L")) > 128
    place = np.roll(mask, prompt[move]["inputs"]["dx"], 1)
    for old, new in zip(before, after, strict=True):
        changed, elsewhere = np.abs(new - old)[place].mean(), np.median(np.abs(new - old)[~(mask | place)])
        assert changed > max(10, 2 * elsewhere) and (elsewhere <= 1 or len(after) > 1)
    assert {image.node_id for image in result.images} >= {*workflow.of_type(prompt, "SaveImage"), *workflow.of_type(prompt, "SaveVideo")}
