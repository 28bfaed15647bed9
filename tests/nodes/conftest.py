"""The bundled model in a real ComfyUI, a small picture inverted with it, and what to compare edits with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest

from real_comfyui import Execute, execute, pack, refused, run, watched

import torch  # isort: skip - real_comfyui decides on the device before


@dataclass(frozen=True)
class Mini:
    """The bundled model, as its node gives it."""

    model: Any
    clip: Any
    vae: Any


@dataclass(frozen=True)
class Scene:
    """A small picture, inverted, and an object to move in it."""

    positive: Any
    negative: Any
    image: torch.Tensor
    mask: torch.Tensor
    latent: Any
    trajectory: Any
    branch: Any
    start: Any
    sigmas: torch.Tensor


@pytest.fixture(scope="session")
def mini(run: Execute) -> Mini:
    """One model for all tests: none of them may change it."""
    return Mini(*run("DragonMiniModel"))


@pytest.fixture
def fresh_mini(run: Execute) -> Mini:
    """A model of the test's own, as nothing has sampled with it yet."""
    return Mini(*run("DragonMiniModel"))


@pytest.fixture(scope="session")
def make_scene(run: Execute, mini: Mini) -> Callable[..., Scene]:
    """`make_scene(height, width, batch, steps, refinement, taps)`; the same arguments give the same scene."""

    @lru_cache
    def make(height: int = 64, width: int = 96, batch: int = 1, steps: int = 4, refinement: int = 1, taps: int = 2) -> Scene:
        image = torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(7))
        image[:, height // 4 : height // 2, width // 8 : width // 3] = torch.tensor([0.9, 0.1, 0.1])
        mask = torch.zeros(1, height, width)
        mask[:, height // 4 : height // 2, width // 8 : width // 3] = 1
        (positive,) = run("CLIPTextEncode", clip=mini.clip, text="a red apple")
        (negative,) = run("CLIPTextEncode", clip=mini.clip, text="")
        (latent,) = run("VAEEncode", vae=mini.vae, pixels=image)
        trajectory, start, sigmas = run(
            "DragonInvert", model=mini.model, positive=positive, latent=latent, steps=steps, refinement=refinement
        )
        (branch,) = run("DragonGuidanceBranch", trajectory=trajectory, taps=taps)
        return Scene(positive, negative, image, mask, latent, trajectory, branch, start, sigmas)

    return make


@pytest.fixture(scope="session")
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """One picture, not square, in 4 steps."""
    return make_scene()


@pytest.fixture(scope="session")
def sample(run: Execute, mini: Mini) -> Callable[..., torch.Tensor]:
    """`sample(scene, model=…, energy=…, cfg=…)` → what DragonSampler makes of it."""

    def call(scene: Scene, **inputs: Any) -> torch.Tensor:
        given = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "branch": scene.branch, "cfg": 3.0}
        return run("DragonSampler", **{**given, **inputs})[0]["samples"]

    return call


@pytest.fixture(scope="session")
def move(run: Execute) -> Callable[..., Any]:
    """`move(scene, dx=…)` → the energy of moving the scene's object."""

    def call(scene: Scene, **inputs: Any) -> Any:
        return run("DragonMoveLoss", **{"mask": scene.mask, "dx": 24, "dy": 8, **inputs})[0]

    return call


@pytest.fixture(scope="session")
def euler(mini: Mini) -> Callable[..., torch.Tensor]:
    """`euler(scene, cfg=…, model=…)` → what ComfyUI itself makes of the scene's start latent with its euler sampler."""
    import comfy.sample
    import comfy.samplers

    def call(scene: Scene, cfg: float = 3.0, model: Any = None) -> torch.Tensor:
        start = scene.start["samples"]
        with torch.inference_mode():
            return comfy.sample.sample_custom(
                model or mini.model,
                torch.zeros_like(start),
                cfg,
                comfy.samplers.ksampler("euler"),
                scene.sigmas,
                scene.positive,
                scene.negative,
                start,
                seed=0,
            )

    return call
