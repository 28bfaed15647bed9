"""What the tasks' cases have in common: objects that stand in a scene and clear of each other, and the pictures of an edit.

Points are (x, y) in pixels with the first pixel's middle at (½, ½), as the renderer and the nodes count.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from benchmarks.box import dilate
from benchmarks.cases import Case, Edit, Mask, Picture
from toy_world import emoji
from toy_world.render import object_mask, render, to_bytes
from toy_world.scene import Placed, Scene, sample_scene

Points = npt.NDArray[np.float64]
"""(N, 2)."""

TRIES = 60
GAP = 4
"""Pixels that must stay free between the edited object and another one."""


def clearances(scene: Scene, side: int, skip: int | None = 0) -> list[Mask]:
    """Where an edited object must not reach: every object but ``skip``, grown by :data:`GAP`."""
    return [dilate(object_mask(other, side), GAP) for index, other in enumerate(scene.objects) if index != skip]


def is_clear(mask: Mask, others: list[Mask]) -> bool:
    return not any((mask & other).any() for other in others)


def shadowed(scene: Scene) -> bool:
    """Whether masks take the contact shadow along: in flat scenes, where nothing else of the object lies outside of it."""
    return scene.lamp is None


def shadow_of(scene: Scene, index: int, side: int) -> Picture | None:
    """The scene without its object ``index``, but with that one's shadow and reflection; None for flat scenes."""
    return picture(scene, side, only_shadow_of=index) if scene.lamp is not None else None


def stands(placed: Placed, horizon: float) -> bool:
    """Fully in frame, its base on the floor."""
    in_frame = placed.size / 2 + 0.01 <= placed.x <= 0.99 - placed.size / 2 and placed.y >= placed.size + 0.02
    return in_frame and horizon + 0.05 <= placed.y <= 0.96


def picture(scene: Scene, side: int, only_shadow_of: int | None = None) -> Picture:
    """The scene as its file will hold it, in 256 steps."""
    return to_bytes(render(scene, side, only_shadow_of)).astype(np.float32) / np.float32(255)


def edited_case(name: str, edit: Edit, scene: Scene, edited: Placed, side: int) -> Case:
    """The case in which object 0 of ``scene`` becomes ``edited``."""
    answer = scene.replacing(0, edited)
    mask, truth_mask = (object_mask(s.objects[0], side, shadowed(scene)) for s in (scene, answer))
    return Case(
        name=name,
        edit=edit,
        source=picture(scene, side),
        truth=picture(answer, side),
        clean=picture(scene.without(0), side),
        mask=mask,
        truth_mask=truth_mask,
        shadow_before=shadow_of(scene, 0, side),
        shadow_after=shadow_of(answer, 0, side),
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
    placed: Placed, centre: tuple[float, float], scale: float, shift: tuple[float, float], side: int
) -> Placed:
    """The object under T. Its shadow goes along: the renderer makes it from the object's base and size."""
    x, y = transformed(np.array([[placed.x, placed.y]]) * side, centre, scale, shift)[0] / side
    return dataclasses.replace(placed, x=float(x), y=float(y), size=placed.size * scale)


def split_of(scene: Scene) -> str:
    """The held-out split whose identities the scene's first object belongs to."""
    return "unseen" if scene.objects[0].name in (*emoji.UNSEEN, *emoji.FLAT_UNSEEN) else "seen"


def another_scene(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene with one object, of the same held-out split."""
    return sample_scene(split_of(scene), int(rng.integers(2**62)), objects=1, lit=scene.lamp is not None)
