"""Appearance: the object keeps its shape and place and takes the look of another picture's object.

In this world the true answer is the same object in the reference's colour. Seen identities come in the colours that training
drew them in; unseen ones were never drawn, in any.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cases import Case, Edit, Picture
from benchmarks.tasks import staging
from benchmarks.tasks.task import Task
from toy_world import emoji
from toy_world.render import object_mask
from toy_world.scene import SIDE, Scene

if TYPE_CHECKING:
    from benchmarks.host import Host
    from benchmarks.settings import Settings


def sample(scene: Scene, rng: np.random.Generator, name: str, side: int = SIDE) -> Case | None:
    """Recolour object 0 as the object of another scene, of the same identity or another."""
    lit = scene.lamp is not None
    unseen, recoloured = (emoji.UNSEEN, emoji.RECOLOURED) if lit else (emoji.FLAT_UNSEEN, emoji.FLAT_RECOLOURED)
    identities = sorted(unseen) if staging.split_of(scene) == "unseen" else list(recoloured)
    before, after = (str(hue) for hue in rng.choice(list(emoji.HUES), size=2, replace=False))
    placed = dataclasses.replace(scene.objects[0], name=str(rng.choice(identities)), colour=before)
    if not staging.is_clear(object_mask(placed, side), staging.clearances(scene, side)):
        return None
    scene, edited = scene.replacing(0, placed), dataclasses.replace(placed, colour=after)
    other = staging.another_scene(scene, rng)
    model = dataclasses.replace(other.objects[0], name=str(rng.choice(identities)), colour=after)
    other, truth = other.replacing(0, model), scene.replacing(0, edited)
    mask = object_mask(placed, side, shadow=False)
    return Case(
        name=name,
        edit=Edit("appearance", scene.caption, edited_prompt=truth.caption, reference_prompt=other.caption),
        source=staging.picture(scene, side),
        truth=staging.picture(truth, side),
        clean=staging.picture(scene, side, only_shadow_of=0),
        mask=mask,
        truth_mask=mask,
        reference=staging.picture(other, side),
        reference_mask=object_mask(model, side, shadow=False),
        shadow_before=staging.shadow_of(scene, 0, side),
        shadow_after=staging.shadow_of(truth, 0, side),
    )


def copy_paste(case: Case) -> Picture:
    """Give the object's pixels the mean and spread of the reference's, channel by channel (Reinhard et al. 2001, in RGB)."""
    reference, reference_mask = case.needed_reference
    out = case.source.copy()
    own, wanted = case.source[case.mask], reference[reference_mask]
    spread = wanted.std(axis=0) / np.maximum(own.std(axis=0), 1e-3)
    out[case.mask] = np.clip((own - own.mean(axis=0)) * spread + wanted.mean(axis=0), 0, 1)
    return out


def energy(case: Case, host: Host, settings: Settings) -> object:
    """DragonAppearanceLoss of the two masks."""
    masks = {"mask": host.mask(case.mask), "reference_mask": host.mask(case.needed_reference[1])}
    return host.run(TASK.node, settings, **masks)[0]


TASK = Task("appearance", sample, copy_paste, energy, "DragonAppearanceLoss")
