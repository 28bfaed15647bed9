"""A preset of the sampler is the authors' method whatever the widgets say, and leaves energy_scale and cfg alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

#: The authors' schedule by hand (docs/method.md, section 9).
PAPER = {
    "scale_unit": "paper",
    "guide_every_until": 0.6,
    "guide_until": 0.6,
    "hold_background": 0.0,
    "hold_object_until": 0.0,
}
DIFF_EDITOR = {
    **PAPER,
    "guide_every_until": 0.2,
    "travel_passes": 3,
    "travel_start": 0.42,
    "travel_end": 0.6,
    "sde_strength": 0.4,
    "sde_outside": 0.0,
    "sde_start": 0.22,
    "sde_end": 0.4,
}


@pytest.mark.parametrize(("name", "by_hand"), [("DragonDiffusion", PAPER), ("DiffEditor", DIFF_EDITOR)])
def test_a_preset_is_its_widgets_and_the_authors_convention(pack: Any, name: str, by_hand: dict[str, Any]) -> None:
    presets, convention = pack.submodule("nodes.schema.presets"), pack.submodule("dragon_core.diffusion.convention")
    widgets = replace(presets.Settings(convention=convention.OURS), **by_hand)
    others = replace(widgets, travel_passes=2, hold_background=1.0)
    assert presets.chosen(name, others, 0.5) == replace(widgets, convention=convention.AUTHORS)
    assert presets.chosen(presets.WIDGETS, widgets, 0.0) == widgets, "nobody else gets the authors' convention"
    assert presets.chosen(name, widgets, 0.5, True).convention == replace(convention.AUTHORS, plain_features=True)


@pytest.mark.parametrize("name", ["DragonDiffusion", "DiffEditor"])
def test_widgets_do_not_count_in_a_preset(make_scene: Any, sample: Any, move: Any, name: str) -> None:
    scene = make_scene(steps=10, refinement=0)
    given = {"energy": move(scene), "energy_scale": 0.5, "seed": 3, "preset": name}
    wanted, got = sample(scene, **given), sample(scene, **given, hold_object_until=0.9, travel_passes=2, sde_outside=0.3)
    assert torch.equal(got, wanted)
    by_hand = sample(scene, **{**given, "preset": "as set here"}, **(PAPER if name == "DragonDiffusion" else DIFF_EDITOR))
    assert not torch.equal(got, by_hand), "the widgets' energies are the pack's own"


def test_a_preset_leaves_strength_to_its_widget(make_scene: Any, sample: Any, move: Any) -> None:
    scene = make_scene(steps=10, refinement=0)
    weak, strong = (sample(scene, energy=move(scene), preset="DragonDiffusion", energy_scale=scale) for scale in (0.1, 1.0))
    assert not torch.equal(weak, strong)


def test_the_authors_schedules_at_50_steps(pack: Any) -> None:
    """docs/method.md, section 9: DragonDiffusion guides every step, only DiffEditor thins out."""
    plain, preset = (pack.submodule("nodes.schema.presets").PRESETS[name] for name in ("DragonDiffusion", "DiffEditor"))
    shares = [1 - t / 999 for t in range(981, 0, -20)]  # ComfyUI's ddim_uniform
    assert [step for step, share in enumerate(shares) if plain.windows.guided(step, share)] == list(range(30))
    assert all(plain.schedule.passes(step, share) == 1 and not plain.schedule.stochastic(share) for step, share in enumerate(shares))
    schedule = replace(preset.schedule, dense=preset.windows.dense, sparse=preset.windows.sparse)
    assert schedule.sde_outside == 0
    assert [step for step, share in enumerate(shares) if schedule.guided(step, share)] == [*range(10), *range(10, 30, 2)]
    assert [step for step, share in enumerate(shares) if schedule.passes(step, share) > 1] == [22, 24, 26, 28]
    assert [step for step, share in enumerate(shares) if schedule.stochastic(share)] == list(range(11, 20))
    sharing = pack.submodule("dragon_core.diffusion.convention")
    assert [step for step, share in enumerate(shares) if sharing.REFERENCE_SHARING.contains(share)] == list(range(36))
    assert [step for step, share in enumerate(shares) if sharing.SOURCE_SHARING.contains(share)] == list(range(5, 50))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_model_is_asked_in_few_steps(make_scene: Any, sample: Any, move: Any, steps: int) -> None:
    """With the injection of the defaults, which at 4 steps would round to all of them; 1 means all and says so."""
    scene = make_scene(steps=steps, refinement=0)
    given = {"energy": move(scene), "hold_background": 1.0, "guide_every_until": 1.0, "guide_until": 1.0}
    weak, strong = (sample(scene, energy_scale=scale, hold_object_until=0.9, **given) for scale in (0.2, 1.0))
    assert not torch.equal(weak, strong)
    weak, strong = (sample(scene, energy_scale=scale, hold_object_until=1.0, **given) for scale in (0.2, 1.0))
    assert torch.equal(weak, strong)


@pytest.mark.parametrize(
    ("node", "kappa"), [("DragonMoveLoss", 0.08), ("DragonResizeLoss", 0.08), ("DragonPasteLoss", 0.04), ("DragonAppearanceLoss", 0.04)]
)
def test_the_papers_unit_is_the_tasks_own(run: Any, scene: Any, node: str, kappa: float) -> None:
    """docs/method.md, section 7."""
    inputs = {
        "DragonMoveLoss": {"mask": scene.mask, "dx": 24, "dy": 8},
        "DragonResizeLoss": {"mask": scene.mask, "scale": 0.7},
        "DragonPasteLoss": {"reference_mask": scene.mask, "x": 72.0, "y": 44.0},
        "DragonAppearanceLoss": {"mask": scene.mask, "reference_mask": scene.mask},
    }
    ((edit,),) = run(node, **inputs[node])
    assert edit.kappa == kappa


@pytest.mark.parametrize("node", ["DragonSampler", "DragonGuider"])
@pytest.mark.parametrize("looks_first", [False, True])
def test_in_a_chain_each_task_has_the_papers_unit_of_its_own(run: Any, scene: Any, mini: Any, node: str, looks_first: bool) -> None:
    """Beside a move's 0.08 an appearance's 0.04 is half its weights; in `relative` units a number means the same for all."""
    (branch,) = run("DragonGuidanceBranch", trajectory=scene.trajectory, reference=scene.trajectory)
    given = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "branch": branch, "cfg": 3.0}

    def first(unit: str, w_edit: float, w_content: float) -> Any:
        """The reading of the first guided step, before which nothing depends on the unit."""
        look = {"mask": scene.mask.flip(1, 2), "reference_mask": scene.mask, "transfer": 0.0, "w_edit": w_edit, "w_content": w_content}
        moved = {"mask": scene.mask, "dx": 24, "dy": 8, "w_content": 1.0}
        links = [("DragonMoveLoss", moved), ("DragonAppearanceLoss", look)]
        energy: Any = ()
        for loss, inputs in reversed(links) if looks_first else links:
            (energy,) = run(loss, **inputs, energy=energy)
        if node == "DragonSampler":
            return run(node, **given, energy=energy, scale_unit=unit)[2][0]
        guider, *_ = run(node, **given, energy=energy, scale_unit=unit)
        parts = {"noise": run("DisableNoise")[0], "guider": guider, "sampler": run("DragonEulerSampler")[0]}
        run("SamplerCustomAdvanced", **parts, sigmas=scene.sigmas, latent_image=scene.start)
        return guider.readings[0]

    paper, halved, whole = first("paper", 3.5, 5.0), first("relative", 1.75, 2.5), first("relative", 3.5, 5.0)
    assert torch.equal(paper.edit, halved.edit) and torch.equal(paper.content, halved.content)
    assert float(whole.edit) > float(paper.edit) and float(whole.content) > float(paper.content)


@pytest.mark.parametrize("name", ["DragonDiffusion", "DiffEditor"])
def test_a_preset_that_nothing_pulls_with_is_refused(scene: Any, sample: Any, move: Any, name: str) -> None:
    with pytest.raises(Exception, match=f"DragonSampler.*{name}.*energy_scale is 0"):
        sample(scene, energy=move(scene), preset=name, energy_scale=0.0)
