"""What a run owes other packs and the user: their wrappers see it, and a model with other LoRAs than the inversion's is said."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from comfy.patcher_extension import WrappersMP


def lora(model: Any) -> Any:
    clone = model.clone()
    name = "diffusion_model.output_blocks.4.0.in_layers.2.weight"
    clone.add_patches({name: (0.01 * torch.randn(model.model.state_dict()[name].shape, generator=torch.Generator().manual_seed(1)),)})
    return clone


def test_other_loras_than_the_inversions_are_said(scene: Any, sample: Any, run: Any, mini: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        sample(scene, model=mini.model.clone())
        assert "other LoRAs" not in caplog.text
        patched = lora(mini.model)
        sample(scene, model=patched)
        assert "inverted or recorded with other LoRAs than it is edited with" in caplog.text
        caplog.clear()
        trajectory, *_ = run("DragonInvert", model=patched, positive=scene.positive, latent=scene.latent, steps=2, refinement=0)
        (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
        sample(scene, model=patched.clone(), branch=branch)
        assert "other LoRAs" not in caplog.text


def test_predict_noise_wrappers_see_every_step(scene: Any, sample: Any, move: Any, mini: Any) -> None:
    """Dragon Euler asks as any sampler does: what such a wrapper changes is in the picture, and it is asked once a step."""
    asked: list[float] = []

    def darker(executor: Any, x: torch.Tensor, timestep: torch.Tensor, *args: Any) -> torch.Tensor:
        asked.append(float(timestep[0]))
        return 0.9 * executor(x, timestep, *args)

    model = mini.model.clone()
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "other", darker)
    plain, wrapped = (sample(scene, model=each, energy=move(scene)) for each in (mini.model, model))
    assert asked == pytest.approx([float(sigma) for sigma in scene.sigmas[:-1]])
    assert not torch.allclose(wrapped, plain, rtol=0.01)
