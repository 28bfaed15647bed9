"""Pictures of any size and number, and several edits at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

#: From the middle on: at noisier levels the model enlarges the last bits, in which a batch differs from its pictures alone.
SETTLED = {"cfg": 1.0, "hold_object_until": 0.5}


def changed(a: torch.Tensor, b: torch.Tensor) -> bool:
    return float((a - b).abs().max()) > 1e-3 * float(b.abs().max())


def the_same(a: torch.Tensor, b: torch.Tensor, unguided: torch.Tensor) -> bool:
    """But for the last bits, which guidance enlarges: to 2 % of its own effect."""
    return float((a - b).abs().max()) < 0.02 * float((unguided - b).abs().max())


@pytest.mark.parametrize(("height", "width"), [(96, 160), (100, 163), (72, 64), (136, 88)])
def test_sizes(make_scene: Any, sample: Any, move: Any, height: int, width: int) -> None:
    """Not square, not multiples of 8 (VAEEncode crops), and latents with odd sides at every level of the UNet."""
    scene = make_scene(height=height, width=width, steps=2)
    assert scene.mask.shape[-2:] == (height, width)
    result = sample(scene, energy=move(scene), guide_every_until=1.0)
    assert result.shape == (1, 4, height // 8, width // 8)
    assert torch.isfinite(result).all()
    assert changed(result, sample(scene))


@pytest.mark.parametrize("masks", [1, 2])
def test_batch(make_scene: Any, sample: Any, move: Any, run: Any, mini: Any, masks: int) -> None:
    """Two pictures at once, with one mask for both or one each, are as if each were alone."""
    scene = make_scene(batch=2)
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=scene.branch, start=0.25)
    mask = scene.mask.repeat(masks, 1, 1)
    mask[-1, 40:56, 60:80] = 1
    both = sample(scene, model=model, energy=move(scene, mask=mask, start_latent="keep"), **SETTLED)
    assert both.shape[0] == 2
    for i in range(2):
        one = {"samples": scene.latent["samples"][i : i + 1]}
        trajectory, _, _ = run("DragonInvert", model=mini.model, positive=scene.positive, latent=one, steps=4)
        (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
        energy = move(scene, mask=mask[min(i, masks - 1)], start_latent="keep")
        assert not changed(both[i : i + 1], sample(scene, model=model, branch=branch, energy=energy, **SETTLED))


def test_each_picture_of_a_batch_has_its_place(make_scene: Any, sample: Any, move: Any, run: Any, mini: Any) -> None:
    """Where tracks say so: drafted and pulled as if each were alone."""
    scene = make_scene(batch=2)
    tracks = '[{"x": 22, "y": 24}, {"x": 38, "y": 32}]'
    settings = {**SETTLED, "guide_every_until": 1.0, "energy_scale": 0.5}
    energy = move(scene, dx=16, dy=0, tracks=tracks, start_latent="keep")
    both, drafts = sample(scene, energy=energy, **settings), run("DragonDraft", image=scene.image, energy=energy)[0]
    for i, (dx, dy) in enumerate([(16, 0), (32, 8)]):
        one = {"samples": scene.latent["samples"][i : i + 1]}
        trajectory, _, _ = run("DragonInvert", model=mini.model, positive=scene.positive, latent=one, steps=4)
        (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
        energy = move(scene, dx=dx, dy=dy, start_latent="keep")
        alone, unguided = (sample(scene, branch=branch, energy=energy, **{**settings, "energy_scale": scale}) for scale in (0.5, 0.0))
        assert the_same(both[i : i + 1], alone, unguided)
        assert not changed(drafts[i : i + 1], run("DragonDraft", image=scene.image[i : i + 1], energy=energy)[0])
    assert changed(both[:1], both[1:])


@pytest.mark.parametrize("masked", [True, False], ids=["object", "round the tracks"])
def test_each_picture_of_a_batch_is_dragged_its_own_way(make_scene: Any, sample: Any, run: Any, mini: Any, masked: bool) -> None:
    """Two tracks: drafted and pulled as if each picture were alone with its points."""
    scene = make_scene(batch=2)
    tracks = [[{"x": 16, "y": 20}, {"x": 40, "y": 28}], [{"x": 28, "y": 28}, {"x": 56, "y": 36}]]
    settings = {"guide_every_until": 1.0, "cfg": 1.0, "energy_scale": 0.5, "hold_object_until": 0.5}
    given: dict[str, Any] = {"mask": scene.mask if masked else None, "image": scene.image, "mask_means": "object", "start_latent": "keep"}
    (energy,) = run("DragonDragLoss", tracks=json.dumps(tracks), **given)
    both, drafts = sample(scene, energy=energy, **settings), run("DragonDraft", image=scene.image, energy=energy)[0]
    pairs = [[[[track[0]["x"], track[0]["y"]], [track[i]["x"], track[i]["y"]]] for track in tracks] for i in range(2)]
    i = 1  # in the first everything is where it begins, which is nothing to drag alone
    one = {"samples": scene.latent["samples"][i : i + 1]}
    trajectory, _, _ = run("DragonInvert", model=mini.model, positive=scene.positive, latent=one, steps=4)
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    (energy,) = run("DragonDragLoss", points=json.dumps(pairs[i]), **given)
    alone, unguided = (sample(scene, branch=branch, energy=energy, **{**settings, "energy_scale": scale}) for scale in (0.5, 0.0))
    assert the_same(both[i : i + 1], alone, unguided)
    assert not changed(drafts[i : i + 1], run("DragonDraft", image=scene.image[i : i + 1], energy=energy)[0])
    assert changed(both[:1], both[1:])


def test_one_source_many_starts(make_scene: Any, scene: Any, run: Any, mini: Any, move: Any) -> None:
    """In SamplerCustomAdvanced a batch of start latents may share one trajectory."""
    given = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "branch": scene.branch, "cfg": 3.0}
    guider, *_ = run("DragonGuider", **given, energy=move(scene), guide_every_until=0.5)
    start = {"samples": scene.start["samples"].repeat(2, 1, 1, 1)}
    parts = {"noise": run("DisableNoise")[0], "guider": guider, "sampler": run("DragonEulerSampler")[0]}
    result = run("SamplerCustomAdvanced", **parts, sigmas=scene.sigmas, latent_image=start)[0]["samples"]
    assert result.shape[0] == 2 and torch.isfinite(result).all()


def test_two_moves_in_opposite_directions(scene: Any, sample: Any, move: Any) -> None:
    """Chained energies act together: the run differs from each alone, and the chain's order does not matter."""
    other = torch.zeros_like(scene.mask)
    other[:, 36:52, 60:80] = 1
    right = move(scene, dx=24, dy=0, start_latent="keep")
    left = move(scene, mask=other, dx=-24, dy=0, start_latent="keep")
    both = move(scene, mask=other, dx=-24, dy=0, start_latent="keep", energy=right)
    swapped = move(scene, dx=24, dy=0, start_latent="keep", energy=left)
    results = [sample(scene, energy=energy, guide_every_until=0.5) for energy in (right, left, both, swapped)]
    assert all(torch.isfinite(each).all() for each in results)
    assert changed(results[2], results[0]) and changed(results[2], results[1])
    assert not changed(results[3], results[2])


def test_a_chain_is_not_changed_by_what_is_added(scene: Any, move: Any) -> None:
    """An energy's output is cached by ComfyUI and may feed several nodes."""
    first = move(scene)
    longer = move(scene, dx=-8, energy=first)
    assert len(first) == 1 and len(longer) == 2 and longer[0] is first[0]


def test_mask_without_batch_axis(scene: Any, sample: Any, move: Any) -> None:
    """Some nodes give masks (H, W)."""
    assert torch.equal(sample(scene, energy=move(scene, mask=scene.mask[0])), sample(scene, energy=move(scene)))


def test_everything_far_from_the_edit_is_held(make_scene: Any, sample: Any, move: Any) -> None:
    """With hold_background the rest ends exactly where the source's trajectory ends, however strong the guidance."""
    scene = make_scene(height=96, width=160)
    mask = torch.zeros_like(scene.mask)
    mask[:, 24:48, 24:48] = 1
    result = sample(scene, energy=move(scene, mask=mask, dx=16, dy=0), hold_background=1.0, energy_scale=1.0, guide_every_until=1.0)
    source = scene.latent["samples"]
    far = (result - source)[..., 13:]
    assert float(far.abs().max()) < 1e-4 * float(source.abs().max())
    assert changed(result[..., :9], source[..., :9])


def test_custom_sigmas(scene: Any, run: Any, mini: Any, sample: Any, move: Any) -> None:
    """DragonInvert takes any SIGMAS that end at 0, and gives them on."""
    (sigmas,) = run("KarrasScheduler", steps=3, sigma_max=14.6, sigma_min=0.03, rho=7.0)
    trajectory, _, given = run("DragonInvert", model=mini.model, positive=scene.positive, latent=scene.latent, sigmas=sigmas)
    assert torch.equal(given, sigmas) and trajectory.steps == 3
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    assert torch.isfinite(sample(scene, branch=branch, energy=move(scene))).all()
