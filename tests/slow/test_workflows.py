"""Every shipped workflow through a real server: those that the server tier only converts give a picture, too."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dev import environment, pack, workflow
from dev.paths import WORKFLOWS
from dev.server import Server, copy_inputs, running

#: Those of today's models need files; the server tier runs them on small models.
SHIPPED = [file for file in sorted(WORKFLOWS.glob("*.json")) if "DragonMiniModel" in file.read_text("utf-8")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(environment.ensure(), install=pack.install_release) as started:
        copy_inputs(started, WORKFLOWS / "inputs")
        yield started


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_workflow_edits_its_picture(server: Server, file: Path) -> None:
    """Something has changed where it was asked for, and no more than half of the picture (which a broken edit would)."""
    prompt = workflow.to_prompt(workflow.load(file), server.client.object_info(), file.name)
    result = server.client.run(prompt)
    pictures = [np.asarray(Image.open(io.BytesIO(server.client.fetch(saved))).convert("RGB"), float) for saved in result.images]
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
