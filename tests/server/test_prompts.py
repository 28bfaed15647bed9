"""The pack behind ComfyUI's own server: what its cache spares, what its Cancel button leaves, what its error dialog says."""

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dev.client import ExecutionFailed, Progress
from dev.server import Server

Prompt = dict[str, dict[str, Any]]

#: Node id → class and inputs; a link is [node, output]. Small: the tests are about the server, not about pictures.
GRAPH: dict[str, tuple[str, dict[str, Any]]] = {
    "model": ("DragonMiniModel", {}),
    "positive": ("CLIPTextEncode", {"clip": ["model", 1], "text": "a red apple"}),
    "negative": ("CLIPTextEncode", {"clip": ["model", 1], "text": ""}),
    "picture": ("EmptyImage", {"width": 96, "height": 64, "color": 0x336699}),
    "encode": ("VAEEncode", {"pixels": ["picture", 0], "vae": ["model", 2]}),
    "invert": ("DragonInvert", {"model": ["model", 0], "positive": ["positive", 0], "latent": ["encode", 0], "steps": 3}),
    "branch": ("DragonGuidanceBranch", {"trajectory": ["invert", 0]}),
    "black": ("SolidMask", {"value": 0.0, "width": 96, "height": 64}),
    "white": ("SolidMask", {"value": 1.0, "width": 32, "height": 24}),
    "mask": ("MaskComposite", {"destination": ["black", 0], "source": ["white", 0], "x": 8, "y": 16, "operation": "add"}),
    "move": ("DragonMoveLoss", {"mask": ["mask", 0], "dx": 24, "dy": 0}),
    "share": ("DragonCrossAttnPatch", {"model": ["model", 0], "branch": ["branch", 0]}),
    "sample": (
        "DragonSampler",
        {"model": ["share", 0], "positive": ["positive", 0], "negative": ["negative", 0], "branch": ["branch", 0], "energy": ["move", 0]},
    ),
    "decode": ("VAEDecode", {"samples": ["sample", 0], "vae": ["model", 2]}),
    "save": ("SaveImage", {"images": ["decode", 0]}),
}


@pytest.fixture(scope="module")
def make_prompt(server: Server) -> Callable[..., Prompt]:
    """`make_prompt(move={"dx": 8})`: the graph in API form, with defaults as the frontend fills them in."""
    info = server.client.object_info()

    def make(**changes: dict[str, Any]) -> Prompt:
        prompt: Prompt = {}
        for name, (kind, inputs) in copy.deepcopy(GRAPH).items():
            defaults: dict[str, Any] = {}
            for widget, (declared, *options) in info[kind]["input"].get("required", {}).items():
                choices = declared if isinstance(declared, list) else options[0].get("options", []) if options else []
                if choices or (options and "default" in options[0]):
                    defaults[widget] = options[0]["default"] if options and "default" in options[0] else choices[0]
            prompt[name] = {"class_type": kind, "inputs": {**defaults, **inputs, **changes.get(name, {})}}
        return prompt

    return make


def picture(server: Server, prompt: Prompt) -> Any:
    """The prompt's picture, as numbers."""
    (saved,) = server.client.run(prompt).images
    return np.asarray(Image.open(io.BytesIO(server.client.fetch(saved))))


def test_changing_the_edit_does_not_invert_again(server: Server, make_prompt: Callable[..., Prompt]) -> None:
    """A new dx runs the move and what comes after it; the inversion, the branch and the patched model come from the cache."""
    assert set(server.client.run(make_prompt()).executed) >= {"invert", "sample", "save"}
    again = server.client.run(make_prompt(move={"dx": -8}))
    assert set(again.executed) == {"move", "sample", "decode", "save"}
    stronger = server.client.run(make_prompt(move={"dx": -8}, sample={"energy_scale": 0.7, "cfg": 1.0, "seed": 3}))
    assert set(stronger.executed) == {"sample", "decode", "save"}


def test_the_same_prompt_runs_nothing(server: Server, make_prompt: Callable[..., Prompt]) -> None:
    prompt = make_prompt(sample={"seed": 11})
    server.client.run(prompt)
    assert server.client.run(prompt).executed == ()


def test_changing_the_inversion_does_run_it(server: Server, make_prompt: Callable[..., Prompt]) -> None:
    server.client.run(make_prompt())
    again = server.client.run(make_prompt(invert={"refinement": 2}))
    assert set(again.executed) >= {"invert", "branch", "share", "sample"}
    assert not {"model", "encode", "move"} & set(again.executed)


@pytest.mark.parametrize("node", ["invert", "sample"])
def test_cancel(server: Server, make_prompt: Callable[..., Prompt], node: str) -> None:
    """Cancel stops inversion and edit in the middle; the next prompt runs, with the model as it was."""
    reference = make_prompt(sample={"seed": 21})
    before = picture(server, reference)
    steps: list[int] = []

    def cancel(progress: Progress) -> None:
        if progress.node_id == node and progress.maximum:
            steps.append(progress.value)
            if len(steps) == 1:
                threading.Thread(target=server.client.interrupt).start()

    slow = make_prompt(invert={"steps": 60, "refinement": 3, "method": "ddim"}, sample={"hold_object_until": 0.0, "travel_passes": 5})
    if node == "sample":
        slow["invert"]["inputs"] |= {"refinement": 0}
    with pytest.raises(ExecutionFailed, match="interrupted") as caught:
        server.client.run(slow, cancel)
    assert caught.value.node_id == node
    assert steps and max(steps) < 60
    reference["save"]["inputs"]["filename_prefix"] = f"after_{node}"  # or the cache would answer
    reference["sample"]["inputs"]["travel_end"] = 0.59  # without effect, but another prompt
    assert (picture(server, reference) == before).all()


def test_errors_name_the_node(server: Server, make_prompt: Callable[..., Prompt]) -> None:
    """What the error dialog shows: the node by its name in the menu, what is wrong, what to do."""
    with pytest.raises(
        ExecutionFailed, match=r"DragonMoveLoss: the edit takes the whole object out of the picture; use a smaller"
    ) as caught:
        server.client.run(make_prompt(move={"dx": 2000}))
    assert caught.value.node_type == "DragonMoveLoss"
    with pytest.raises(ExecutionFailed, match=r"DragonSampler: .*use a mask of the picture's size"):
        server.client.run(make_prompt(black={"width": 128}))
