"""Removing: the object goes, with its shadow and its reflection, and what was behind it comes to light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cases import Case, Edit, Picture
from benchmarks.pixels import smeared_background
from benchmarks.tasks import staging
from benchmarks.tasks.task import Task
from toy_world.render import object_mask
from toy_world.scene import SIDE, Scene

if TYPE_CHECKING:
    from benchmarks.host import Host
    from benchmarks.settings import Settings


def sample(scene: Scene, rng: np.random.Generator, name: str, side: int = SIDE) -> Case | None:
    """Remove object 0, which no other one touches."""
    mask = object_mask(scene.objects[0], side, staging.shadowed(scene))
    if not staging.is_clear(mask, staging.clearances(scene, side)):
        return None
    empty = scene.without(0)
    truth = staging.picture(empty, side)
    return Case(
        name=name,
        edit=Edit("remove", scene.caption, edited_prompt=empty.caption),
        source=staging.picture(scene, side),
        truth=truth,
        clean=truth,
        mask=mask,
        truth_mask=np.zeros_like(mask),
        shadow_before=staging.shadow_of(scene, 0, side),
    )


def copy_paste(case: Case) -> Picture:
    """The background smeared over the object's place."""
    return smeared_background(case)


def energy(case: Case, host: Host, settings: Settings) -> object:
    """DragonInpaintLoss of the case's mask."""
    return host.run(TASK.node, settings, mask=host.mask(case.mask))[0]


TASK = Task("remove", sample, copy_paste, energy, "DragonInpaintLoss")
