"""Guidance differentiates the model's attention, whichever kernel ComfyUI was started with or another pack has put in."""

from __future__ import annotations

from typing import Any

import comfy.ldm.modules.attention as kernels
import comfy.model_management
import pytest
import torch

# From the middle on: at noisier levels guidance multiplies a last bit by thousands, and two ways to the same numbers part.
GUIDED = {"energy_scale": 0.5, "hold_object_until": 0.5, "guide_every_until": 1.0, "guide_until": 1.0}


def without_autograd(chosen: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    """What SageAttention does: a result that does not know where it came from."""
    with torch.no_grad():
        return kernels.attention_pytorch(*args, **kwargs)


@torch.library.custom_op("dragon_tests::attention", mutates_args=())
def without_formula(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    return kernels.attention_pytorch(query, key, value, heads)


def without_backward(chosen: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, **kwargs: Any) -> torch.Tensor:
    """What ModelAttentionBackend's int8 attention does, and FlashAttention's: a result that has a gradient until somebody wants it."""
    attended: torch.Tensor = without_formula(query, key, value, heads)
    return attended


def halved(chosen: Any, query: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """A pack that means something by it: attention at another temperature."""
    return chosen(query / 2, *args, **kwargs)


def overridden(mini: Any, override: Any) -> Any:
    model = mini.model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    return model


@pytest.mark.parametrize("kernel", [kernels.attention_sub_quad, kernels.attention_split, kernels.attention_basic])
def test_kernels_of_comfyui(monkeypatch: pytest.MonkeyPatch, kernel: Any, scene: Any, sample: Any, move: Any) -> None:
    """As ComfyUI chooses by its arguments, and with so little memory that they work in pieces, which is not differentiable."""
    wanted, plain = sample(scene, energy=move(scene), **GUIDED), sample(scene, energy=move(scene), **{**GUIDED, "energy_scale": 0.0})
    monkeypatch.setattr(kernels, "optimized_attention", kernel)
    monkeypatch.setattr(
        comfy.model_management, "get_free_memory", lambda dev=None, torch_free_too=False: (1e5, 1e5) if torch_free_too else 1e5
    )
    got = sample(scene, energy=move(scene), **GUIDED)
    assert (got - wanted).abs().max() < 0.01 * (wanted - plain).abs().max()


@pytest.mark.parametrize("override", [without_autograd, without_backward])
def test_override_that_cuts_the_graph(override: Any, mini: Any, scene: Any, sample: Any, move: Any) -> None:
    wanted, plain = sample(scene, energy=move(scene), **GUIDED), sample(scene, energy=move(scene), **{**GUIDED, "energy_scale": 0.0})
    got = sample(scene, energy=move(scene), model=overridden(mini, override), **GUIDED)
    assert (got - wanted).abs().max() < 1e-3 * (wanted - plain).abs().max()


def test_override_that_gradients_pass_acts(mini: Any, scene: Any, sample: Any, move: Any) -> None:
    """It is the model that is sampled, so it is the model that is differentiated."""
    seen = []

    def watched(chosen: Any, query: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append(query.requires_grad)
        return halved(chosen, query, *args, **kwargs)

    plain = sample(scene, energy=move(scene), **GUIDED)
    assert not torch.equal(sample(scene, energy=move(scene), model=overridden(mini, watched), **GUIDED), plain)
    assert any(seen)
