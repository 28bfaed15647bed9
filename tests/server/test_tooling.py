"""The converter and the client against a real server, with stock nodes only."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
from PIL import Image

from dev import workflow
from dev.client import ExecutionFailed, PromptRejected
from dev.server import Server
from dev.workflow import WorkflowError

STOCK: dict[str, Any] = {
    "nodes": [
        {"id": 1, "type": "EmptyImage", "mode": 0, "widgets_values": [64, 48, 1, 255]},
        {"id": 2, "type": "SaveImage", "mode": 0, "inputs": [{"name": "images", "link": 7}], "widgets_values": ["probe"]},
        {"id": 3, "type": "MarkdownNote", "mode": 0, "widgets_values": ["a note is not a node of the server's"]},
    ],
    "links": [[7, 1, 0, 2, 0, "IMAGE"]],
    "version": 0.4,
}


@pytest.fixture(scope="module")
def object_info(server: Server) -> dict[str, Any]:
    return server.client.object_info()


def test_stock_workflow_runs(server: Server, object_info: dict[str, Any]) -> None:
    prompt = workflow.to_prompt(STOCK, object_info)
    assert prompt["1"]["inputs"] == {"width": 64, "height": 48, "batch_size": 1, "color": 255}
    assert prompt["2"]["inputs"] == {"filename_prefix": "probe", "images": ["1", 0]}
    result = server.client.run(prompt)
    assert Image.open(io.BytesIO(server.client.fetch(result.images[0]))).size == (64, 48)


def test_control_after_generate_and_upload_widgets_are_skipped(server: Server, object_info: dict[str, Any]) -> None:
    sampler = {"id": 1, "type": "KSampler", "widgets_values": [42, "randomize", 20, 8.0, "euler", "normal", 1.0]}
    sampler["inputs"] = [{"name": name, "link": 1} for name in ("model", "positive", "negative", "latent_image")]
    sources: dict[str, Any] = {"nodes": [sampler], "links": [[1, 1, 0, 1, 0, "*"]]}
    inputs = workflow.to_prompt(sources, object_info)["1"]["inputs"]
    assert (inputs["seed"], inputs["steps"], inputs["denoise"]) == (42, 20, 1.0)
    mask = {"id": 1, "type": "LoadImageMask", "widgets_values": ["a.png", "red", "image"]}
    assert workflow.to_prompt({"nodes": [mask]}, object_info)["1"]["inputs"] == {"image": "a.png", "channel": "red"}


def test_a_link_wins_over_the_widget_it_replaces(object_info: dict[str, Any]) -> None:
    linked = copy.deepcopy(STOCK)
    linked["nodes"][0]["inputs"] = [{"name": "width", "link": 8, "widget": {"name": "width"}}]
    linked["nodes"].append({"id": 4, "type": "PrimitiveInt", "widgets_values": [32, "fixed"]})
    linked["links"].append({"id": 8, "origin_id": 4, "origin_slot": 0, "target_id": 1, "target_slot": 0, "type": "INT"})
    assert workflow.to_prompt(linked, object_info)["1"]["inputs"]["width"] == ["4", 0]
    assert workflow.to_prompt(linked, object_info)["1"]["inputs"]["height"] == 48


@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        ({"widgets_values": [64, 48, 1]}, "no widget value left for color"),
        ({"widgets_values": [64, 48, 1, 255, 3]}, "too many"),
        ({"widgets_values": ["64", 48, 1, 255]}, "widget width is INT"),
        ({"type": "NoSuchNode"}, "the server has no node NoSuchNode"),
        ({"mode": 4}, "bypassed"),
        ({"mode": 2}, "required input not connected: images"),
        ({"inputs": [{"name": "colour", "link": 7}]}, "does not declare: colour"),
    ],
)
def test_what_does_not_fit_is_refused(object_info: dict[str, Any], node: dict[str, Any], complaint: str) -> None:
    broken = copy.deepcopy(STOCK)
    broken["nodes"][0] |= node
    with pytest.raises(WorkflowError, match=complaint):
        workflow.to_prompt(broken, object_info)


def test_a_refused_prompt_names_the_node(server: Server, object_info: dict[str, Any]) -> None:
    prompt = workflow.to_prompt(STOCK, object_info)
    workflow.set_input(prompt, "1", "width", -5)
    with pytest.raises(PromptRejected, match="EmptyImage #1"):
        server.client.run(prompt)


def test_a_failing_node_is_named(server: Server, object_info: dict[str, Any]) -> None:
    """An address inside a file name is refused by SaveImage while it runs, not when the prompt is checked."""
    prompt = workflow.to_prompt(STOCK, object_info)
    workflow.set_input(prompt, "2", "filename_prefix", "../../outside")
    with pytest.raises(ExecutionFailed, match="SaveImage") as caught:
        server.client.run(prompt)
    assert (caught.value.node_id, caught.value.node_type) == ("2", "SaveImage")
