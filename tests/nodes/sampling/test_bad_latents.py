"""Latents, trajectories and schedules that do not go together: what the nodes say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch


@pytest.fixture
def invert(run: Any, mini: Any, scene: Any) -> Callable[..., Any]:
    """DragonInvert on the scene, with other inputs where given."""

    def call(**inputs: Any) -> Any:
        return run("DragonInvert", **{"model": mini.model, "positive": scene.positive, "latent": scene.latent, "steps": 4, **inputs})

    return call


@pytest.fixture
def custom(run: Any, mini: Any, scene: Any, move: Any) -> Callable[..., Any]:
    """SamplerCustomAdvanced with DragonGuider and DragonEulerSampler on the scene, with other parts where given."""

    def call(**parts: Any) -> Any:
        given = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "branch": scene.branch}
        guider, *_ = run("DragonGuider", **given, energy=move(scene))
        defaults = {"noise": run("DisableNoise")[0], "guider": guider, "sampler": run("DragonEulerSampler")[0]}
        result = run("SamplerCustomAdvanced", **{**defaults, "sigmas": scene.sigmas, "latent_image": scene.start, **parts})
        assert guider.run is None
        return result

    return call


def test_picture_with_nan(scene: Any, invert: Any, refused: Any) -> None:
    samples = scene.latent["samples"].clone()
    samples[0, 0, 0, 0] = float("nan")
    with refused("DragonInvert", "latent has values that are not numbers", "check the image and the VAE"):
        invert(latent={"samples": samples})


@pytest.mark.parametrize("steps", [0, -1])
@pytest.mark.parametrize("node", ["DragonInvert", "DragonRecord"])
def test_no_steps(run: Any, mini: Any, scene: Any, refused: Any, node: str, steps: int) -> None:
    """The widget's minimum is 1; a prompt through the API, or a linked primitive, may say otherwise."""
    given = {"model": mini.model, "positive": scene.positive, "latent": scene.latent, "steps": steps}
    with refused(node, "steps must be at least 1"):
        run(node, **given, **({"negative": scene.negative} if node == "DragonRecord" else {}))


@pytest.mark.parametrize("sigmas", [[], [0.0], [14.0, 7.0, 1.0]], ids=["none", "no step", "not down to 0"])
def test_sigmas_that_do_not_end_at_zero(invert: Any, refused: Any, sigmas: list[float]) -> None:
    with refused("DragonInvert", "schedule", "ends at sigma 0"):
        invert(sigmas=torch.tensor(sigmas))


def test_noise_mask_on_the_picture(run: Any, scene: Any, invert: Any, refused: Any) -> None:
    (masked,) = run("SetLatentNoiseMask", samples=scene.latent, mask=scene.mask)
    with refused("DragonInvert", "noise mask", "without SetLatentNoiseMask"):
        invert(latent=masked)


@pytest.mark.parametrize("sampler", ["DragonEulerSampler", "euler"])
def test_noise_mask_on_the_start(run: Any, scene: Any, custom: Any, refused: Any, sampler: str) -> None:
    """With any sampler: ComfyUI would put the noisy start back where the mask is black."""
    (masked,) = run("SetLatentNoiseMask", samples=scene.start, mask=scene.mask)
    (chosen,) = run(sampler) if sampler.startswith("Dragon") else run("KSamplerSelect", sampler_name=sampler)
    with refused("DragonGuider", "noise masks are not supported", "remove SetLatentNoiseMask"):
        custom(latent_image=masked, sampler=chosen)


@pytest.fixture
def other_model(run: Any, fresh_mini: Any) -> Any:
    """Same family, other weights."""
    with torch.inference_mode():
        fresh_mini.model.model.diffusion_model.input_blocks[0][0].weight.mul_(1.5)
    return fresh_mini.model


def test_trajectory_of_another_model(scene: Any, sample: Any, run: Any, other_model: Any, refused: Any) -> None:
    words = ("made with another model (DragonMini)", "invert with the model you")
    with refused("DragonSampler", *words):
        sample(scene, model=other_model)
    with refused("DragonGuider", *words):
        run("DragonGuider", model=other_model, positive=scene.positive, negative=scene.negative, branch=scene.branch)
    with refused("DragonCrossAttnPatch", *words):
        run("DragonCrossAttnPatch", model=other_model, branch=scene.branch)


def test_loras_do_not_make_another_model(scene: Any, sample: Any, mini: Any) -> None:
    """Whether their weights are applied at the moment or not."""
    name = "diffusion_model.input_blocks.0.0.weight"
    model = mini.model.clone()
    model.add_patches({name: (0.1 * mini.model.model.state_dict()[name].clone(),)})
    first = sample(scene, model=model)
    assert not torch.equal(first, sample(scene))
    assert torch.equal(sample(scene, model=model), first)


@pytest.mark.parametrize("size", [(8, 16), (12, 8)])
def test_latent_of_another_size(custom: Any, refused: Any, size: tuple[int, int]) -> None:
    with refused("DragonGuider", f"(1, 4, {size[0]}, {size[1]})", "(1, 4, 8, 12)", "start from DragonInvert's start_latent"):
        custom(latent_image={"samples": torch.zeros(1, 4, *size)})


@pytest.mark.parametrize("sigmas", [[14.0], [7.0, 14.0, 0.0], [14.0, 7.0, 7.0, 0.0]], ids=["none", "rising", "repeated"])
def test_sigmas_that_do_not_fall(custom: Any, refused: Any, sigmas: list[float]) -> None:
    with refused("DragonGuider", "the SIGMAS must fall", "use DragonInvert's, or a scheduler's"):
        custom(sigmas=torch.tensor(sigmas))


def test_scheduler_with_another_number_of_steps(invert: Any, refused: Any) -> None:
    """Some schedulers give another number of steps than asked for; the message tells it, and what to choose."""
    with refused("DragonInvert", "ddim_uniform gives 999 steps instead of 900", "choose another one"):
        invert(steps=900, scheduler="ddim_uniform")


def test_sampler_for_another_guider(run: Any, scene: Any, mini: Any, custom: Any, refused: Any) -> None:
    (guider,) = run("CFGGuider", model=mini.model, positive=scene.positive, negative=scene.negative, cfg=3.0)
    with refused("DragonEulerSampler", "DragonGuider's guider only", "use the euler sampler"):
        run(
            "SamplerCustomAdvanced",
            noise=run("DisableNoise")[0],
            guider=guider,
            sampler=run("DragonEulerSampler")[0],
            sigmas=scene.sigmas,
            latent_image=scene.start,
        )


def test_fresh_noise_on_the_start(run: Any, custom: Any, refused: Any) -> None:
    """RandomNoise on top of the source's own noise would bury it."""
    with refused("DragonGuider", "noise", "DisableNoise"):
        custom(noise=run("RandomNoise", noise_seed=1)[0])
