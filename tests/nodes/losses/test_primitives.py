"""The generic terms in real runs: each pulls the picture the way it says."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

#: A short run in which guidance alone acts, all the way.
GUIDED = {"guide_every_until": 1.0, "energy_scale": 0.5}


@pytest.fixture(scope="module")
def regions(scene: Any) -> Any:
    """The scene's object, and a place beside it."""
    other = torch.zeros_like(scene.mask)
    other[:, 36:52, 60:84] = 1
    return scene.mask, other


def latent_mean(latent: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    cells = torch.nn.functional.interpolate(mask[:, None], size=latent.shape[-2:], mode="area") > 0.5
    return (latent * cells).sum((2, 3)) / cells.sum()


def distance(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor) -> float:
    cells = torch.nn.functional.interpolate(mask[:, None], size=a.shape[-2:], mode="area") > 0.5
    return float(((a - b).square() * cells).sum())


def test_contrast_drives_the_region_away_from_what_was_there(scene: Any, sample: Any, run: Any, regions: Any) -> None:
    (energy,) = run("DragonContrastLoss", mask=regions[0], weight=1.0)
    source = scene.latent["samples"]
    assert distance(sample(scene, energy=energy, **GUIDED), source, regions[0]) > 1.2 * distance(sample(scene), source, regions[0])


def test_inpaint_brings_the_look_of_what_it_fills_from(scene: Any, sample: Any, run: Any, regions: Any) -> None:
    mask, fill = regions
    source = scene.latent["samples"]
    wanted = latent_mean(source, fill)
    (energy,) = run("DragonInpaintLoss", mask=mask, fill=fill, weight=1.0, start_latent="noise")
    before = float((latent_mean(source, mask) - wanted).norm())
    after = float((latent_mean(sample(scene, energy=energy, hold_object_until=0.7, **GUIDED), mask) - wanted).norm())
    assert after < 0.7 * before


@pytest.mark.parametrize("compare", ["local", "mean"])
def test_similarity_brings_the_object_s_look(scene: Any, sample: Any, run: Any, regions: Any, compare: str) -> None:
    """Of the source's object, to the place beside it: on average it comes nearer than in a run without."""
    mask, other = regions
    wanted = latent_mean(scene.latent["samples"], mask)
    if compare == "local":
        (energy,) = run("DragonSimilarityLoss", mask=mask, compare="local", dx=48, dy=20)
    else:
        (energy,) = run("DragonSimilarityLoss", mask=other, compare="mean", reference_mask=mask)
    free = float((latent_mean(sample(scene), other) - wanted).norm())
    gentle = {"guide_every_until": 0.5, "energy_scale": 0.02}  # four steps on a picture of noise: more of it overshoots
    assert float((latent_mean(sample(scene, energy=energy, **gentle), other) - wanted).norm()) < 0.99 * free


@pytest.mark.parametrize("words", ["the source's", "others"])
def test_content_alone_holds_the_picture(make_scene: Any, sample: Any, run: Any, mini: Any, words: str) -> None:
    """It starts at its minimum, or near it: there is little to gain, and nothing of that may become noise."""
    scene = make_scene(steps=6)
    (other,) = run("CLIPTextEncode", clip=mini.clip, text="a blue vase")
    given = {"hold_background": 0.0, "guide_every_until": 1.0, "energy_scale": 0.2}
    given["positive"] = scene.positive if words == "the source's" else other
    (energy,) = run("DragonContentLoss", weight=6.0)
    everywhere, source = torch.ones_like(scene.mask), scene.latent["samples"]
    free, held = sample(scene, **given), sample(scene, energy=energy, **given)
    assert distance(held, source, everywhere) < 0.9 * distance(free, source, everywhere)


@pytest.fixture
def last_energy(run: Any, scene: Any, mini: Any) -> Any:
    """`last_energy(chain, strength)` → the chain's energy before the last step, of a run with the nodes' own settings."""

    def of(chain: Any, strength: float) -> float:
        given = {"branch": scene.branch, "positive": scene.positive, "negative": scene.negative, "energy": chain}
        (guider, *_) = run("DragonGuider", model=mini.model, energy_scale=strength, guide_every_until=1.0, **given)
        (sampler,) = run("DragonEulerSampler")
        start = scene.start["samples"]
        with torch.inference_mode():
            guider.sample(torch.zeros_like(start), start, sampler, scene.sigmas, disable_pbar=True, seed=0)
        return float((guider.readings[-1].edit + guider.readings[-1].content).mean())

    return of


@pytest.mark.parametrize("term", ["content", "contrast", "inpaint", "local", "mean"])
def test_each_alone_lowers_its_own_energy(run: Any, regions: Any, last_energy: Any, term: str) -> None:
    mask, other = regions
    nodes = {
        "content": ("DragonContentLoss", {}),
        "contrast": ("DragonContrastLoss", {"mask": mask}),
        "inpaint": ("DragonInpaintLoss", {"mask": mask, "fill": other, "start_latent": "keep"}),
        "local": ("DragonSimilarityLoss", {"mask": mask, "compare": "local", "dx": 48, "dy": 20}),
        "mean": ("DragonSimilarityLoss", {"mask": other, "compare": "mean", "reference_mask": mask}),
    }
    node, given = nodes[term]
    (energy,) = run(node, **given)
    room = 1.01 if term == "content" else 1.0  # that one begins at its minimum, and has little to gain
    assert last_energy(energy, 0.1) < room * last_energy(energy, 1e-9)


def test_only_runs_that_edit_nothing_are_limited(scene: Any, sample: Any, run: Any, move: Any, pack: Any, monkeypatch: Any) -> None:
    """A chain with an edit in it keeps the strength of its first step."""

    def asked(*_: Any) -> Any:
        raise AssertionError("an edit's guidance was limited")

    monkeypatch.setattr(pack.submodule("nodes.host.evaluation"), "polyak_step", asked)
    (content,) = run("DragonContentLoss", weight=6.0)
    sample(scene, energy=(*content, *move(scene)), **GUIDED)
    with pytest.raises(AssertionError, match="was limited"):
        sample(scene, energy=content, **GUIDED)


def test_similarity_to_a_second_picture_needs_one(scene: Any, sample: Any, run: Any, regions: Any, refused: Any) -> None:
    for given in ({"compare": "local"}, {"compare": "mean", "reference_mask": regions[1]}):
        (energy,) = run("DragonSimilarityLoss", mask=regions[0], picture="second picture", **given)
        with refused("DragonSampler", "second picture", "DragonGuidanceBranch"):
            sample(scene, energy=energy)


def test_a_mean_needs_a_reference_mask(run: Any, regions: Any, refused: Any) -> None:
    with refused("DragonSimilarityLoss", "needs a reference_mask", "or choose local"):
        run("DragonSimilarityLoss", mask=regions[0], compare="mean")


def test_content_without_a_mask_fits_any_picture_and_batch(make_scene: Any, sample: Any, run: Any) -> None:
    pair = make_scene(batch=2)
    (energy,) = run("DragonContentLoss", weight=6.0)
    assert torch.isfinite(sample(pair, energy=energy, **GUIDED)).all()


def test_terms_join_a_chain(scene: Any, run: Any, move: Any, regions: Any) -> None:
    first = move(scene)
    (chain,) = run("DragonContrastLoss", mask=regions[0], energy=first)
    (chain,) = run("DragonInpaintLoss", mask=regions[0], energy=chain)
    (chain,) = run("DragonContentLoss", energy=chain)
    assert len(chain) == 4 and chain[0] is first[0]


def test_resizing_a_batch_with_a_mask_each(make_scene: Any, sample: Any, run: Any, regions: Any) -> None:
    """Each object about its own middle; more rows (cfg) and pictures than masks alike."""
    pair = make_scene(batch=2)
    (energy,) = run("DragonResizeLoss", mask=torch.cat(regions), scale=0.8, rotation=15.0)
    result = sample(pair, energy=energy, hold_object_until=0.5, **GUIDED)
    assert result.shape[0] == 2 and torch.isfinite(result).all()


def test_terms_that_nothing_pulls_with_are_named(
    scene: Any, sample: Any, run: Any, move: Any, regions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """By default nothing pulls: an edit that its draft and path make says nothing, and one that is a pull alone does."""
    with caplog.at_level(logging.WARNING):
        sample(scene, energy=move(scene), energy_scale=0.0)
        assert "nothing pulls" not in caplog.text
        (energy,) = run("DragonContrastLoss", mask=regions[0], weight=1.0, energy=move(scene))
        (energy,) = run("DragonContentLoss", weight=1.0, energy=energy)
        sample(scene, energy=energy, energy_scale=0.1)
        assert "nothing pulls" not in caplog.text
        sample(scene, energy=energy, energy_scale=0.0)
    assert "Dragon Content Loss, Dragon Contrast Loss: acts by its pull alone, and nothing pulls: raise energy_scale" in caplog.text
