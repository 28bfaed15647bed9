"""The same inputs give the same latent, bit for bit; the seed matters where noise is used, and only there."""

from __future__ import annotations

from typing import Any

import torch

FULL = {"guide_every_until": 0.5, "guide_until": 1.0, "travel_passes": 2, "travel_start": 0.0, "travel_end": 1.0}
SDE = {"sde_strength": 0.4, "sde_outside": 0.1, "sde_start": 0.0, "sde_end": 1.0}


def test_inversion(make_scene: Any, run: Any, mini: Any, scene: Any) -> None:
    trajectory, start, sigmas = run("DragonInvert", model=mini.model, positive=scene.positive, latent=scene.latent, steps=4)
    assert torch.equal(trajectory.latents, scene.trajectory.latents)
    assert torch.equal(start["samples"], scene.start["samples"])
    assert torch.equal(sigmas, scene.sigmas) and torch.equal(sigmas, trajectory.sigmas)


def test_edit_with_everything_on(scene: Any, sample: Any, move: Any, run: Any, mini: Any) -> None:
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=scene.branch, mode="concat", start=0.0)
    first, second = (sample(scene, energy=move(scene), model=model, seed=3, **FULL, **SDE) for _ in range(2))
    assert torch.isfinite(first).all()
    assert torch.equal(first, second)


def test_seed_of_the_vacated_place(scene: Any, sample: Any, move: Any) -> None:
    energy = move(scene, start_latent="noise")
    assert not torch.equal(sample(scene, energy=energy, seed=1), sample(scene, energy=energy, seed=2))


def test_seed_of_the_regional_sde(scene: Any, sample: Any, move: Any) -> None:
    energy = move(scene, start_latent="keep")
    assert not torch.equal(sample(scene, energy=energy, seed=1, **SDE), sample(scene, energy=energy, seed=2, **SDE))


def test_seed_without_noise(scene: Any, sample: Any, move: Any) -> None:
    energy = move(scene, start_latent="swap")
    assert torch.equal(sample(scene, energy=energy, seed=1), sample(scene, energy=energy, seed=2))


def test_global_random_state_is_neither_used_nor_moved(scene: Any, sample: Any, move: Any) -> None:
    torch.manual_seed(1)
    first = sample(scene, energy=move(scene), **SDE)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(sample(scene, energy=move(scene), **SDE), first)


def test_largest_seed(scene: Any, sample: Any, move: Any) -> None:
    assert torch.isfinite(sample(scene, energy=move(scene), seed=0xFFFFFFFFFFFFFFFF, **SDE)).all()
