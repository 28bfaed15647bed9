"""After an edit, however it ended, the user's MODEL samples and looks exactly as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import comfy.samplers
import comfy.utils
import pytest
import torch
from comfy.patcher_extension import WrappersMP


class Sabotage(RuntimeError):
    """What the failing model raises."""


def options_of(value: Any) -> Any:
    """Nested model options as something that compares by identity of the leaves."""
    if isinstance(value, dict):
        return {key: options_of(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [options_of(each) for each in value]
    return id(value)


@contextmanager
def at_step(step: int, act: Callable[[], None]) -> Iterator[None]:
    """Run `act` when ComfyUI's progress bar reaches `step`."""

    def hook(value: int, total: int, preview: Any, **_: Any) -> None:
        if value == step:
            act()

    comfy.utils.set_progress_bar_global_hook(hook)
    try:
        yield
    finally:
        comfy.utils.set_progress_bar_global_hook(None)


@pytest.fixture
def stock(run: Any, mini: Any, scene: Any) -> Callable[[], torch.Tensor]:
    """ComfyUI's KSampler on the same MODEL object."""

    def call() -> torch.Tensor:
        (empty,) = run("EmptyLatentImage", width=96, height=64)
        inputs = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "latent_image": empty}
        return run("KSampler", **inputs, seed=5, steps=2, cfg=3.0, sampler_name="euler", scheduler="normal")[0]["samples"]

    return call


@pytest.fixture(autouse=True)
def unchanged(mini: Any, stock: Callable[[], torch.Tensor], sample: Any, scene: Any, euler: Any) -> Iterator[None]:
    """Every test here: bits of two stock runs, model options, patches and weights are the same before and after."""
    weights = {name: value.clone() for name, value in mini.model.model.state_dict().items()}
    options, patches, wrappers = options_of(mini.model.model_options), dict(mini.model.patches), options_of(mini.model.wrappers)
    before, walk = stock(), euler(scene)
    yield
    assert options_of(mini.model.model_options) == options
    assert mini.model.patches == patches and options_of(mini.model.wrappers) == wrappers
    assert not any(parameter.requires_grad for parameter in mini.model.model.parameters())
    assert all(parameter.grad is None for parameter in mini.model.model.parameters())
    after = mini.model.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in weights.items())
    assert torch.equal(stock(), before)
    assert torch.equal(euler(scene), walk)
    assert torch.equal(sample(scene), walk)


@pytest.fixture
def patched(run: Any, mini: Any, scene: Any) -> Any:
    """The model with shared attention."""
    return run("DragonCrossAttnPatch", model=mini.model, branch=scene.branch)[0]


def test_an_edit(scene: Any, sample: Any, move: Any, patched: Any) -> None:
    assert torch.isfinite(sample(scene, energy=move(scene), model=patched, guide_every_until=1.0)).all()


@pytest.mark.parametrize("step", [1, 2])
def test_interrupted_edit(scene: Any, sample: Any, move: Any, patched: Any, step: int) -> None:
    """The Cancel button ends the run at once, in the middle, and the flag is down afterwards."""
    reached: list[int] = []
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        with at_step(step, lambda: (reached.append(step), comfy.model_management.interrupt_current_processing(True))):
            sample(scene, energy=move(scene), model=patched, guide_every_until=1.0)
    assert reached == [step]
    assert not comfy.model_management.processing_interrupted()


def test_interrupted_inversion(scene: Any, run: Any, mini: Any) -> None:
    """At the first step: newer ComfyUI tells of later ones only if they take their time."""
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        with at_step(1, lambda: comfy.model_management.interrupt_current_processing(True)):
            run("DragonInvert", model=mini.model, positive=scene.positive, latent=scene.latent, steps=4)


def failing(model: Any, calls: int) -> Any:
    """A clone whose UNet raises at the given evaluation."""
    clone, count = model.clone(), 0

    def wrapper(executor: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == calls:
            raise Sabotage
        return executor(*args, **kwargs)

    clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "sabotage", wrapper)
    return clone


@pytest.mark.parametrize("evaluation", [1, 2, 3, 5])
def test_failed_edit(scene: Any, sample: Any, move: Any, patched: Any, evaluation: int) -> None:
    """An error in the reference's, the positive's, the negative's evaluation, or a step later."""
    with pytest.raises(Sabotage):
        sample(scene, energy=move(scene), model=failing(patched, evaluation), guide_every_until=1.0)


def test_failed_guider_runs_again(scene: Any, run: Any, move: Any, mini: Any, sample: Any) -> None:
    """A guider whose run failed holds no run, and its next run gives what a new one gives."""
    inputs = {"positive": scene.positive, "negative": scene.negative, "branch": scene.branch, "energy": move(scene), "cfg": 3.0}
    guider, *_ = run("DragonGuider", model=failing(mini.model, 5), guide_every_until=1.0, **inputs)
    custom = {"noise": run("DisableNoise")[0], "guider": guider, "sampler": run("DragonEulerSampler")[0]}
    with pytest.raises(Sabotage):
        run("SamplerCustomAdvanced", **custom, sigmas=scene.sigmas, latent_image=scene.start)
    assert guider.run is None
    again = run("SamplerCustomAdvanced", **custom, sigmas=scene.sigmas, latent_image=scene.start)[0]["samples"]
    assert guider.run is None
    assert torch.equal(again, sample(scene, energy=move(scene), guide_every_until=1.0))


def test_guider_that_failed_on_its_way_into_the_run(
    scene: Any, run: Any, move: Any, mini: Any, sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory may run out while the conditioning is prepared. ComfyUI keeps the guider and queues it again."""
    inputs = {"positive": scene.positive, "negative": scene.negative, "branch": scene.branch, "energy": move(scene), "cfg": 3.0}
    guider, *_ = run("DragonGuider", model=mini.model, guide_every_until=1.0, **inputs)
    custom = {"noise": run("DisableNoise")[0], "guider": guider, "sampler": run("DragonEulerSampler")[0]}
    processed = comfy.samplers.process_conds

    def short_of_memory(*args: Any, **kwargs: Any) -> Any:
        processed(*args, **kwargs)
        raise Sabotage

    with monkeypatch.context() as patch, pytest.raises(Sabotage):
        patch.setattr(comfy.samplers, "process_conds", short_of_memory)
        run("SamplerCustomAdvanced", **custom, sigmas=scene.sigmas, latent_image=scene.start)
    assert guider.run is None
    again = run("SamplerCustomAdvanced", **custom, sigmas=scene.sigmas, latent_image=scene.start)[0]["samples"]
    assert torch.equal(again, sample(scene, energy=move(scene), guide_every_until=1.0))
