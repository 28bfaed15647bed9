"""The pack as ComfyUI's loader sees it."""

from __future__ import annotations

from typing import Any

import pytest

NODE_IDS = frozenset(
    {
        "DragonInvert",
        "DragonGuidanceBranch",
        "DragonMoveLoss",
        "DragonCrop",
        "DragonUncrop",
        "DragonDraft",
        "DragonComposite",
        "DragonDragLoss",
        "DragonLandmarksLoss",
        "DragonResizeLoss",
        "DragonContentLoss",
        "DragonContrastLoss",
        "DragonInpaintLoss",
        "DragonSimilarityLoss",
        "DragonCrossAttnPatch",
        "DragonSampler",
        "DragonGuider",
        "DragonEulerSampler",
        "DragonMiniModel",
        "DragonCanvas",
        "DragonCanvasObject",
        "DragonPreview",
    }
)


def test_every_node_is_registered(pack: Any) -> None:
    assert set(pack.node_classes) >= NODE_IDS


def test_every_node_explains_itself(pack: Any) -> None:
    """A category, a description, and a tooltip on each input and output are what a newcomer has to go by."""
    for name, node in pack.node_classes.items():
        schema = node.GET_SCHEMA()
        assert schema.node_id == name == node.__name__
        assert schema.category and schema.description, name
        for each in (*schema.inputs, *schema.outputs):
            assert each.tooltip, f"{name}: {each.id} has no tooltip"


def test_only_v3(pack: Any) -> None:
    """With NODE_CLASS_MAPPINGS as well, the loader would never call comfy_entrypoint."""
    assert not hasattr(pack.module, "NODE_CLASS_MAPPINGS")


def test_stock_nodes_run_as_in_a_prompt(execute: Any) -> None:
    """The helper itself: a V1 node, and inference mode around it."""
    (image,) = execute("EmptyImage", width=64, height=48, batch_size=1, color=255)
    assert image.shape == (1, 48, 64, 3)
    assert image.is_inference()
    with pytest.raises(KeyError):
        execute("NoSuchNode")


def test_nodes_are_found_by_what_others_call_it(pack: Any) -> None:
    infos = {name: node.GET_NODE_INFO_V1() for name, node in pack.node_classes.items()}  # what /object_info gives to the search
    if "search_aliases" not in infos["DragonSampler"]:
        pytest.skip("this ComfyUI has no search aliases")
    wanted = {
        "drag": "DragonCanvas",
        "move object": "DragonMoveLoss",
        "DragGAN": "DragonDragLoss",
        "DragDiffusion": "DragonDragLoss",
        "DragonDiffusion": "DragonSampler",
        "DiffEditor": "DragonSampler",
        "DDIM inversion": "DragonInvert",
        "remove object": "DragonInpaintLoss",
    }
    for typed, node in wanted.items():
        assert typed in infos[node]["search_aliases"], typed
