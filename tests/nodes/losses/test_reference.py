"""Edits that take from a second picture: what arrives, what is seen of it, what it costs, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import pytest
import torch
from PIL import Image

from dev.paths import WORKFLOWS

#: As shipped: the edited trajectory is injected, guidance comes after it.
INJECTED = {"guide_every_until": 1.0, "guide_until": 1.0, "hold_background": 1.0, "hold_object_until": 0.7, "energy_scale": 0.2, "cfg": 1.0}
GUIDED = {"guide_every_until": 0.5, "guide_until": 0.5}


@pytest.fixture(scope="module")
def second(run: Any, mini: Any, scene: Any) -> Any:
    """`second(height, width, steps)`: trajectory and mask of another picture, of another size and aspect: a green block on grey."""

    def make(height: int = 96, width: int = 80, steps: int = 4) -> tuple[Any, torch.Tensor]:
        image = torch.full((1, height, width, 3), 0.5)
        image[:, 16:48, 16:48] = torch.tensor([0.1, 0.8, 0.2])
        mask = torch.zeros(1, height, width)
        mask[:, 16:48, 16:48] = 1
        (latent,) = run("VAEEncode", vae=mini.vae, pixels=image)
        trajectory, _, _ = run("DragonInvert", model=mini.model, positive=scene.positive, latent=latent, steps=steps)
        return trajectory, mask

    return make


@pytest.fixture(scope="module")
def other(second: Any) -> tuple[Any, torch.Tensor]:
    return second()


@pytest.fixture(scope="module")
def branch(run: Any, scene: Any, other: Any) -> Any:
    return run("DragonGuidanceBranch", trajectory=scene.trajectory, reference=other[0])[0]


@pytest.fixture(scope="module")
def paste(run: Any, other: Any) -> Callable[..., Any]:
    return lambda **given: run("DragonPasteLoss", **{"reference_mask": other[1], "x": 68.0, "y": 36.0, **given})[0]


@pytest.fixture(scope="module")
def appearance(run: Any, scene: Any, other: Any) -> Callable[..., Any]:
    return lambda **given: run("DragonAppearanceLoss", **{"mask": scene.mask, "reference_mask": other[1], **given})[0]


@dataclass(frozen=True)
class Templates:
    """The shipped workflows' pictures (1, 256, 256, 3) and masks, which the bundled model knows the like of."""

    run: Any
    mini: Any

    def picture(self, name: str) -> torch.Tensor:
        with Image.open(WORKFLOWS / "inputs" / f"dragon_{name}.png") as image:
            return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255).unsqueeze(0)

    def mask(self, name: str) -> torch.Tensor:
        return (self.picture(name)[..., 0] > 0.5).float()

    def edited(self, picture: torch.Tensor, other: torch.Tensor, prompts: tuple[str, str, str], energy: Any) -> torch.Tensor:
        """(H, W, 3): six steps with the shipped settings and both pictures' keys and values."""
        run, model = self.run, self.mini.model
        source, second, wanted, nothing = (run("CLIPTextEncode", clip=self.mini.clip, text=text)[0] for text in (*prompts, ""))
        inverted = {}
        for name, pixels, positive in (("trajectory", picture, source), ("reference", other, second)):
            (latent,) = run("VAEEncode", vae=self.mini.vae, pixels=pixels)
            inverted[name] = run("DragonInvert", model=model, positive=positive, latent=latent, steps=6)[0]
        (branch,) = run("DragonGuidanceBranch", **inverted)
        (shared,) = run("DragonCrossAttnPatch", model=model, branch=branch)
        latent, *_ = run("DragonSampler", model=shared, positive=wanted, negative=nothing, branch=branch, energy=energy, **INJECTED)
        return run("VAEDecode", vae=self.mini.vae, samples=latent)[0][0]


@pytest.fixture
def templates(run: Any, mini: Any) -> Templates:
    return Templates(run, mini)


def test_the_pasted_object_arrives(templates: Templates, run: Any) -> None:
    """From a narrower picture, by a whole number of pixels: there it is like the object's own pixels, elsewhere like the source."""
    source, second, mask = templates.picture("paste_source"), templates.picture("paste_second"), templates.mask("paste_second_mask")
    second, mask = second[:, :, 32:224], mask[:, :, 32:224]
    rows, columns = (torch.nonzero(mask[0])[:, k] for k in (0, 1))
    middle = (float(columns.float().mean()) + 0.5, float(rows.float().mean()) + 0.5)
    (energy,) = run("DragonPasteLoss", reference_mask=mask, x=middle[0] + 80, y=middle[1] + 8)
    prompts = (
        "a house on a wood floor with a yellow striped wall, lit from the right",
        "a tree on a wood floor with a gray wall, lit from the left",
        "a house and a tree on a wood floor with a yellow striped wall, lit from the right",
    )
    result = templates.edited(source, second, prompts, energy)
    wanted = source[0].clone()
    wanted[rows + 8, columns + 80] = second[0, rows, columns]
    there = torch.zeros(256, 256, dtype=torch.bool)
    there[rows + 8, columns + 80] = True
    error, unedited = ((picture - wanted)[there].abs().mean() for picture in (result, source[0]))
    assert float(error) < 0.6 * float(unedited)  # the object comes from under another lamp, and takes this one's light
    assert float((result - source[0])[:, :120].abs().mean()) < 0.04


def test_the_appearance_turns_to_the_reference(templates: Templates, run: Any) -> None:
    """The teapot's mean colour goes more than half the way to the diamond's; what is around stays."""
    source, second = templates.picture("appearance_source"), templates.picture("appearance_second")
    mask, other = templates.mask("appearance_mask"), templates.mask("appearance_second_mask")
    (energy,) = run("DragonAppearanceLoss", mask=mask, reference_mask=other)
    prompts = (
        "a yellow teapot on a wood floor with a pink wall",
        "a diamond on a sand floor",
        "a blue teapot on a wood floor with a pink wall",
    )
    result = templates.edited(source, second, prompts, energy)
    wanted = second[0][other[0] > 0].mean(0)
    left, unedited = (float((picture[mask[0] > 0].mean(0) - wanted).norm()) for picture in (result, source[0]))
    assert left < 0.4 * unedited
    assert float((result - source[0])[:, :64].abs().mean()) < 0.04


def test_the_papers_loop_is_steered_by_the_second_picture(scene: Any, branch: Any, paste: Any, appearance: Any, sample: Any) -> None:
    """Without any injection, at a strength of 0 and above."""
    for energy in (paste(), appearance(transfer=0.0)):
        still = sample(scene, branch=branch, energy=energy, energy_scale=0.0, **GUIDED)
        guided = sample(scene, branch=branch, energy=energy, **GUIDED)
        assert torch.isfinite(guided).all()
        assert float((guided - still).abs().max()) > 1e-3 * float(still.abs().max())


def test_a_reference_that_no_edit_takes_from_is_not_looked_at(
    scene: Any, branch: Any, move: Any, sample: Any, run: Any, mini: Any, watched: Any
) -> None:
    """Same bits, same evaluations."""
    results = []
    for each in (scene.branch, branch):
        (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=each)
        model, seen = watched(model)
        results.append((sample(scene, branch=each, model=model, energy=move(scene), **GUIDED), seen))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def keys_of(model: Any) -> tuple[Any, list[tuple[int, int]]]:
    """A clone that notes tokens of queries and keys in the decoder's self-attention."""
    heard: list[tuple[int, int]] = []
    clone = model.clone()

    def patch(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        assert k.shape == v.shape
        if options["block"][0] == "output":
            heard.append((q.shape[1], k.shape[1]))
        return q, k, v

    clone.set_model_attn1_patch(patch)
    return clone, heard


@pytest.mark.parametrize("mode", ["replace", "concat"])
def test_attention_sees_the_background_of_one_and_the_object_of_the_other(
    scene: Any, branch: Any, paste: Any, sample: Any, run: Any, mini: Any, mode: str
) -> None:
    """8 × 12 cells less the 4 × 4 that are covered, and the 4 × 4 that are taken out of 12 × 10; half of each a level deeper."""
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=branch, mode=mode, start=0.0)
    model, heard = keys_of(model)
    sample(scene, branch=branch, model=model, energy=paste(x=64.0, y=32.0), cfg=1.0, **GUIDED)
    own = {"replace": 0, "concat": 1}[mode]
    assert (96, 96 * own + 96 - 16 + 16) in heard
    assert (24, 24 * own + 24 - 4 + 4) in heard
    known = {(96, 96), (24, 24), (6, 6), (120, 120), (30, 30), (9, 9)}  # the two pictures themselves, seen by nobody else
    shared = {pair for pair in heard if pair not in known}
    assert mode == "replace" or shared


def test_paste_and_move_in_one_run(scene: Any, branch: Any, paste: Any, move: Any, sample: Any, run: Any, mini: Any) -> None:
    """Side by side, in either order of the chain."""
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=branch)
    beside = {"x": 80.0, "y": 48.0, "scale": 0.5}
    both = sample(scene, branch=branch, model=model, energy=paste(energy=move(scene), **beside), **INJECTED)
    swapped = sample(scene, branch=branch, model=model, energy=move(scene, energy=paste(**beside)), **INJECTED)
    assert torch.isfinite(both).all()
    assert float((both - swapped).abs().max()) < 1e-3 * float(both.abs().max())


def test_one_reference_serves_a_batch(make_scene: Any, other: Any, paste: Any, run: Any, sample: Any, mini: Any) -> None:
    scene = make_scene(batch=2)
    (branch,) = run("DragonGuidanceBranch", trajectory=scene.trajectory, reference=other[0])
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=branch, start=0.0)
    result = sample(scene, branch=branch, model=model, energy=paste(), cfg=1.0, **GUIDED)
    assert result.shape[0] == 2 and torch.isfinite(result).all()


def test_run_state_is_gone_after_an_interrupt(scene: Any, branch: Any, paste: Any, run: Any, mini: Any) -> None:
    inputs = {"positive": scene.positive, "negative": scene.negative, "branch": branch, "energy": paste(), "cfg": 1.0}
    guider, *_ = run("DragonGuider", model=mini.model, guide_every_until=1.0, **inputs)
    custom = {"noise": run("DisableNoise")[0], "guider": guider, "sampler": run("DragonEulerSampler")[0]}

    def hook(value: int, *_: Any, **__: Any) -> None:
        if value == 2:
            comfy.model_management.interrupt_current_processing(True)

    comfy.utils.set_progress_bar_global_hook(hook)
    try:
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            run("SamplerCustomAdvanced", **custom, sigmas=scene.sigmas, latent_image=scene.start)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert guider.run is None
    first, again = (run("SamplerCustomAdvanced", **custom, sigmas=scene.sigmas, latent_image=scene.start)[0]["samples"] for _ in range(2))
    assert torch.equal(first, again)


def test_missing_reference_is_refused(scene: Any, paste: Any, appearance: Any, sample: Any, refused: Any) -> None:
    for energy in (paste(), appearance()):
        with refused("DragonSampler", "second picture", "DragonGuidanceBranch's reference"):
            sample(scene, energy=energy)


def test_another_number_of_steps_is_refused(scene: Any, second: Any, run: Any, refused: Any) -> None:
    with refused("DragonGuidanceBranch", "same steps"):
        run("DragonGuidanceBranch", trajectory=scene.trajectory, reference=second(steps=3)[0])


def test_masks_and_places_are_refused_by_name(scene: Any, branch: Any, paste: Any, sample: Any, run: Any, refused: Any, other: Any) -> None:
    with refused("DragonPasteLoss", "reference mask is empty", "paint"):
        paste(reference_mask=torch.zeros(1, 96, 80))
    with refused("DragonAppearanceLoss", "the mask covers the whole picture"):
        run("DragonAppearanceLoss", mask=torch.ones(1, 64, 96), reference_mask=other[1])
    with refused("DragonSampler", "reference mask is 96×64 pixels", "reference picture is 80×96"):
        sample(scene, branch=branch, energy=paste(reference_mask=scene.mask))
    with refused("DragonSampler", "outside the picture of 96×64 pixels", "change x and y"):
        sample(scene, branch=branch, energy=paste(x=500.0))


def test_masks_of_a_batch_are_refused_with_shared_attention(
    make_scene: Any, other: Any, run: Any, sample: Any, mini: Any, refused: Any
) -> None:
    """Each picture would see another number of tokens."""
    scene = make_scene(batch=2)
    (branch,) = run("DragonGuidanceBranch", trajectory=scene.trajectory, reference=other[0])
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=branch, start=0.0)
    (energy,) = run("DragonAppearanceLoss", mask=scene.mask.repeat(2, 1, 1), reference_mask=other[1])
    with refused("DragonSampler", "one mask for all pictures of a batch"):
        sample(scene, branch=branch, model=model, energy=energy, **GUIDED)
    assert torch.isfinite(sample(scene, branch=branch, energy=energy, cfg=1.0, **GUIDED)).all()
