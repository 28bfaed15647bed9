"""Weights that do not all stay where they are: refused or loaded otherwise, never differentiated through."""

from __future__ import annotations

from typing import Any

import comfy.model_patcher
import pytest
import torch


def test_partly_loaded_model(fresh_mini: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    """Another pack that makes room at the wrong moment leaves the model as ComfyUI's low-VRAM mode would."""
    from comfy.patcher_extension import CallbacksMP

    model = fresh_mini.model.clone()
    model.add_callback_with_key(CallbacksMP.ON_PRE_RUN, "a", lambda patcher: patcher.partially_unload(torch.device("cpu"), 4 * 2**20))
    with refused("DragonSampler", "does not fit into memory", "--lowvram"):
        sample(scene, model=model, energy=move(scene))
    assert torch.isfinite(sample(scene, model=model, energy=move(scene), energy_scale=0.0)).all(), "nothing to differentiate: no need"


def test_a_card_with_room_for_the_weights_and_little_else(
    fresh_mini: Any, scene: Any, sample: Any, move: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ComfyUI would move weights out again to make room for activations; guidance wants them all, and they do fit."""
    import comfy.model_management as management

    model = fresh_mini.model
    card = model.model_size() + 600 * 2**20

    def free(_device: Any = None, torch_free_too: bool = False) -> Any:
        left = card - model.loaded_size()
        return (left, 0) if torch_free_too else left

    monkeypatch.setattr(management, "is_device_cpu", lambda _device: False)
    monkeypatch.setattr(management, "get_free_memory", free)
    monkeypatch.setattr(management, "vram_state", management.VRAMState.NORMAL_VRAM)
    monkeypatch.setattr(management, "soft_empty_cache", lambda force=False: None)
    monkeypatch.setattr(management, "minimum_inference_memory", lambda: 1200 * 2**20)
    assert torch.isfinite(sample(scene, model=model, energy=move(scene))).all()
    assert model.loaded_size() >= model.model_size()


def test_a_card_that_is_too_small(
    fresh_mini: Any, scene: Any, sample: Any, move: Any, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running out of memory while the weights are loaded is said in words that help."""
    import comfy.model_management as management

    def load(models: Any, *_args: Any, force_full_load: bool = False, **_kwargs: Any) -> None:
        if force_full_load:
            raise management.OOM_EXCEPTION("CUDA out of memory")
        real(models)

    real = management.load_models_gpu
    monkeypatch.setattr(management, "load_models_gpu", load)
    with refused("DragonSampler", "does not fit into memory as a whole", "fp16 checkpoint"):
        sample(scene, model=fresh_mini.model, energy=move(scene))


class Paging(comfy.model_patcher.ModelPatcher):
    """Says that it pages its weights, as ComfyUI's patcher for NVIDIA cards does; that one turns into a plain one on a CPU."""

    def is_dynamic(self) -> bool:
        return True

    def get_non_dynamic_delegate(self) -> comfy.model_patcher.ModelPatcher:
        return comfy.model_patcher.ModelPatcherDynamic.get_non_dynamic_delegate(self)


def paging(model: Any) -> Paging:
    made = Paging(model.model, model.load_device, model.offload_device)
    made.non_dynamic_delegate_model = None
    return made


def test_paged_weights_that_cannot_be_loaded_otherwise(fresh_mini: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    model = paging(fresh_mini.model)
    model.cached_patcher_init = None
    with refused("DragonSampler", "dynamic VRAM", "CheckpointLoaderSimple", "--disable-dynamic-vram"):
        sample(scene, model=model, energy=move(scene))


@pytest.mark.skipif(not hasattr(comfy.model_patcher, "ModelPatcherDynamic"), reason="this ComfyUI does not page weights")
def test_paged_weights_are_loaded_once_more(fresh_mini: Any, scene: Any, sample: Any, move: Any, pack: Any) -> None:
    """ComfyUI's own way out: its loader is called again, without paging, and the second patcher is kept."""
    calls: list[bool] = []

    def load(disable_dynamic: bool = False) -> Any:
        calls.append(disable_dynamic)
        return pack.submodule("nodes.bundled.mini_weights").load_mini_model()[0]

    model = paging(fresh_mini.model)
    model.cached_patcher_init = (load, ())
    edits = [sample(scene, model=model, energy=move(scene)) for _ in range(2)]
    assert calls == [True]
    for edit in edits:
        assert torch.equal(edit, sample(scene, energy=move(scene)))
    sample(scene, model=model, energy=move(scene), energy_scale=0.0)
    assert calls == [True], "without guidance nothing is loaded again"
