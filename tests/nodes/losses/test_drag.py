"""Dragging points and landmarks in a real ComfyUI: content arrives, the rest stays, and what cannot be meant is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

#: The scene's object is 16 × 20 pixels at (12, 16) of 96 × 64.
AWAY = "[[[22, 24], [58, 34]]]"


@pytest.fixture(scope="module")
def drag(run: Any) -> Any:
    def call(scene: Any, **inputs: Any) -> Any:
        return run("DragonDragLoss", **{"points": AWAY, "mask": scene.mask, "start_latent": "swap", **inputs})[0]

    return call


def red(picture: torch.Tensor, x: int, y: int) -> float:
    """How red the 8 × 8 pixels about a point are, above green and blue."""
    patch = picture[0, y - 4 : y + 4, x - 4 : x + 4].mean((0, 1))
    return float(patch[0] - patch[1:3].mean())


def decoded(run: Any, mini: Any, latent: torch.Tensor) -> torch.Tensor:
    return run("VAEDecode", vae=mini.vae, samples={"samples": latent})[0]


@pytest.mark.parametrize("masked", [True, False], ids=["object", "round the arrow"])
def test_the_handles_content_is_at_the_target(run: Any, mini: Any, scene: Any, sample: Any, drag: Any, masked: bool) -> None:
    energy = drag(scene) if masked else drag(scene, mask=None, image=scene.image)
    before, after = decoded(run, mini, scene.latent["samples"]), decoded(run, mini, sample(scene, energy=energy, hold_object_until=0.7))
    assert red(after, 58, 34) > 0.5 * red(before, 22, 24) > red(before, 58, 34) + 0.1
    if masked:
        assert red(after, 22, 24) < 0.5 * red(before, 22, 24)


def test_points_guide(scene: Any, sample: Any, drag: Any) -> None:
    """The energy alone changes the picture, and more at the target than far from everything."""
    energy = drag(scene)
    guided, plain = (sample(scene, energy=energy, energy_scale=scale, guide_until=1.0, hold_object_until=0.5) for scale in (0.5, 0.0))
    change = (guided - plain).abs().mean((0, 1))
    assert torch.isfinite(guided).all()
    assert float(change[3:6, 6:9].mean()) > float(change[:2, 10:].mean())


def test_arrows_that_oppose_each_other_may_each_have_their_own_side(run: Any) -> None:
    """What lies between two arrows that pull apart goes with the nearer one; a fit stretches it."""
    image = torch.rand((1, 64, 96, 3), generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 64, 96)
    mask[:, 4:60, 12:84] = 1
    given = {"points": "[[[30, 32], [22, 32]], [[66, 32], [74, 32]]]", "mask": mask, "mask_means": "object"}
    errors = {}
    for interpolation in ("smooth", "nearest"):
        (draft,) = run("DragonDraft", image=image, energy=run("DragonDragLoss", **given, interpolation=interpolation)[0])
        errors[interpolation] = float((draft[:, 8:56, 12:36] - image[:, 8:56, 20:44]).abs().mean())
    assert errors["nearest"] < 0.01 < 0.1 < errors["smooth"]


def test_a_canvas_without_a_painted_object_leaves_an_empty_mask(run: Any, scene: Any, drag: Any) -> None:
    empty, none = drag(scene, mask=torch.zeros(1, 64, 96))[0], drag(scene, mask=None, image=scene.image)[0]
    for a, b in zip((empty.regions((8, 12)).target,), (none.regions((8, 12)).target,), strict=True):
        assert torch.equal(a, b)


def test_a_drag_and_a_move_go_in_one_run(scene: Any, sample: Any, drag: Any, move: Any) -> None:
    chain = drag(scene, energy=move(scene, mask=scene.mask.roll(32, 1), dx=0, dy=-8))
    assert len(chain) == 2
    assert torch.isfinite(sample(scene, energy=chain)).all()


def test_landmarks_go_where_the_other_list_has_them(run: Any, mini: Any, scene: Any, sample: Any) -> None:
    source = [[14, 18], [30, 18], [14, 30], [30, 30], [22, 24]]
    target = [[x + 14, y + 8] for x, y in source]
    (energy,) = run("DragonLandmarksLoss", source=json.dumps(source), target=json.dumps(target), image=scene.image)
    after = decoded(run, mini, sample(scene, energy=energy, hold_object_until=0.7))
    before = decoded(run, mini, scene.latent["samples"])
    assert red(after, 36, 32) > 0.5 * red(before, 22, 24)


def test_landmarks_may_come_from_comfyuis_own_detector(run: Any, scene: Any) -> None:
    def found(by: float) -> Any:
        points = torch.tensor([[20.0 + by, 30.0], [40.0 + by, 30.0], [60.0 + by, 30.0]]).numpy()
        return {"frames": [[{"landmarks_xy": points}]], "image_size": (64, 96), "connection_sets": {}}

    (energy,) = run("DragonLandmarksLoss", source=found(0), target=found(5), image=scene.image)
    assert [tuple(t[0] - h[0] for h, t in edit.sets[0]) for edit in energy] == [(5.0, 5.0, 5.0)]


def test_landmarks_may_come_from_a_pose(run: Any, scene: Any) -> None:
    def pose(by: int) -> Any:
        return [{"people": [{"face_keypoints_2d": [v for x in (20, 40, 60) for v in (x + by, 30, 1.0)]}], "canvas_width": 96}]

    (energy,) = run("DragonLandmarksLoss", source=pose(0), target=pose(5), image=scene.image)
    assert [tuple(t[0] - h[0] for h, t in edit.sets[0]) for edit in energy] == [(5.0, 5.0, 5.0)]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"points": ""}, ("no points",)),
        ({"points": "[[1, 2"}, ("not JSON",)),
        ({"points": "[[[22, 24], [NaN, 3]]]"}, ("NaN",)),
        ({"points": "[[[22, 24], [22, 24]]]"}, ("nothing would move", "arrow")),
        ({"points": "[[[22, 24], [200, 24]]]"}, ("outside of the picture of 96×64",)),
        ({"points": json.dumps([[[1, 1], [2, 2]]] * 1001)}, ("1001 pairs",)),
        ({"mask": None}, ("connect image",)),
        ({"image": torch.zeros(1, 96, 64, 3)}, ("mask is 96×64", "image is 64×96")),
        ({"mask_means": "area"}, ("target of pair 1", "off the mask")),
        ({"mask": torch.ones(1, 64, 96)}, ("covers the whole picture",)),
    ],
)
def test_what_cannot_be_dragged_is_refused(scene: Any, drag: Any, refused: Any, inputs: dict[str, Any], words: tuple[str, ...]) -> None:
    with refused("DragonDragLoss", *words):
        drag(scene, **inputs)


def test_landmarks_that_do_not_go_together_are_refused(run: Any, scene: Any, refused: Any) -> None:
    with refused("DragonLandmarksLoss", "2 source landmarks and 1 target"):
        run("DragonLandmarksLoss", source="[[1, 2], [3, 4]]", target="[[1, 2]]", image=scene.image)
