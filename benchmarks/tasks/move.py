"""Moving: the same object, unchanged in size, elsewhere on the floor."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.box import dilate
from benchmarks.cases import Case, Edit, Picture, to_bytes
from benchmarks.smear import smear
from benchmarks.tasks.task import Task
from training import world

if TYPE_CHECKING:
    from benchmarks.host import Host
    from benchmarks.settings import Settings

SHORTEST, LONGEST = 0.15, 0.45
"""Length of the shift as a share of the side."""
STEEPEST = 0.4
"""Vertical over horizontal part, at most."""
TRIES = 60
GAP = 4
"""Pixels that must stay free between the moved object and another one."""
RIM = 2
"""Pixels round the mask in which the object still shines through; a hole without them would be filled with its colour."""


def sample(scene: world.Scene, rng: np.random.Generator, name: str, side: int = world.SIDE) -> Case | None:
    """Move object 0 by whole pixels; it stays in frame, on the floor, and clear of other objects."""
    placed = scene.objects[0]
    others = [dilate(world.object_mask(other, side), GAP) for other in scene.objects[1:]]
    mask = world.object_mask(placed, side)
    if any((mask & other).any() for other in others):
        return None
    for _ in range(TRIES):
        length = rng.uniform(SHORTEST, LONGEST) * side
        slope = rng.uniform(-STEEPEST, STEEPEST)
        across = rng.choice([-1, 1]) * length / np.hypot(1, slope)
        dx, dy = round(across), round(across * slope)
        moved = dataclasses.replace(placed, x=placed.x + dx / side, y=placed.y + dy / side)
        if not SHORTEST * side <= np.hypot(dx, dy) <= LONGEST * side or not _stands(moved, scene.horizon):
            continue
        truth_mask = world.object_mask(moved, side)
        if any((truth_mask & other).any() for other in others):
            continue
        return Case(
            name=name,
            edit=Edit("move", scene.caption, dx=dx, dy=dy),
            source=_as_stored(world.render(scene, side)),
            truth=_as_stored(world.render(scene.replacing(0, moved), side)),
            clean=_as_stored(world.render(scene.without(0), side)),
            mask=mask,
            truth_mask=truth_mask,
        )
    return None


def _stands(placed: world.Placed, horizon: float) -> bool:
    """Fully in frame, its base on the floor."""
    in_frame = placed.size / 2 + 0.01 <= placed.x <= 0.99 - placed.size / 2 and placed.y >= placed.size + 0.02
    return in_frame and horizon + 0.05 <= placed.y <= 0.96


def _as_stored(picture: Picture) -> Picture:
    return to_bytes(picture).astype(np.float32) / np.float32(255)


def copy_paste(case: Case) -> Picture:
    """Smear the background over where the object (and its soft rim) was, then paste the masked pixels at the target."""
    height, width = case.mask.shape
    dx, dy = round(case.edit.dx), round(case.edit.dy)
    out = smear(case.source, dilate(case.mask, RIM))
    rows, columns = np.nonzero(case.mask)
    inside = (rows + dy >= 0) & (rows + dy < height) & (columns + dx >= 0) & (columns + dx < width)
    rows, columns = rows[inside], columns[inside]
    out[rows + dy, columns + dx] = case.source[rows, columns]
    return out


def energy(case: Case, host: Host, settings: Settings) -> object:
    """DragonMoveLoss of the case's mask and shift."""
    dx, dy = round(case.edit.dx), round(case.edit.dy)
    return host.run("DragonMoveLoss", settings, mask=host.mask(case.mask), dx=dx, dy=dy)[0]


TASK = Task("move", sample, copy_paste, energy, attention="replace")
