"""Models that compute in 16 bits: gradients neither vanish nor overflow, and edits are those of 32 bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comfy.ldm.modules.attention as kernels
import pytest
import torch

#: One guided step, without what the widgets would do besides.
ONCE = {"guide_every_until": 0.25, "guide_until": 0.25, "energy_scale": 0.5}


@pytest.fixture(scope="module", autouse=True)
def one_kernel() -> Iterator[None]:
    """Guided evaluations use PyTorch's attention, as GPUs do anyway; elsewhere another kernel's rounding would pass for guidance."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("optimized_attention", "optimized_attention_masked"):
            patch.setattr(kernels, name, kernels.attention_pytorch)
        yield


@pytest.fixture(scope="module")
def displacement(scene: Any, sample: Any, move: Any, run: Any, mini: Any) -> Any:
    """`displacement("fp16", …)` → what guidance changes in a model that computes in that precision."""

    def change(dtype: str, **weights: float) -> torch.Tensor:
        (model,) = run("ModelComputeDtype", model=mini.model, dtype=dtype)
        energy = move(scene, start_latent="off", **weights)
        guided = sample(scene, model=model, energy=energy, **ONCE)
        unguided = sample(scene, model=model, energy=energy, **{**ONCE, "energy_scale": 0.0})
        assert torch.isfinite(guided).all()
        return (guided - unguided).flatten()

    return change


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_edits_are_those_of_float32(displacement: Any, dtype: str) -> None:
    half, full = displacement(dtype), displacement("default")
    assert float(torch.cosine_similarity(half, full, dim=0)) > 0.97
    assert float(half.norm() / full.norm()) == pytest.approx(1, abs=0.1)


def test_small_energies_keep_their_gradient(displacement: Any) -> None:
    """Large masks and nearly finished edits have gradients so small that float16 would round them off. In relative units a common
    factor of all weights cancels.
    """
    names = ("w_edit", "w_content", "w_contrast", "w_inpaint")
    faint, plain = (displacement("fp16", **dict.fromkeys(names, weight)) for weight in (1e-4, 1.0))
    assert float(torch.cosine_similarity(faint, plain, dim=0)) > 0.98
