"""Moving: the same object, unchanged in size, elsewhere on the floor."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cases import Case, Edit, Picture
from benchmarks.pixels import put, smeared_background
from benchmarks.tasks import staging
from benchmarks.tasks.task import Task
from toy_world.render import object_mask
from toy_world.scene import SIDE, Scene

if TYPE_CHECKING:
    from benchmarks.host import Host
    from benchmarks.settings import Settings

SHORTEST, LONGEST = 0.15, 0.45
"""Length of the shift as a share of the side."""
STEEPEST = 0.4
"""Vertical over horizontal part, at most."""


def sample(scene: Scene, rng: np.random.Generator, name: str, side: int = SIDE) -> Case | None:
    """Move object 0 by whole pixels; it stays in frame, on the floor, and clear of other objects."""
    placed = scene.objects[0]
    others = staging.clearances(scene, side)
    if not staging.is_clear(object_mask(placed, side), others):
        return None
    for _ in range(staging.TRIES):
        length = rng.uniform(SHORTEST, LONGEST) * side
        slope = rng.uniform(-STEEPEST, STEEPEST)
        across = rng.choice([-1, 1]) * length / np.hypot(1, slope)
        dx, dy = round(across), round(across * slope)
        moved = dataclasses.replace(placed, x=placed.x + dx / side, y=placed.y + dy / side)
        if not SHORTEST * side <= np.hypot(dx, dy) <= LONGEST * side or not staging.stands(moved, scene.horizon):
            continue
        if staging.is_clear(object_mask(moved, side), others):
            return staging.edited_case(name, Edit("move", scene.caption, dx=dx, dy=dy), scene, moved, side)
    return None


def copy_paste(case: Case) -> Picture:
    """Smear the background over the object's place, then paste the masked pixels at the target."""
    shift = (round(case.edit.dx), round(case.edit.dy))
    return put(smeared_background(case), case.source, case.mask, lambda points: points - shift)


def energy(case: Case, host: Host, settings: Settings) -> object:
    """DragonMoveLoss of the case's mask and shift."""
    dx, dy = round(case.edit.dx), round(case.edit.dy)
    return host.run(TASK.node, settings, mask=host.mask(case.mask), dx=dx, dy=dy)[0]


TASK = Task("move", sample, copy_paste, energy, "DragonMoveLoss")
