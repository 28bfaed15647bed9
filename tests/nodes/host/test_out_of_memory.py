"""Memory that runs out in the middle of a step: what is said, and that the next run is right."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import pytest
import torch
from comfy.patcher_extension import WrappersMP


@pytest.mark.parametrize("call", [1, 2, 3, 5])
def test_out_of_memory_in_a_step(run: Any, mini: Any, scene: Any, sample: Any, move: Any, call: int) -> None:
    """In the reference's evaluation, in the guided one, in the negative's, and in a later step."""
    energy, guided = move(scene), {"guide_every_until": 1.0, "energy_scale": 0.5}
    before = sample(scene, energy=energy, **guided)
    full, seen = mini.model.clone(), 0

    def runs_out(executor: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen == call:
            raise comfy.model_management.OOM_EXCEPTION("Allocation on device")
        out: torch.Tensor = executor(*args, **kwargs)
        return out

    full.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "full", runs_out)
    with pytest.raises(comfy.model_management.OOM_EXCEPTION, match="Dragon: memory ran out during the edit, .* smaller picture"):
        sample(scene, model=full, energy=energy, **guided)
    assert seen == call
    comfy.model_management.unload_all_models()  # as ComfyUI does after such an error
    assert torch.equal(sample(scene, energy=energy, **guided), before)
    assert not any(parameter.requires_grad for parameter in mini.model.model.parameters())
