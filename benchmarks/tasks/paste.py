"""Pasting: the object of another picture put at a place and size in this one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cases import Case, Edit, Picture
from benchmarks.pixels import put
from benchmarks.tasks import staging
from benchmarks.tasks.task import Task
from toy_world.render import object_mask
from toy_world.scene import SIDE, Scene

if TYPE_CHECKING:
    from benchmarks.host import Host
    from benchmarks.settings import Settings

SCALES = (0.6, 1.4)
SIZES = (0.2, 0.4)
"""The pasted object's longer side as a share of the picture's."""


def sample(scene: Scene, rng: np.random.Generator, name: str, side: int = SIDE) -> Case | None:
    """Put the object of another scene beside object 0: in frame, on the floor, and clear of it."""
    scene = dataclasses.replace(scene, objects=scene.objects[:1])
    other = staging.another_scene(scene, rng)
    model = other.objects[0]
    if model.name == scene.objects[0].name:
        return None
    reference_mask = object_mask(model, side, staging.shadowed(scene))
    centre = staging.centroid(reference_mask)
    others = staging.clearances(scene, side, skip=None)
    for _ in range(staging.TRIES):
        scale = round(float(rng.uniform(*SCALES)), 2)
        dx, dy = (round(v) for v in rng.uniform(-0.6, 0.6, size=2) * side)
        pasted = staging.resized(model, centre, scale, (dx, dy), side)
        if not SIZES[0] <= pasted.size <= SIZES[1] or not staging.stands(pasted, scene.horizon):
            continue
        truth_mask = object_mask(pasted, side, staging.shadowed(scene))
        if not staging.is_clear(object_mask(pasted, side), others):
            continue
        truth = dataclasses.replace(scene, objects=(*scene.objects, pasted))
        source = staging.picture(scene, side)
        return Case(
            name=name,
            edit=Edit(
                "paste", scene.caption, dx=dx, dy=dy, scale=scale, edited_prompt=truth.caption, reference_prompt=other.caption
            ),
            source=source,
            truth=staging.picture(truth, side),
            clean=source,
            mask=truth_mask,
            truth_mask=truth_mask,
            reference=staging.picture(other, side),
            reference_mask=reference_mask,
            shadow_after=staging.shadow_of(truth, len(scene.objects), side),
        )
    return None


def copy_paste(case: Case) -> Picture:
    """The reference's masked pixels, scaled, on the source."""
    picture, mask = case.needed_reference
    centre, shift = staging.centroid(mask), (case.edit.dx, case.edit.dy)
    return put(case.source, picture, mask, lambda points: staging.restored(points, centre, case.edit.scale, shift))


def energy(case: Case, host: Host, settings: Settings) -> object:
    """DragonPasteLoss of the reference's mask, scale and shift."""
    edit, mask = case.edit, case.needed_reference[1]
    x, y = staging.centroid(mask)
    inputs = {"x": x + edit.dx, "y": y + edit.dy, "scale": edit.scale}
    return host.run(TASK.node, settings, reference_mask=host.mask(mask), **inputs)[0]


TASK = Task("paste", sample, copy_paste, energy, "DragonPasteLoss")
