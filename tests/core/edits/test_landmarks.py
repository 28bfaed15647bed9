"""Lists of landmarks as detectors write them, and the edit they make."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import torch

from dragon_core.diffusion.convention import AUTHORS, OURS
from dragon_core.document.poses import Landmarks, parse_landmarks
from dragon_core.edits import chain
from dragon_core.edits.landmarks import landmarks, pair_up
from dragon_core.errors import DragonError
from tensors import rand

POINTS = ((10.0, 20.0), (30.5, 40.0), (50.0, 12.0))
LISTS = {
    "lists": [[10, 20], [30.5, 40], [50, 12]],
    "objects": [{"x": 10, "y": 20}, {"x": 30.5, "y": 40, "z": 3}, {"x": 50, "y": 12}],
    "with a score": [[10, 20, 0.9], [30.5, 40, 0.8], [50, 12, 0.1]],
    "a batch": [[[10, 20], [30.5, 40], [50, 12]], [[1, 1], [2, 2], [3, 3]]],
    "a batch of objects": [[{"x": 10, "y": 20}, {"x": 30.5, "y": 40}, {"x": 50, "y": 12}]],
    "pictures, faces, points": [[[[10, 20], [30.5, 40], [50, 12]]]],
    "a pose": [
        {"people": [{"pose_keypoints_2d": [1, 2, 1], "face_keypoints_2d": [10, 20, 1, 30.5, 40, 1, 50, 12, 0.5]}], "canvas_width": 64}
    ],
}


@pytest.mark.parametrize("form", LISTS)
def test_each_form_means_the_same(form: str) -> None:
    assert parse_landmarks(LISTS[form], "source").points == POINTS
    assert parse_landmarks(json.dumps(LISTS[form]), "source").points == POINTS
    assert parse_landmarks(repr(LISTS[form]), "source").points == POINTS  # as Python prints it
    assert parse_landmarks(repr(LISTS[form]).replace("[", "(").replace("]", ",)"), "source").points == POINTS


def test_tensors_are_lists() -> None:
    assert parse_landmarks(torch.tensor([POINTS]), "source").points == POINTS


def test_what_a_detector_has_not_found_is_left_out_of_the_pairs(caplog: pytest.LogCaptureFixture) -> None:
    source = parse_landmarks([[10, 20, 0.9], [0, 0, 0], [50, 12, 0.1]], "source").points
    assert source == (POINTS[0], None, POINTS[2])
    with caplog.at_level(logging.WARNING):
        assert pair_up(source, POINTS, (64, 96)) == ((POINTS[0], POINTS[0]), (POINTS[2], POINTS[2]))
    assert "1 of 3 landmarks" in caplog.text


def test_points_outside_of_the_picture_and_repeated_ones_are_left_out() -> None:
    source = ((10.0, 20.0), (10.0, 20.0), (97.0, 3.0), (5.0, 5.0))
    target = ((11.0, 20.0), (12.0, 20.0), (90.0, 3.0), (5.0, 65.0))
    assert pair_up(source, target, (64, 96)) == ((source[0], target[0]),)


def test_shares_of_the_picture_are_told_from_pixels() -> None:
    shares = ((0.25, 0.5), (0.5, 0.75), (1.0, 0.0))
    assert Landmarks(shares).in_pixels((64, 96), "source") == ((24.0, 32.0), (48.0, 48.0), (96.0, 0.0))
    pixels = ((0.25, 0.5), (5.0, 7.5), (40.0, 0.0))
    assert Landmarks(pixels).in_pixels((64, 96), "source") == pixels
    assert Landmarks(shares[:2]).in_pixels((64, 96), "source") == shares[:2]


def faces(*faces: Any, size: tuple[int, int] = (64, 96)) -> dict[str, Any]:
    """FACE_LANDMARKS as ComfyUI's detector gives them for one picture."""
    found = [{"landmarks_xy": torch.tensor(points).numpy(), "score": 0.9, "presence": 1.0} for points in faces]
    return {"frames": [found], "image_size": size, "connection_sets": {"lips": frozenset({(0, 1)})}}


def test_the_first_of_comfyuis_faces_is_taken_in_the_size_that_it_was_found_in() -> None:
    found = parse_landmarks(faces(POINTS, POINTS[:1]), "source")
    assert found == Landmarks(POINTS, canvas=(96.0, 64.0))
    assert found.in_pixels((128, 192), "source")[0] == (20.0, 40.0)
    with pytest.raises(DragonError, match="source has no face in its first picture"):
        parse_landmarks(faces(), "source")


def face(points: list[tuple[float, float]], **more: Any) -> list[dict[str, Any]]:
    """A POSE_KEYPOINT of one face."""
    return [{"people": [{"face_keypoints_2d": [number for x, y in points for number in (x, y, 1.0)]}], **more}]


@pytest.mark.parametrize("odd", [(-1 / 512, -1 / 512), (1.02, 0.5)])
def test_one_odd_point_does_not_make_pixels_of_shares(odd: tuple[float, float]) -> None:
    """Not found, or just outside: of 70 pairs 69 used to lie within the first pixel."""
    points = [(0.3 + 0.004 * i, 0.4 + 0.002 * i) for i in range(69)]
    source = parse_landmarks(face([*points, odd], canvas_width=512, canvas_height=512), "source").in_pixels((400, 600), "source")
    assert source[0] == pytest.approx((180, 160)) and source[68] == pytest.approx((600 * 0.572, 400 * 0.536))
    assert len(pair_up(source, source, (400, 600))) == 69


def test_a_pose_of_a_picture_of_another_size_is_scaled_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    pose = parse_landmarks(face([(100, 50), (200, 50), (150, -1)], canvas_width=512, canvas_height=256), "source")
    with caplog.at_level(logging.WARNING):
        assert pose.in_pixels((512, 1024), "source") == ((200, 100), (400, 100), None)
    assert "source was found in a picture of 512×256, this one is 1024×512" in caplog.text
    caplog.clear()
    assert pose.in_pixels((256, 512), "source")[0] == (100, 50)
    assert not caplog.text


def test_the_edit_is_an_area_with_the_weights_of_faces() -> None:
    target = tuple((x + 3, y - 2) for x, y in POINTS)
    edit = landmarks(POINTS, target, (64, 96))
    assert edit.sets == (tuple(zip(POINTS, target, strict=True)),)
    assert not edit.leaves
    assert (edit.weights.edit, edit.content_weight, edit.weights.inpaint) == (12.0, 0.0, 0.0)
    mask = torch.zeros(1, 64, 96)
    mask[:, 4:60, 4:90] = 1
    torch.testing.assert_close(landmarks(POINTS, target, (64, 96), mask).regions((64, 96)).target, mask, atol=1e-3, rtol=0)


def test_by_the_authors_convention_the_start_latent_is_left_alone() -> None:
    """Nor is any other level changed, or the picture; the pack's own takes the landmarks along in all of them."""
    edit = landmarks(POINTS, tuple((x + 9, y - 8) for x, y in POINTS), (64, 96))
    latents, sigmas, noise = rand(3, 2, 4, 8, 12, seed=1), torch.tensor([9.0, 2.0, 0.0]), rand(2, 4, 8, 12, seed=2)
    picture = rand(2, 3, 64, 96, seed=3)
    for convention, same in ((AUTHORS, True), (OURS, False)):
        edits = chain.by(convention, [edit])
        path = chain.edited_path(edits, latents, sigmas, noise)
        assert [torch.equal(level, own) for level, own in zip(path, latents, strict=True)] == [same] * 3
        assert torch.equal(chain.edited_picture(edits, picture), picture) == same


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "source holds no landmarks"),
        ("[]", "source holds no landmarks"),
        ("{", r"not JSON .* write \[\[x, y\]"),
        ([[1, 2], [3]], "landmark 2 of source"),
        ([[1, "two"]], "not a number"),
        ([[1, True]], "not a number"),
        ([[1, float("nan")]], "no place in a picture"),
        ([[1, 1e9]], "no place in a picture"),
        ([[1, 10**400]], "no place in a picture"),
        ([{"x": 1}], "landmark 1 of source is an object"),
        ([{"y": 1}], "source is a pose without a face"),
        ([{"people": []}], "without a face"),
        ([{"people": [{"face_keypoints_2d": [1, 2]}]}], "x, y and score"),
        ([[1, 2]] * 1001, "more than the 1000"),
        (7, "source holds no landmarks"),
    ],
)
def test_what_is_no_list_of_landmarks_is_refused(value: Any, words: str) -> None:
    with pytest.raises(DragonError, match=words):
        parse_landmarks(value, "source")


def test_lists_must_go_together() -> None:
    with pytest.raises(DragonError, match="3 source landmarks and 2 target landmarks"):
        pair_up(POINTS, POINTS[:2], (64, 96))
    with pytest.raises(DragonError, match="none of the 3 landmarks"):
        pair_up(POINTS, (None, None, (500.0, 500.0)), (64, 96))
