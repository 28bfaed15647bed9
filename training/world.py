"""The miniature world: rooms with one or two objects standing on the floor, rendered from layers.

The same renderer makes the training pictures and the benchmark's cases. Because a scene is a value
(:class:`Scene`), an edit of a scene is another scene, and its *true* picture is one more render.
Coordinates are fractions of the side: x to the right, y down; an object stands at (x, y), the middle of its base.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from PIL import Image

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
    """Everything a picture of the world is made from. ``light`` is the brightness slope across the picture."""

    wall: str
    pattern: str
    floor: str
    horizon: float
    light: float
    phase: float
    objects: tuple[Placed, ...]

    @property
    def caption(self) -> str:
        pattern = "" if self.pattern == "plain" else f" {self.pattern}"
        things = " and ".join(o.phrase for o in self.objects) or "nothing"
        article = "an" if self.wall[0] in "aeiou" else "a"
        return f"{things} on a {self.floor} floor with {article} {self.wall}{pattern} wall"

    def without(self, index: int) -> Scene:
        return dataclasses.replace(self, objects=self.objects[:index] + self.objects[index + 1 :])

    def replacing(self, index: int, placed: Placed) -> Scene:
        return dataclasses.replace(self, objects=self.objects[:index] + (placed,) + self.objects[index + 1 :])


def sample_scene(split: str, seed: int, objects: int | None = None) -> Scene:
    """A random scene. Splits draw from separate streams; only ``unseen`` uses identities that training never saw."""
    rng = np.random.default_rng([SPLITS[split], seed])
    names = list(emoji.UNSEEN if split == "unseen" else emoji.SEEN)
    horizon = float(rng.uniform(0.5, 0.64))
    count = objects if objects is not None else int(rng.choice([1, 1, 1, 2]))
    placed: list[Placed] = []
    for _ in range(40):
        if len(placed) == count:
            break
        candidate = _sample_object(rng, names, horizon, 0.46 if count == 1 else 0.36)
        if all(abs(candidate.x - o.x) > 0.55 * (candidate.size + o.size) for o in placed):
            placed.append(candidate)
    return Scene(
        wall=str(rng.choice(list(WALLS))),
        pattern=str(rng.choice(PATTERNS)),
        floor=str(rng.choice(list(FLOORS))),
        horizon=horizon,
        light=float(rng.uniform(-0.12, 0.12)),
        phase=float(rng.uniform()),
        objects=tuple(placed),
    )


def _sample_object(rng: np.random.Generator, names: list[str], horizon: float, largest: float) -> Placed:
    name = str(rng.choice(names))
    coloured = name in emoji.RECOLOURED and rng.uniform() < 0.7
    size = float(rng.uniform(0.28, largest))
    return Placed(
        name=name,
        colour=str(rng.choice(list(emoji.HUES))) if coloured else None,
        x=float(rng.uniform(size / 2 + 0.02, 0.98 - size / 2)),
        y=float(rng.uniform(max(horizon + 0.06, size + 0.04), 0.95)),
        size=size,
        flip=bool(rng.uniform() < 0.5),
    )


def render(scene: Scene, side: int = SIDE, only_shadow_of: int | None = None) -> np.ndarray:
    """Picture of a scene: float32 (side, side, 3) in [0, 1]. Of the object ``only_shadow_of`` the shadow alone is drawn."""
    picture = _background(scene, side)
    for index, placed in sorted(enumerate(scene.objects), key=lambda item: item[1].y):
        shade = _shadow(placed, side)[..., None]
        picture = picture * (1 - 0.5 * shade)
        if index == only_shadow_of:
            continue
        layer = _layer(placed, side)
        picture = picture * (1 - layer[..., 3:]) + layer[..., :3]
    return np.clip(picture, 0.0, 1.0).astype(np.float32)


def object_mask(placed: Placed, side: int = SIDE, shadow: bool = True) -> np.ndarray:
    """Boolean (side, side): where the object, or its contact shadow, changes the picture visibly."""
    body = _layer(placed, side)[..., 3] > 0.3
    return body | (_shadow(placed, side) > 0.25) if shadow else body


def _layer(placed: Placed, side: int) -> np.ndarray:
    """The object alone, premultiplied RGBA on an empty canvas (side, side, 4), sub-pixel placed."""
    picture = emoji.sprite(placed.name, placed.colour)
    if placed.flip:
        picture = picture[:, ::-1]
    height, width = picture.shape[:2]
    scale = placed.size * side / max(height, width)
    left = placed.x * side - width * scale / 2
    top = placed.y * side - height * scale
    bands = []
    for band in range(4):
        source = Image.fromarray(np.ascontiguousarray(picture[..., band]))
        if scale < 1:  # area-filter first, then place without aliasing
            source = source.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX)
        fx, fy = source.width / (width * scale), source.height / (height * scale)
        padded = Image.new("F", (source.width + 4, source.height + 4))
        padded.paste(source, (2, 2))
        moved = padded.transform(
            (side, side), Image.Transform.AFFINE, (fx, 0, 2 - left * fx, 0, fy, 2 - top * fy), Image.Resampling.BILINEAR
        )
        bands.append(np.asarray(moved))
    return np.clip(np.stack(bands, axis=-1), 0.0, 1.0)


def _shadow(placed: Placed, side: int) -> np.ndarray:
    """Soft contact shadow, an ellipse under the object's base: (side, side) in [0, 1]."""
    height, width = emoji.sprite(placed.name, placed.colour).shape[:2]
    rx = 0.46 * placed.size * width / max(height, width)
    ry = 0.22 * rx
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    dx = (axis - placed.x) / rx
    dy = (axis - (placed.y - 0.25 * ry)) / ry
    return np.clip(1.15 - (dx[None] ** 2 + dy[:, None] ** 2), 0.0, 1.0)


def _line(distance: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Soft line: 1 on it, 0 beyond ``width``."""
    return np.clip(1.0 - distance / width, 0.0, 1.0)


def _background(scene: Scene, side: int) -> np.ndarray:
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = axis[None, :], axis[:, None]
    picture = np.where((y < scene.horizon)[..., None], _wall(scene, x, y), _floor(scene, x, np.maximum(y, scene.horizon)))
    light = 1.0 + scene.light * (2 * x - 1) + 0.05 * (0.5 - y)
    edge = 1.0 - 0.25 * _line(np.abs(y - scene.horizon), 0.02) * (y >= scene.horizon)
    return picture * (light * edge)[..., None]


def _wall(scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = np.array(WALLS[scene.wall], dtype=np.float32)
    u, v = x + scene.phase * 0.125, y
    if scene.pattern == "striped":
        tone = 0.16 * np.clip(4 * np.sin(2 * np.pi * u * 8), -1, 1) * 0.5 - 0.08 + 0 * v
    elif scene.pattern == "dotted":
        du, dv = (u * 8) % 1 - 0.5, (v * 8) % 1 - 0.5
        tone = 0.2 * np.clip((0.26 - np.hypot(du, dv)) / 0.07, 0, 1)
    elif scene.pattern == "tiled":
        grid = np.minimum(np.abs((u * 8) % 1 - 0.5), np.abs((v * 8) % 1 - 0.5))
        tone = -0.2 * _line(grid, 0.1)
    else:
        tone = 0 * (u + v)
    return np.clip(base * (1 + tone[..., None]), 0, 1)


def _floor(scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = np.array(FLOORS[scene.floor], dtype=np.float32)
    depth = 0.25 + (y - scene.horizon)  # nearer rows are wider apart: a pinhole view of a plane
    u, v = (x - 0.5) / depth * 0.75 + scene.phase, 0.6 / depth + scene.phase
    soft = 0.035 / depth
    if scene.floor == "wood":
        tone = 0.1 * np.sin(2 * np.pi * np.floor(u * 3) * 0.37) - 0.3 * _line(np.abs((u * 3) % 1 - 0.5), soft) + 0 * v
    elif scene.floor == "stone":
        grid = np.minimum(np.abs((u * 2) % 1 - 0.5) / soft, np.abs((v * 2.5) % 1 - 0.5) / (soft * 1.6))
        tone = -0.28 * np.clip(1 - grid, 0, 1)
    elif scene.floor == "grass":
        tone = 0.1 * np.sin(2 * np.pi * (u * 4 + 0.3 * np.sin(v * 6))) * np.sin(2 * np.pi * v * 3)
    elif scene.floor == "sand":
        tone = 0.05 * np.sin(2 * np.pi * (v * 3.5 + 0.3 * np.sin(u * 5)))
    else:
        tone = 0.08 * np.sin(2 * np.pi * v * 4) + 0 * u
    return np.clip(base * (1 + tone[..., None]), 0, 1)
