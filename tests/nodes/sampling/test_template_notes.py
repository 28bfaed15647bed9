"""What the templates of today's models say of their steps, by the schedules of their models."""

from __future__ import annotations

import re
from typing import Any

import pytest
import random_loaders
import random_models

from dev import workflow
from dev.graph_file import titled
from dev.paths import WORKFLOWS
from dragon_core.diffusion.schedule import injected_steps

SAID = re.compile(r"[Oo]f (\d+) steps .*the model is asked in the last (\d+)\.")
OF_FILES = [file for file in sorted(WORKFLOWS.glob("*.json")) if random_loaders.loaders(workflow.load(file))]


@pytest.mark.parametrize("file", OF_FILES, ids=lambda file: file.stem)
def test_a_note_says_in_how_many_steps_the_model_is_asked(run: Any, pack: Any, file: Any) -> None:
    graph = workflow.load(file)
    (note,) = [found for node in graph["nodes"] if node["type"] == "MarkdownNote" for found in SAID.findall(node["widgets_values"][0])]
    loader = random_loaders.loaders(graph)[0]
    model = random_models.diffusion_model(random_loaders.FAMILIES[loader["widgets_values"][0]])
    for node in graph["nodes"]:
        if node["type"].startswith("ModelSampling"):
            (model,) = run(node["type"], model=model, shift=node["widgets_values"][0])
    steps, scheduler, *_ = titled(graph, "DragonInvert")["widgets_values"]
    (sigmas,) = run("BasicScheduler", model=model, scheduler=scheduler, steps=steps, denoise=1.0)
    noise_model = pack.submodule("nodes.host.model").noise_model_of(model)
    shares = [float(noise_model.progress(sigma)) for sigma in sigmas[:-1]]
    free = steps - injected_steps(shares, titled(graph, "DragonSampler")["widgets_values"][14])
    assert note == (str(steps), str(free))
