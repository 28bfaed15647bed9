"""Rooms as values: a wall, a floor, a lamp, one or two objects standing on the floor.

Because a scene is a value (:class:`Scene`), an edit of a scene is another scene, and its *true* picture is one more render:
with its own light, its own shadows and, on a floor that mirrors, its own reflection.
Coordinates are fractions of the side: x to the right, y down; an object stands at (x, y), the middle of its base.
Heights are above the floor, depths are in front of the wall (y less the horizon, on the floor).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from . import emoji

SIDE = 256
SPLITS = {"train": 0, "heldout": 1, "seen": 2, "unseen": 3}

WALLS: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.26, 0.25),
    "orange": (0.93, 0.56, 0.26),
    "yellow": (0.94, 0.83, 0.42),
    "green": (0.42, 0.70, 0.44),
    "teal": (0.25, 0.64, 0.63),
    "blue": (0.36, 0.56, 0.85),
    "purple": (0.58, 0.44, 0.76),
    "pink": (0.93, 0.66, 0.75),
    "gray": (0.62, 0.63, 0.65),
    "white": (0.92, 0.92, 0.90),
}
PATTERNS = ("plain", "striped", "dotted", "tiled")
FLOORS: dict[str, tuple[float, float, float]] = {
    "wood": (0.62, 0.42, 0.26),
    "stone": (0.55, 0.56, 0.60),
    "grass": (0.36, 0.58, 0.24),
    "sand": (0.87, 0.76, 0.56),
    "carpet": (0.52, 0.24, 0.30),
}
MIRROR = "marble"
LIT_FLOORS = {**FLOORS, MIRROR: (0.74, 0.76, 0.78)}
"""The lit world's floors; the last one mirrors."""

SIDES: dict[str, tuple[float, float]] = {"left": (-0.05, 0.3), "right": (0.7, 1.05), "above": (0.42, 0.58)}
"""Where the lamp hangs, as captions say it, and the range of its x."""


@dataclass(frozen=True)
class Lamp:
    """A lamp at ``x``, ``height`` above the floor, ``depth`` in front of the wall. With no power and an ambient of 1 it is none."""

    x: float
    height: float
    depth: float
    power: float
    ambient: float

    @property
    def side(self) -> str:
        """What captions call it: left, right or above."""
        return "left" if self.x < 0.36 else "right" if self.x > 0.64 else "above"


@dataclass(frozen=True)
class Placed:
    """An object in a scene. ``size`` is its longer side; ``flip`` mirrors it left-right."""

    name: str
    colour: str | None
    x: float
    y: float
    size: float
    flip: bool

    @property
    def phrase(self) -> str:
        words = f"{self.colour} {self.name}" if self.colour else self.name
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True)
class Scene:
    """Everything a picture of the world is made from. ``light`` is a brightness slope across the picture, beside any lamp."""

    wall: str
    pattern: str
    floor: str
    horizon: float
    light: float
    phase: float
    objects: tuple[Placed, ...]
    lamp: Lamp | None = None

    @property
    def caption(self) -> str:
        pattern = "" if self.pattern == "plain" else f" {self.pattern}"
        things = " and ".join(o.phrase for o in self.objects) or "nothing"
        article = "an" if self.wall[0] in "aeiou" else "a"
        lit = "" if self.lamp is None else ", lit from above" if self.lamp.side == "above" else f", lit from the {self.lamp.side}"
        return f"{things} on a {self.floor} floor with {article} {self.wall}{pattern} wall{lit}"

    def without(self, index: int) -> Scene:
        return dataclasses.replace(self, objects=self.objects[:index] + self.objects[index + 1 :])

    def replacing(self, index: int, placed: Placed) -> Scene:
        return dataclasses.replace(self, objects=self.objects[:index] + (placed,) + self.objects[index + 1 :])


def words() -> list[str]:
    """Every word that a caption of the lit world can have, but for identities that training never sees."""
    said = ["a", "an", "and", "nothing", "on", "floor", "with", "wall", ",", "lit", "from", "the", "above", "left", "right"]
    return [*said, *emoji.SEEN, *emoji.HUES, *WALLS, *PATTERNS[1:], *LIT_FLOORS]


def sample_scene(split: str, seed: int, objects: int | None = None, lit: bool = True) -> Scene:
    """A random scene. Splits draw from separate streams; only ``unseen`` uses identities that training never saw.

    ``lit=False`` is the flat world without lamps, with the identities and to the bit the scenes that it had before there was a lit one.
    """
    rng = np.random.default_rng([SPLITS[split], seed, *([1] if lit else [])])
    names: tuple[str, ...]
    recoloured: tuple[str, ...]
    if lit:
        names, recoloured, floors = (emoji.UNSEEN if split == "unseen" else emoji.SEEN), emoji.RECOLOURED, LIT_FLOORS
    else:
        names, recoloured, floors = (emoji.FLAT_UNSEEN if split == "unseen" else emoji.FLAT_SEEN), emoji.FLAT_RECOLOURED, FLOORS
    horizon = float(rng.uniform(0.5, 0.64))
    count = objects if objects is not None else int(rng.choice([1, 1, 1, 2]))
    placed: list[Placed] = []
    for _ in range(40):
        if len(placed) == count:
            break
        candidate = _sample_object(rng, names, recoloured, horizon, 0.46 if count == 1 else 0.36)
        if all(abs(candidate.x - o.x) > 0.55 * (candidate.size + o.size) for o in placed):
            placed.append(candidate)
    return Scene(
        wall=str(rng.choice(list(WALLS))),
        pattern=str(rng.choice(PATTERNS)),
        floor=str(rng.choice(list(floors))),
        horizon=horizon,
        light=float(rng.uniform(-0.12, 0.12)) if not lit else 0.0,
        phase=float(rng.uniform()),
        objects=tuple(placed),
        lamp=_sample_lamp(rng) if lit else None,
    )


def _sample_object(
    rng: np.random.Generator, names: tuple[str, ...], recoloured: tuple[str, ...], horizon: float, largest: float
) -> Placed:
    name = str(rng.choice(list(names)))
    coloured = name in recoloured and rng.uniform() < 0.7
    size = float(rng.uniform(0.28, largest))
    return Placed(
        name=name,
        colour=str(rng.choice(list(emoji.HUES))) if coloured else None,
        x=float(rng.uniform(size / 2 + 0.02, 0.98 - size / 2)),
        y=float(rng.uniform(max(horizon + 0.06, size + 0.04), 0.95)),
        size=size,
        flip=bool(rng.uniform() < 0.5),
    )


def _sample_lamp(rng: np.random.Generator) -> Lamp:
    side = str(rng.choice(["left", "left", "right", "right", "above"]))
    return Lamp(
        x=float(rng.uniform(*SIDES[side])),
        height=float(rng.uniform(0.5, 0.75)),
        depth=float(rng.uniform(0.1, 0.45)),
        power=float(rng.uniform(0.7, 1.0)),
        ambient=float(rng.uniform(0.34, 0.42)),
    )
