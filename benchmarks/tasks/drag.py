"""Dragging points: one to four handles on the object and where each should go.

The pairs come from a true edit of the object, a shift or (with two pairs or more) a shift and a change of size, so the answer is
known. A method sees the pairs and the object's mask alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.box import box_mean, dilate
from benchmarks.cases import Case, Edit, Mask, Picture
from benchmarks.pixels import put, smeared_background
from benchmarks.settings import Settings
from benchmarks.tasks import staging
from benchmarks.tasks.task import Task
from toy_world.render import object_mask, render
from toy_world.scene import SIDE, Scene

if TYPE_CHECKING:
    from benchmarks.host import Host

SHORTEST, LONGEST = 0.08, 0.30
"""Distance from handle to target as a share of the side."""
MOST_PAIRS = 4
SCALES = (0.7, 1.4)
INSET = 3
"""Pixels that a handle keeps from the object's outline."""
CONTRAST_RADIUS = 4


def sample(scene: Scene, rng: np.random.Generator, name: str, side: int = SIDE) -> Case | None:
    """Drag object 0; it stays in frame, on the floor, and clear of other objects."""
    placed = scene.objects[0]
    others = staging.clearances(scene, side)
    mask = object_mask(placed, side, staging.shadowed(scene))
    if not staging.is_clear(mask, others):
        return None
    centre, pairs = staging.centroid(mask), int(rng.integers(1, MOST_PAIRS + 1))
    handles = _handles(render(scene, side), object_mask(placed, side, shadow=False), pairs, rng)
    scales = pairs > 1 and rng.uniform() < 0.5
    for _ in range(staging.TRIES):
        scale = float(rng.uniform(*SCALES)) if scales else 1.0
        length, angle = rng.uniform(0, LONGEST) * side, rng.uniform(0, 2 * np.pi)
        shift = (float(length * np.cos(angle)), float(0.6 * length * np.sin(angle)))
        targets = staging.transformed(handles, centre, scale, shift)
        distances = np.hypot(*(targets - handles).T) / side
        edited = staging.resized(placed, centre, scale, shift, side)
        if distances.min() < SHORTEST or distances.max() > LONGEST or not staging.stands(edited, scene.horizon):
            continue
        if staging.is_clear(object_mask(edited, side), others):
            points = tuple(((h[0], h[1]), (t[0], t[1])) for h, t in zip(handles.tolist(), targets.round(2).tolist(), strict=True))
            return staging.edited_case(name, Edit("drag", scene.caption, points=points), scene, edited, side)
    return None


def _handles(picture: Picture, body: Mask, count: int, rng: np.random.Generator) -> staging.Points:
    """Points far apart on the livelier half of the object: where a person would take hold, and what can be found again."""
    inside = ~dilate(~body, INSET)
    grey = picture.mean(axis=-1)
    contrast = box_mean(grey**2, CONTRAST_RADIUS) - box_mean(grey, CONTRAST_RADIUS) ** 2
    lively = inside & (contrast >= np.median(contrast[inside]))
    candidates: staging.Points = np.argwhere(lively)[:, ::-1].astype(np.float64) + 0.5
    chosen = [int(rng.integers(len(candidates)))]
    while len(chosen) < count:
        gaps = np.linalg.norm(candidates[:, None] - candidates[chosen], axis=-1).min(axis=1)
        chosen.append(int(gaps.argmax()))
    handles: staging.Points = candidates[chosen]
    return handles


def copy_paste(case: Case) -> Picture:
    """Smear the background over the object's place, then paste its pixels, each shifted as the nearer pairs say."""
    handles, targets = (np.array([pair[end] for pair in case.edit.points]) for end in (0, 1))

    def inverse(points: staging.Points) -> staging.Points:
        """Shepard's interpolation of the pairs' shifts: weights of one over the squared distance."""
        weights = 1 / (np.square(points[:, None] - targets).sum(axis=-1) + 1e-6)
        shifts: staging.Points = weights @ (targets - handles) / weights.sum(axis=1, keepdims=True)
        return points - shifts

    return put(smeared_background(case), case.source, case.mask, inverse)


def energy(case: Case, host: Host, settings: Settings) -> object:
    """DragonDragLoss of the case's pairs, with its mask, which is the object's."""
    settings = settings.over(Settings({"DragonDragLoss.mask_means": "object"}))
    points = json.dumps([[list(handle), list(target)] for handle, target in case.edit.points])
    return host.run(TASK.node, settings, points=points, mask=host.mask(case.mask))[0]


TASK = Task("drag", sample, copy_paste, energy, "DragonDragLoss")
