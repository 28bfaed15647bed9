"""DragonCrossAttnPatch: the edit's decoder sees the source's keys and values, where, when and how its widgets say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch


def spread(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference, relative to the size of b."""
    return float((a - b).abs().max() / b.abs().max())


@pytest.fixture
def share(run: Any, mini: Any) -> Callable[..., Any]:
    """`share(scene, mode=…, start=…, end=…)` → MODEL."""

    def call(scene: Any, model: Any = None, **inputs: Any) -> Any:
        return run("DragonCrossAttnPatch", model=model or mini.model, branch=scene.branch, **{"start": 0.0, "end": 1.0, **inputs})[0]

    return call


def test_sharing_with_itself_changes_nothing(make_scene: Any, sample: Any, share: Any) -> None:
    """At the first step of an unedited run the generation is the reference: its own keys and values come back."""
    scene = make_scene(steps=1)
    plain = sample(scene, cfg=1.0)
    assert spread(sample(scene, cfg=1.0, model=share(scene)), plain) < 1e-5
    assert spread(sample(scene, cfg=1.0, model=share(scene, mode="concat")), plain) < 1e-5


def test_reference_walk_reproduces_the_source(make_scene: Any, sample: Any, share: Any) -> None:
    """The generation follows the source's trajectory as far as the inversion is exact, sharing or not."""
    scene = make_scene(steps=6, refinement=8)
    source = scene.latent["samples"]
    assert spread(sample(scene, cfg=1.0, model=share(scene)), source) < 0.05


def test_each_mode_has_its_effect(scene: Any, sample: Any, move: Any, share: Any, mini: Any) -> None:
    results = [sample(scene, energy=move(scene), model=model) for model in (mini.model, share(scene), share(scene, mode="concat"))]
    assert all(torch.isfinite(each).all() for each in results)
    assert spread(results[1], results[0]) > 1e-4 and spread(results[2], results[0]) > 1e-4 and spread(results[1], results[2]) > 1e-4


def test_empty_window_is_no_sharing(scene: Any, sample: Any, move: Any, share: Any) -> None:
    """Bit for bit, guided or not."""
    never = share(scene, start=0.0, end=0.0)
    assert torch.equal(sample(scene, model=never), sample(scene))
    energy = move(scene)
    assert torch.equal(sample(scene, energy=energy, model=never), sample(scene, energy=energy))


def listening(model: Any) -> tuple[Any, list[tuple[float, str, int, int]]]:
    """A clone that notes what self-attention is given after sharing: sigma, part of the UNet, tokens of queries and keys."""
    heard: list[tuple[float, str, int, int]] = []
    clone = model.clone()

    def patch(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        assert k.shape == v.shape
        heard.append((float(options["sigmas"][0]), options["block"][0], q.shape[1], k.shape[1]))
        return q, k, v

    clone.set_model_attn1_patch(patch)
    return clone, heard


def test_only_the_decoder_shares_and_only_in_the_window(scene: Any, sample: Any, share: Any) -> None:
    """In concat mode the keys of output blocks are twice as many, from the second to the third of four steps."""
    model, heard = listening(share(scene, mode="concat", start=0.25, end=0.75))
    sample(scene, model=model)
    assert {part for _, part, _, _ in heard} == {"input", "middle", "output"}
    doubled = {(scene.trajectory.index(sigma), part) for sigma, part, queries, keys in heard if keys == 2 * queries}
    assert doubled == {(1, "output"), (2, "output")}
    assert all(keys in (queries, 2 * queries) for _, _, queries, keys in heard)


def test_both_conditionings_share(scene: Any, sample: Any, share: Any) -> None:
    """Negative and positive see the same source, so that guidance by prompts compares like with like."""
    model, heard = listening(share(scene, mode="concat"))
    sample(scene, model=model, cfg=3.0)
    rows = [keys == 2 * queries for _, part, queries, keys in heard if part == "output"]
    # Per step: one evaluation of both conditionings together, and one of the guidance branch, which shares with nobody and ends where its
    # last tokens are known, before the last layer's attention.
    assert rows.count(True) - scene.trajectory.steps == rows.count(False) > 0


@pytest.mark.parametrize(("scale", "more"), [(0.6, 1), (1.3, 0)])
def test_what_shrinks_is_seen_as_edited(
    make_scene: Any, sample: Any, share: Any, run: Any, move: Any, scale: float, more: int
) -> None:
    """One evaluation more a step looks at the edited trajectory; what moves or grows needs none."""
    scene = make_scene(steps=4)
    model, heard = listening(share(scene))
    sample(scene, model=model, energy=move(scene), hold_object_until=0.0)
    moved = len([1 for _, part, _, _ in heard if part == "input"])
    heard.clear()
    (energy,) = run("DragonResizeLoss", mask=scene.mask, scale=scale)
    edited = sample(scene, model=model, energy=energy, hold_object_until=0.0)
    resized = len([1 for _, part, _, _ in heard if part == "input"])
    layers = moved // (2 * scene.trajectory.steps)
    assert resized - moved == more * layers * scene.trajectory.steps
    assert torch.isfinite(edited).all()


def test_the_patch_sits_on_a_clone(scene: Any, share: Any, mini: Any) -> None:
    before = repr(mini.model.model_options)
    patched = share(scene)
    assert patched is not mini.model and patched.model is mini.model.model
    assert repr(mini.model.model_options) == before


def test_patching_twice(scene: Any, sample: Any, move: Any, share: Any) -> None:
    """The second patch's settings hold; in replace mode twice is once."""
    once, twice = share(scene), share(scene, model=share(scene))
    assert torch.equal(sample(scene, energy=move(scene), model=once), sample(scene, energy=move(scene), model=twice))


def test_patching_twice_does_not_concatenate_twice(scene: Any, sample: Any, share: Any) -> None:
    model, heard = listening(share(scene, mode="concat", model=share(scene, mode="concat")))
    sample(scene, model=model)
    assert max(keys / queries for _, _, queries, keys in heard) == 2


def test_attention_in_tiles_is_refused(run: Any, mini: Any, make_scene: Any, sample: Any, move: Any, refused: Any) -> None:
    """HyperTile cuts up queries only; keys and values of two pictures would be split among its tiles without an error."""
    scene = make_scene(256, 256)
    (tiled,) = run("HyperTile", model=mini.model, tile_size=64, swap_size=1, max_depth=2)
    (model,) = run("DragonCrossAttnPatch", model=tiled, branch=scene.branch, mode="concat", start=0.0, end=1.0)
    with refused("DragonCrossAttnPatch", "HyperTile", "bypass"):
        sample(scene, model=model, energy=move(scene), energy_scale=0.5)
