"""Resizing: the same object larger or smaller about its middle, with or without a small move."""

from __future__ import annotations

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

SMALLEST, LARGEST = 0.5, 1.8
LEAST_CHANGE = 1.2
"""Factor between the sizes, at least: less is hardly an edit."""
SIZES = (0.16, 0.62)
"""The object's longer side afterwards, as a share of the picture's."""
FURTHEST = 0.15
"""Length of the move that half of the cases have, as a share of the side."""


def sample(scene: Scene, rng: np.random.Generator, name: str, side: int = SIDE) -> Case | None:
    """Resize object 0 about the centroid of its mask; it stays in frame, on the floor, and clear of other objects."""
    placed = scene.objects[0]
    others = staging.clearances(scene, side)
    mask = object_mask(placed, side, staging.shadowed(scene))
    if not staging.is_clear(mask, others):
        return None
    centre, moves = staging.centroid(mask), rng.uniform() < 0.5
    for _ in range(staging.TRIES):
        scale = round(float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))), 2)
        dx, dy = (round(v) for v in rng.uniform(-FURTHEST, FURTHEST, size=2) * side) if moves else (0, 0)
        edited = staging.resized(placed, centre, scale, (dx, dy), side)
        if max(scale, 1 / scale) < LEAST_CHANGE or not SIZES[0] <= edited.size <= SIZES[1]:
            continue
        if staging.stands(edited, scene.horizon) and staging.is_clear(object_mask(edited, side), others):
            edit = Edit("resize", scene.caption, dx=dx, dy=dy, scale=scale)
            return staging.edited_case(name, edit, scene, edited, side)
    return None


def copy_paste(case: Case) -> Picture:
    """Smear the background over the object's place, then paste the masked pixels there, scaled."""
    centre, shift = staging.centroid(case.mask), (case.edit.dx, case.edit.dy)
    return put(
        smeared_background(case), case.source, case.mask, lambda points: staging.restored(points, centre, case.edit.scale, shift)
    )


def energy(case: Case, host: Host, settings: Settings) -> object:
    """DragonResizeLoss of the case's mask, scale and shift."""
    edit = case.edit
    mask = host.mask(case.mask)
    return host.run(TASK.node, settings, mask=mask, scale=edit.scale, dx=round(edit.dx), dy=round(edit.dy))[0]


TASK = Task("resize", sample, copy_paste, energy, "DragonResizeLoss")
