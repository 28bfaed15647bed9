"""A model that ComfyUI evaluates on several GPUs at once (its node MultiGPU CFG Split): an edit runs on one of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.fixture
def split(mini: Any) -> Any:
    """As that node makes one: copies of the model go with it, which are evaluated beside it in threads and without gradients."""
    model, copy = mini.model.clone(), mini.model.clone()
    copy.is_multigpu_base_clone = True
    model.set_additional_models("multigpu", [copy])
    return model


@pytest.mark.parametrize("energy_scale", [0.0, 0.5])
def test_an_edit_leaves_the_copies_out(
    energy_scale: float, split: Any, run: Any, scene: Any, sample: Any, move: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the edit that one GPU makes, bit for bit, with shared attention; the model keeps its copies for other samplers."""
    with caplog.at_level("INFO"):
        guider, *_ = run(
            "DragonGuider", model=split, positive=scene.positive, negative=scene.negative, branch=scene.branch, energy=move(scene)
        )
    assert guider.model_patcher.get_additional_models_with_key("multigpu") == []
    assert "runs on one GPU" in caplog.text
    inputs = {"energy": move(scene), "energy_scale": energy_scale}
    shared = [run("DragonCrossAttnPatch", model=model, branch=scene.branch)[0] for model in (split, split.clone())]
    shared[1].remove_additional_models("multigpu")
    on_two, on_one = (sample(scene, model=model, **inputs) for model in shared)
    assert torch.equal(on_two, on_one)
    assert len(split.get_additional_models_with_key("multigpu")) == len(shared[0].get_additional_models_with_key("multigpu")) == 1
