"""Draws a :class:`~toy_world.scene.Scene` from layers: wall and floor, shadows, reflections, objects.

Light. A lamp's light at a point is power / (1 + d²/REACH), d the distance to it with heights and depths foreshortened; ambient light is
added. Wall and floor take it as it is, an object by its normals, which come from its silhouette blown up to a dome. An object takes the
lamp's part of the light from the floor and wall behind it (cast shadow) and a share of all light from under itself (contact shadow).
A scene without a lamp is drawn flat: light 1 everywhere, contact shadows only.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from . import emoji
from .scene import LIT_FLOORS, MIRROR, SIDE, WALLS, Lamp, Placed, Scene

Array = npt.NDArray[np.float32]

REACH = 0.11
"""Squared distance at which a lamp's light has halved."""
HEIGHTS, DEPTHS = 0.5, 0.5
"""How much a difference of height or depth counts as distance, beside one of x."""
WARM = np.array([1.05, 1.0, 0.93], np.float32)
COOL = np.array([0.95, 1.0, 1.06], np.float32)
"""Colours of the lamp's light and of ambient light where there is little of it."""
UMBRA = 0.85
"""Share of the lamp's light that a cast shadow takes."""
BLUR = 0.012
"""Spread of a cast shadow's edge, of the side."""
CONTACT = 0.5
MIRRORED = 0.4
"""Share of the light that a mirroring floor reflects right under an object."""


@dataclass(frozen=True)
class Window:
    """The pixels to draw of a picture ``side`` pixels large: columns from ``left``, rows from ``top``."""

    side: int
    left: int
    top: int
    width: int
    height: int

    @property
    def x(self) -> Array:
        """(1, width), fractions of the side."""
        return _middles(self.left, self.width, self.side)[None]

    @property
    def y(self) -> Array:
        """(height, 1), fractions of the side."""
        return _middles(self.top, self.height, self.side)[:, None]


def _middles(first: int, count: int, side: int) -> Array:
    """Where pixels' middles are, as fractions of the side."""
    return ((np.arange(count) + 0.5 + first) / side).astype(np.float32)


def whole(side: int) -> Window:
    return Window(side, 0, 0, side, side)


def render(scene: Scene, side: int = SIDE, only_shadow_of: int | None = None, window: Window | None = None) -> Array:
    """Picture of a scene: float32 (side, side, 3) in [0, 1], or the part of it in ``window``.

    Of the object ``only_shadow_of`` the contact shadow alone is drawn in a flat scene; with a lamp all but the object itself, that is
    its cast shadow and its reflection, too.
    """
    view = window or whole(side)
    order = sorted(enumerate(scene.objects), key=lambda item: item[1].y)
    picture = _surfaces(scene, view)
    if scene.lamp is not None:
        picture = picture * _room_light(scene, view)
    if scene.floor == MIRROR:
        picture = _mirrored(scene, picture, view)
    for index, placed in order:
        picture = picture * (1 - CONTACT * _contact_shadow(placed, view)[..., None])
        if index == only_shadow_of:
            continue
        layer = _lit_layer(scene, placed, view)
        picture = picture * (1 - layer[..., 3:]) + layer[..., :3]
    return np.clip(picture, 0.0, 1.0).astype(np.float32)


def to_bytes(picture: Array) -> npt.NDArray[np.uint8]:
    """A picture in [0, 1] as the 256 values of a file."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def object_mask(placed: Placed, side: int = SIDE, shadow: bool = True) -> npt.NDArray[np.bool_]:
    """Boolean (side, side): where the object changes the picture visibly, with its contact shadow or without any."""
    view = whole(side)
    body: npt.NDArray[np.bool_] = _layer(placed, view)[..., 3] > 0.3
    return body | (_contact_shadow(placed, view) > 0.25) if shadow else body


# ----- light -------------------------------------------------------------------------------------------------------


def lamp_light(lamp: Lamp, x: Array | float, height: Array | float, depth: Array | float) -> Array:
    """The lamp's light at points, without ambient light and regardless of normals."""
    d2 = (x - lamp.x) ** 2 + (HEIGHTS * (height - lamp.height)) ** 2 + (DEPTHS * (depth - lamp.depth)) ** 2
    return np.asarray(lamp.power / (1 + d2 / REACH), np.float32)


def _room_light(scene: Scene, view: Window) -> Array:
    """Light on wall and floor, (height, width, 3): ambient, and the lamp's where no object is in its way."""
    lamp = scene.lamp
    assert lamp is not None  # noqa: S101 - for the type checker
    height = np.maximum(scene.horizon - view.y, 0)
    depth = np.maximum(view.y - scene.horizon, 0)
    open_to_lamp = np.ones((view.height, view.width), np.float32)
    for placed in scene.objects:
        open_to_lamp = open_to_lamp * (1 - UMBRA * _cast_shadow(scene, placed, view))
    direct = lamp_light(lamp, view.x, height, depth) * open_to_lamp
    return _ambient(lamp) + direct[..., None] * WARM


def _ambient(lamp: Lamp) -> Array:
    """Ambient light, (3,): the cooler the less of it, so that in full it is a flat scene's."""
    light: Array = np.float32(lamp.ambient) * (1 + (COOL - 1) * np.float32(1 - lamp.ambient))
    return light


def _lit_layer(scene: Scene, placed: Placed, view: Window, upside_down: bool = False) -> Array:
    """The object alone as the lamp shows it, premultiplied RGBA (height, width, 4)."""
    layer = _layer(placed, view, upside_down)
    lamp = scene.lamp
    if lamp is None:
        return layer
    above = (view.y - placed.y) if upside_down else (placed.y - view.y)
    depth = placed.y - scene.horizon
    nx, nh = _normals(placed, view, upside_down)
    nz = np.sqrt(np.maximum(1 - nx**2 - nh**2, 0.0))
    nearer = np.float32(DEPTHS * (lamp.depth - depth) + 0.1)
    to_lamp = np.stack(np.broadcast_arrays(lamp.x - view.x, HEIGHTS * (lamp.height - above), nearer))
    to_lamp = to_lamp / np.linalg.norm(to_lamp, axis=0, keepdims=True)
    facing = np.clip(nx * to_lamp[0] + nh * to_lamp[1] + nz * to_lamp[2], -1, 1)
    diffuse = np.clip(0.15 + 1.3 * facing, 0.0, None)
    direct = lamp_light(lamp, view.x, above, depth) * diffuse
    light = _ambient(lamp) + direct[..., None] * WARM
    return np.concatenate([np.minimum(layer[..., :3] * light, layer[..., 3:]), layer[..., 3:]], axis=-1)


def _cast_shadow(scene: Scene, placed: Placed, view: Window) -> Array:
    """Where the object is between lamp and floor or wall, soft, (height, width) in [0, 1].

    The silhouette is sheared along the floor, away from the lamp; what would lie behind the wall stands on it instead.
    """
    lamp = scene.lamp
    assert lamp is not None  # noqa: S101
    across = float(np.clip(2.0 * (placed.x - lamp.x), -1.2, 1.2))
    away = float(np.clip(1.5 * (placed.y - scene.horizon - lamp.depth), -0.5, 0.4))
    down = away if abs(away) > 0.2 else (-0.2 if away <= 0 else 0.2)  # a shadow has a width on the floor
    blur = BLUR * view.side
    spare = int(np.ceil(2 * BLUR * view.side)) + 1  # what is blurred into the view from outside of it
    inner = (slice(spare, -spare), slice(spare, -spare))
    view = Window(view.side, view.left - spare, view.top - spare, view.width + 2 * spare, view.height + 2 * spare)
    on_floor = _silhouette(placed, view, across, down)
    if down >= 0:
        shadow = np.where(view.y >= scene.horizon, on_floor, 0)
    else:
        reached = (scene.horizon - placed.y) / down  # height whose shadow lies where floor and wall meet
        on_wall = _silhouette(placed, view, 0.35 * across, -1.0, (placed.x + 0.65 * across * reached, scene.horizon + reached))
        shadow = np.where(view.y >= scene.horizon, on_floor, on_wall)
    soft: Array = ndimage.gaussian_filter(shadow.astype(np.float32), blur, mode="nearest", truncate=2.0)[inner]
    return soft


def _contact_shadow(placed: Placed, view: Window) -> Array:
    """Soft contact shadow, an ellipse under the object's base: (height, width) in [0, 1]."""
    height, width = emoji.sprite(placed.name, placed.colour).shape[:2]
    rx = 0.46 * placed.size * width / max(height, width)
    ry = 0.22 * rx
    dx = (view.x - placed.x) / rx
    dy = (view.y - (placed.y - 0.25 * ry)) / ry
    return np.clip(1.15 - (dx**2 + dy**2), 0.0, 1.0)


def _mirrored(scene: Scene, picture: Array, view: Window) -> Array:
    """The picture with objects upside down in its floor, fainter the higher they are."""
    for placed in sorted(scene.objects, key=lambda o: o.y):
        layer = _lit_layer(scene, placed, view, upside_down=True)
        strength = MIRRORED * np.clip(1 - (view.y - placed.y) / 0.5, 0, 1) * (view.y >= scene.horizon)
        picture = picture * (1 - layer[..., 3:] * strength[..., None]) + layer[..., :3] * strength[..., None]
    return picture


# ----- sprites -----------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _dome(name: str) -> Array:
    """Normals (H, W, 2: right, up) of an identity's silhouette blown up to a dome."""
    alpha = emoji.sprite(name)[..., 3]
    padded = np.pad(alpha, 8)
    inside = ndimage.distance_transform_edt(padded > 0.5)
    rim = 0.55 * float(inside.max())
    height = rim * np.sqrt(np.clip(1 - (1 - np.clip(inside / rim, 0, 1)) ** 2, 0, 1))
    height = ndimage.gaussian_filter(height, 0.12 * rim + 1)
    slope_y, slope_x = np.gradient(height)
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    normals = np.stack([-slope_x / length, slope_y / length], axis=-1)
    return normals[8:-8, 8:-8].astype(np.float32)


def _layer(placed: Placed, view: Window, upside_down: bool = False) -> Array:
    """The object alone, premultiplied RGBA (height, width, 4), sub-pixel placed."""
    picture = emoji.sprite(placed.name, placed.colour)
    bands = _placed_bands(picture, placed, view, upside_down)
    return np.clip(bands, 0.0, 1.0)


def _normals(placed: Placed, view: Window, upside_down: bool) -> tuple[Array, Array]:
    """The object's normals to the right and up, each (height, width)."""
    bands = _placed_bands(_dome(placed.name), placed, view, upside_down)
    return (-bands[..., 0] if placed.flip else bands[..., 0]), bands[..., 1]


def _placed_bands(picture: Array, placed: Placed, view: Window, upside_down: bool) -> Array:
    if placed.flip:
        picture = picture[:, ::-1]
    height, width = picture.shape[:2]
    scale = placed.size * view.side / max(height, width)
    left = placed.x * view.side - width * scale / 2 - view.left
    top = placed.y * view.side - height * scale - view.top
    bands = []
    for band in range(picture.shape[-1]):
        source = Image.fromarray(np.ascontiguousarray(picture[..., band]))
        if scale < 1:  # area-filter first, then place without aliasing
            source = source.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX)
        fx, fy = source.width / (width * scale), source.height / (height * scale)
        padded = Image.new("F", (source.width + 4, source.height + 4))
        padded.paste(source, (2, 2))
        # Upside down, row base + h shows what is h above the base.
        vertical = (0, -fy, 2 + source.height + (top + height * scale) * fy) if upside_down else (0, fy, 2 - top * fy)
        moved = padded.transform(
            (view.width, view.height), Image.Transform.AFFINE, (fx, 0, 2 - left * fx, *vertical), Image.Resampling.BILINEAR
        )
        bands.append(np.asarray(moved))
    return np.stack(bands, axis=-1)


def _silhouette(
    placed: Placed, view: Window, across: float, down: float, base: tuple[float, float] | None = None
) -> Array:
    """The object's alpha sheared: a point h above the base comes to base + (its x − the object's + across · h, down · h)."""
    alpha = emoji.sprite(placed.name, placed.colour)[..., 3]
    if placed.flip:
        alpha = alpha[:, ::-1]
    height, width = alpha.shape
    scale = placed.size / max(height, width)  # of the side, a sprite's pixel
    x0, y0 = base or (placed.x, placed.y)
    # Output pixel (i, j) → h = (y − y0) / down, x' = x − x0 − across · h; sprite column width/2 + x'/scale, row height − h/scale.
    i, j = 1 / view.side / scale, 1 / view.side / scale / down
    x_start, y_start = (view.left / view.side - x0) / scale, (view.top / view.side - y0) / scale / down
    padded = Image.new("F", (width + 4, height + 4))
    padded.paste(Image.fromarray(np.ascontiguousarray(alpha)), (2, 2))
    moved = padded.transform(
        (view.width, view.height),
        Image.Transform.AFFINE,
        (i, -across * j, 2 + width / 2 + x_start - across * y_start, 0, -j, 2 + height - y_start),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(moved)


# ----- surfaces ----------------------------------------------------------------------------------------------------


def _line(distance: Array, width: Array | float) -> Array:
    """Soft line: 1 on it, 0 beyond ``width``."""
    return np.clip(1.0 - distance / width, 0.0, 1.0)


def _surfaces(scene: Scene, view: Window) -> Array:
    """Wall and floor in full ambient light."""
    x, y = view.x, view.y
    picture = np.where((y < scene.horizon)[..., None], _wall(scene, x, y), _floor(scene, x, np.maximum(y, scene.horizon)))
    light = 1.0 + scene.light * (2 * x - 1) + 0.05 * (0.5 - y)
    edge = 1.0 - 0.25 * _line(np.abs(y - scene.horizon), 0.02) * (y >= scene.horizon)
    return picture * (light * edge)[..., None]


def _wall(scene: Scene, x: Array, y: Array) -> Array:
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


def _floor(scene: Scene, x: Array, y: Array) -> Array:
    base = np.array(LIT_FLOORS[scene.floor], dtype=np.float32)
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
    elif scene.floor == MIRROR:
        tone = 0.05 * np.sin(2 * np.pi * (u * 1.5 + v + 0.4 * np.sin(2 * np.pi * (v * 0.7 - u * 0.5))))
    else:
        tone = 0.08 * np.sin(2 * np.pi * v * 4) + 0 * u
    return np.clip(base * (1 + tone[..., None]), 0, 1)
