"""Without guidance and sharing DragonSampler is ComfyUI's own euler sampler, to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("batch", [1, 2])
def test_no_energy_is_stock_euler(make_scene: Any, sample: Any, euler: Any, batch: int, cfg: float) -> None:
    """Also in batches, for pictures that are not square, with and without a negative prompt."""
    scene = make_scene(batch=batch)
    assert difference(sample(scene, cfg=cfg), euler(scene, cfg)) == 0.0


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("batch", [1, 2])
def test_scale_zero_is_stock_euler(make_scene: Any, sample: Any, move: Any, euler: Any, batch: int, cfg: float) -> None:
    """An energy that is there but switched off changes nothing."""
    scene = make_scene(batch=batch)
    energy = move(scene, start_latent="off")
    assert difference(sample(scene, energy=energy, cfg=cfg, energy_scale=0.0), euler(scene, cfg)) == 0.0


@pytest.mark.parametrize("kind", ["eps", "lcm", "x0"])
def test_whatever_is_predicted(scene: Any, sample: Any, move: Any, euler: Any, run: Any, mini: Any, kind: str) -> None:
    """ComfyUI turns each kind into a picture without noise, which is all that a step asks for; energies pull through each."""
    (model,) = run("ModelSamplingDiscrete", model=mini.model, sampling=kind, zsnr=False)
    plain = euler(scene, model=model)
    assert difference(plain, euler(scene)) > 0.01, "the patch changes what is predicted"
    assert difference(sample(scene, model=model), plain) == 0.0
    pulled = sample(scene, model=model, energy=move(scene, start_latent="off"), energy_scale=0.2)
    assert bool(torch.isfinite(pulled).all()) and difference(pulled, plain) > 1e-3


def test_weights_of_zero_are_stock_euler(scene: Any, sample: Any, move: Any, euler: Any) -> None:
    """Guided steps whose gradient is zero leave ComfyUI's prediction as it is, up to how rows are batched."""
    energy = move(scene, start_latent="off", w_edit=0.0, w_content=0.0, w_contrast=0.0, w_inpaint=0.0)
    expected = euler(scene)
    assert difference(sample(scene, energy=energy), expected) < 1e-4 * float(expected.abs().max())


def test_sampler_agnostic_form_is_stock_euler(scene: Any, run: Any, mini: Any, euler: Any) -> None:
    """DragonGuider without an energy is an ordinary CFG guider, whatever the sampler."""
    guider, *_ = run("DragonGuider", model=mini.model, positive=scene.positive, negative=scene.negative, branch=scene.branch, cfg=3.0)
    for (sampler,) in (run("DragonEulerSampler"), run("KSamplerSelect", sampler_name="euler")):
        noise = run("DisableNoise")[0]
        output = run("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=scene.sigmas, latent_image=scene.start)
        assert difference(output[0]["samples"], euler(scene)) == 0.0


def test_the_sampler_gives_the_source_back(make_scene: Any, sample: Any) -> None:
    """With the inversion's prompt, no negative and many refinements, the walk back ends where the walk up began."""
    scene = make_scene(steps=6, refinement=8)
    source = scene.latent["samples"]
    assert difference(sample(scene, cfg=1.0), source) < 0.05 * float(source.abs().max())


def test_start_without_an_edit_is_not_injected(scene: Any, sample: Any, move: Any, euler: Any) -> None:
    """With the start latent off there is no moved path to follow, however long the object should: plain sampling, bit for bit."""
    energy = move(scene, start_latent="off")
    free = sample(scene, energy=energy, energy_scale=0.0, hold_background=0.0, hold_object_until=1.0)
    assert difference(free, euler(scene)) == 0.0


def test_everything_held_is_the_source(scene: Any, sample: Any, move: Any) -> None:
    """An object that keeps its noise, moved by nothing and held to the end, gives the source back: nothing else is added."""
    energy = move(scene, dx=0, dy=0, start_latent="keep")
    held = sample(scene, energy=energy, energy_scale=0.0, hold_background=1.0, hold_object_until=1.0)
    assert difference(held, scene.latent["samples"]) < 1e-5
