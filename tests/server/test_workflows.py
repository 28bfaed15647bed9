"""Every shipped workflow, as it is in the file, through a real server."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from dev import workflow
from dev.client import Progress
from dev.paths import WORKFLOWS
from dev.server import Server

SHIPPED = sorted(WORKFLOWS.glob("*.json"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_workflow_gives_a_picture(server: Server, file: Path) -> None:
    prompt = workflow.to_prompt(workflow.load(file), server.client.object_info(), file.name)
    steps: list[Progress] = []
    result = server.client.run(prompt, steps.append)
    assert result.images
    assert any(step.maximum for step in steps), "no node reported progress"
    for saved in result.images:
        picture = Image.open(io.BytesIO(server.client.fetch(saved)))
        lowest, highest = picture.convert("L").getextrema()
        assert lowest < highest, f"{saved.filename} is one flat colour"


def test_workflows_are_shipped() -> None:
    assert "move_object" in {file.stem for file in SHIPPED}
