"""What the tasks' cases have in common: objects that stand in a scene and clear of each other, and the pictures of an edit.

Points are (x, y) in pixels with the first pixel's middle at (½, ½), as the renderer and the nodes count.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from benchmarks.box import dilate
from benchmarks.cases import Case, Edit, Mask, Picture, to_bytes
from training import emoji, world

Points = npt.NDArray[np.float64]
"""(N, 2)."""

TRIES = 60
GAP = 4
"""Pixels that must stay free between the edited object and another one."""


def clearances(scene: world.Scene, side: int, skip: int | None = 0) -> list[Mask]:
    """Where an edited object must not reach: every object but ``skip``, grown by :data:`GAP`."""
    return [dilate(world.object_mask(other, side), GAP) for index, other in enumerate(scene.objects) if index != skip]


def is_clear(mask: Mask, others: list[Mask]) -> bool:
    return not any((mask & other).any() for other in others)


def stands(placed: world.Placed, horizon: float) -> bool:
    """Fully in frame, its base on the floor."""
    in_frame = placed.size / 2 + 0.01 <= placed.x <= 0.99 - placed.size / 2 and placed.y >= placed.size + 0.02
    return in_frame and horizon + 0.05 <= placed.y <= 0.96


def picture(scene: world.Scene, side: int, only_shadow_of: int | None = None) -> Picture:
    """The scene as its file will hold it, in 256 steps."""
    return to_bytes(world.render(scene, side, only_shadow_of)).astype(np.float32) / np.float32(255)


def edited_case(name: str, edit: Edit, scene: world.Scene, edited: world.Placed, side: int) -> Case:
    """The case in which object 0 of ``scene`` becomes ``edited``."""
    return Case(
        name=name,
        edit=edit,
        source=picture(scene, side),
        truth=picture(scene.replacing(0, edited), side),
        clean=picture(scene.without(0), side),
        mask=world.object_mask(scene.objects[0], side),
        truth_mask=world.object_mask(edited, side),
    )


def centroid(mask: Mask) -> tuple[float, float]:
    """(x, y) of the mask's middle."""
    y, x = np.argwhere(mask).mean(axis=0) + 0.5
    return float(x), float(y)


def transformed(points: Points, centre: tuple[float, float], scale: float, shift: tuple[float, float]) -> Points:
    """T(p) = c + scale (p − c) + shift of points (N, 2)."""
    out: Points = np.asarray(centre) + scale * (np.asarray(points, dtype=np.float64) - centre) + shift
    return out


def restored(points: Points, centre: tuple[float, float], scale: float, shift: tuple[float, float]) -> Points:
    """T⁻¹ of points (N, 2)."""
    return transformed(points - np.asarray(shift), centre, 1 / scale, (0.0, 0.0))


def resized(
    placed: world.Placed, centre: tuple[float, float], scale: float, shift: tuple[float, float], side: int
) -> world.Placed:
    """The object under T. Its shadow goes along: the renderer makes it from the object's base and size."""
    x, y = transformed(np.array([[placed.x, placed.y]]) * side, centre, scale, shift)[0] / side
    return dataclasses.replace(placed, x=float(x), y=float(y), size=placed.size * scale)


def split_of(scene: world.Scene) -> str:
    """The held-out split whose identities the scene's first object belongs to."""
    return "unseen" if scene.objects[0].name in emoji.UNSEEN else "seen"


def another_scene(scene: world.Scene, rng: np.random.Generator) -> world.Scene:
    """A scene with one object, of the same held-out split."""
    return world.sample_scene(split_of(scene), int(rng.integers(2**62)), objects=1)
