"""A preset of the sampler is the same as setting its widgets, whatever they say, and leaves energy_scale and cfg alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

#: The authors' schedule by hand (algorithm.md section 9).
PAPER = {
    "scale_unit": "paper",
    "guide_every_until": 0.2,
    "guide_until": 0.6,
    "hold_background": 0.0,
    "hold_object_until": 0.0,
}
DIFF_EDITOR = {
    **PAPER,
    "travel_passes": 3,
    "travel_start": 0.4,
    "travel_end": 0.6,
    "sde_strength": 0.4,
    "sde_outside": 0.2,
    "sde_start": 0.2,
    "sde_end": 0.4,
}


@pytest.mark.parametrize(("name", "by_hand"), [("DragonDiffusion", PAPER), ("DiffEditor", DIFF_EDITOR)])
def test_preset_is_its_widgets(make_scene: Any, sample: Any, move: Any, name: str, by_hand: dict[str, Any]) -> None:
    scene = make_scene(steps=10, refinement=0)
    given = {"energy": move(scene), "energy_scale": 0.5, "seed": 3}
    wanted, got = sample(scene, **given, **by_hand), sample(scene, **given, preset=name, hold_object_until=0.9, travel_passes=2)
    assert torch.equal(got, wanted)
    assert not torch.equal(got, sample(scene, **given))


def test_a_preset_leaves_strength_to_its_widget(make_scene: Any, sample: Any, move: Any) -> None:
    scene = make_scene(steps=10, refinement=0)
    weak, strong = (sample(scene, energy=move(scene), preset="DragonDiffusion", energy_scale=scale) for scale in (0.1, 1.0))
    assert not torch.equal(weak, strong)
