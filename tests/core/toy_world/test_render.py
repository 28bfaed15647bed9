"""The renderer: light falls off, lit side and shadow follow the lamp, and scenes without a lamp are what they were."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from toy_world import emoji, render
from toy_world.scene import FLOORS, MIRROR, SIDES, Lamp, Placed, Scene, sample_scene, words

try:
    emoji.fetch()
except Exception as error:  # noqa: BLE001 - no npm, no registry: nothing to draw
    pytest.skip(f"the emoji package cannot be fetched: {error}", allow_module_level=True)

FLAT_CAPTION = "a football on a carpet floor with a white wall"
FLAT_VALUES = [0.985, 0.961, 0.936, 0.911, 0.974, 0.949, 0.924, 0.9, 0.962, 0.535, 0.913, 0.888, 0.339, 0.48, 0.322, 0.313]
LAMP = Lamp(x=0.5, height=0.6, depth=0.25, power=0.9, ambient=0.38)


def room(x: float = 0.5, lamp: Lamp | None = LAMP, floor: str = "sand", **other: object) -> Scene:
    thing = Placed("apple", None, x=x, y=0.85, size=0.3, flip=False)
    scene = Scene(wall="white", pattern="plain", floor=floor, horizon=0.55, light=0.0, phase=0.3, objects=(thing,), lamp=lamp)
    return dataclasses.replace(scene, **other)


def influence(scene: Scene, least: float = 0.03) -> npt.NDArray[np.bool_]:
    """Boolean (256, 256): where the first object changes the picture by ``least`` or more, outside itself: by shadow and reflection."""
    change = np.abs(render.render(scene) - render.render(scene.without(0))).max(axis=-1)
    return (change >= least) & ~render.object_mask(scene.objects[0], shadow=False)


def test_light_falls_off_with_the_distance_from_the_lamp() -> None:
    wall = render.render(room(objects=()))[40].mean(axis=-1)
    right = wall[128:]
    assert (np.diff(right) <= 0).all()
    assert right[-1] < 0.75 * right[0]
    np.testing.assert_allclose(wall[:128], right[::-1], atol=1e-3)  # the lamp hangs in the middle


@pytest.mark.parametrize(("x", "brighter"), [(0.2, "right"), (0.8, "left")])
def test_the_side_towards_the_lamp_is_the_lit_one(x: float, brighter: str) -> None:
    lit, flat = (render.render(room(x, lamp)).mean(axis=-1) for lamp in (LAMP, None))
    mask = render.object_mask(room(x).objects[0], shadow=False)
    columns = np.arange(256)[None] / 256
    gain = lit / np.maximum(flat, 0.05)
    left, right = gain[mask & (columns < x - 0.04)].mean(), gain[mask & (columns > x + 0.04)].mean()
    assert (right > 1.1 * left) if brighter == "right" else (left > 1.1 * right)


@pytest.mark.parametrize("x", [0.25, 0.4, 0.6, 0.75])
def test_the_shadow_falls_away_from_the_lamp(x: float) -> None:
    shadow = influence(room(x))
    middle = np.argwhere(shadow)[:, 1].mean() / 256
    assert (middle < x - 0.01) if x < LAMP.x else (middle > x + 0.01)


@pytest.mark.parametrize(("depth", "where"), [(0.05, "nearer"), (0.45, "farther")])
def test_the_shadow_falls_to_the_viewer_of_a_lamp_behind_and_to_the_wall_of_one_in_front(depth: float, where: str) -> None:
    scene = room(0.3, dataclasses.replace(LAMP, depth=depth))
    rows = np.argwhere(influence(scene))[:, 0].mean() / 256
    assert (rows > 0.85) if where == "nearer" else (rows < 0.85)


def test_what_a_shadow_takes_is_the_lamps_light_alone() -> None:
    scene = room(0.3)
    dark = render.render(scene, only_shadow_of=0)
    ambient = render.render(room(objects=(), lamp=dataclasses.replace(LAMP, power=0.0)))
    contact = render._contact_shadow(scene.objects[0], render.whole(256)) > 0
    assert (dark[~contact] >= ambient[~contact] - 1e-5).all()


def test_a_mirror_shows_the_object_and_no_other_floor_does() -> None:
    below = (slice(228, 240), slice(118, 138))  # under the apple's base
    for floor in (*FLOORS, MIRROR):
        with_it, without = (render.render(room(0.5, None, floor, objects=o))[below] for o in (room().objects, ()))
        redder = (with_it[..., 0] - with_it[..., 1]).mean() - (without[..., 0] - without[..., 1]).mean()
        assert (redder > 0.1) == (floor == MIRROR), floor


def test_no_edit_is_the_source_to_the_bit() -> None:
    for seed in range(4):
        scene = sample_scene("heldout", seed)
        again = scene.replacing(0, dataclasses.replace(scene.objects[0]))
        np.testing.assert_array_equal(render.render(again), render.render(scene))


def test_an_object_that_moves_takes_nothing_but_light_with_it() -> None:
    """Moved by whole pixels under ambient light alone it is the same to the bit: what changes in a lit room is light."""
    dim = dataclasses.replace(LAMP, power=0.0)
    here, there = (render.render(room(x, dim)) for x in (0.5, 0.5 + 32 / 256))
    mask = render.object_mask(room().objects[0], shadow=False)
    solid = mask & (render._layer(room().objects[0], render.whole(256))[..., 3] == 1)
    np.testing.assert_allclose(np.roll(there, -32, axis=1)[solid], here[solid], atol=1e-6)


def test_a_lamp_without_power_in_full_ambient_light_is_no_lamp() -> None:
    for seed in range(4):
        scene = sample_scene("heldout", seed)
        dark = dataclasses.replace(scene, lamp=Lamp(0.5, 0.6, 0.2, power=0.0, ambient=1.0))
        flat = dataclasses.replace(scene, lamp=None)
        np.testing.assert_allclose(render.render(dark), render.render(flat), atol=1e-6)


def test_flat_scenes_are_the_ones_that_older_figures_were_measured_on() -> None:
    """Values read from the renderer as it was before there were lamps."""
    scene = sample_scene("seen", 0, lit=False)
    assert scene.caption == FLAT_CAPTION
    np.testing.assert_allclose(render.render(scene)[::64, ::64].mean(axis=-1).ravel(), FLAT_VALUES, atol=2e-3)


def test_a_window_is_that_part_of_the_picture() -> None:
    for seed in range(6):
        scene = sample_scene("train", seed)
        part = render.render(scene, window=render.Window(256, 70, 90, 96, 128))
        np.testing.assert_allclose(part, render.render(scene)[90:218, 70:166], atol=1e-5)


def test_a_larger_picture_is_the_same_picture() -> None:
    scene = sample_scene("train", 3)
    large = render.render(scene, 1024).reshape(256, 4, 256, 4, 3).mean(axis=(1, 3))
    assert np.abs(large - render.render(scene)).mean() < 0.012


def test_influence_is_shadow_and_reflection_and_not_the_object() -> None:
    for floor in ("sand", MIRROR):
        scene = room(0.35, floor=floor)
        mask = influence(scene)
        assert mask.sum() > 200
        assert not (mask & render.object_mask(scene.objects[0], shadow=False)).any()
    assert not influence(room(0.35, None))[:120].any()  # without a lamp nothing falls on the wall


def test_captions_say_where_the_lamp_is() -> None:
    seen = set()
    for seed in range(60):
        scene = sample_scene("train", seed)
        assert scene.lamp is not None
        low, high = SIDES[scene.lamp.side]
        assert low <= scene.lamp.x <= high
        assert scene.caption.endswith("lit from above" if scene.lamp.side == "above" else f"lit from the {scene.lamp.side}")
        assert set(scene.caption.replace(",", " ,").split()) <= set(words())
        seen.add(scene.lamp.side)
    assert seen == set(SIDES)


def test_unseen_identities_are_never_drawn_in_training() -> None:
    assert not set(emoji.SEEN) & set(emoji.UNSEEN)
    assert len(emoji.SEEN) == 30
    assert len(emoji.UNSEEN) == 8
    for split, names in (("train", emoji.SEEN), ("heldout", emoji.SEEN), ("seen", emoji.SEEN), ("unseen", emoji.UNSEEN)):
        assert {o.name for seed in range(50) for o in sample_scene(split, seed).objects} <= set(names)
