"""Cases of every task are what they claim: the answer agrees with the edit's numbers, and the measures see it and its lack."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import metrics
from benchmarks.cases import TASKS, Case, CaseError, digest, load_case, save_case
from benchmarks.colour import colour_distance, lab
from benchmarks.ground_truth import choose
from benchmarks.make_cases import make_cases
from benchmarks.pixels import put, sample
from benchmarks.runner import Job, Runner, loosened
from benchmarks.settings import Settings
from benchmarks.sheet import contact_sheet
from benchmarks.tasks import find_task, staging
from benchmarks.tracking import drag_distance
from toy_world import emoji

pytestmark = pytest.mark.skipif(not (emoji.CACHE / "package").is_dir(), reason="the emoji package is not in the cache")
NEW = ("resize", "drag", "appearance", "paste", "remove")


@functools.cache
def cases(task: str, lit: bool = True) -> list[Case]:
    return [*make_cases(task, "seen", 1, seed=21, lit=lit), *make_cases(task, "unseen", 1, seed=21, lit=lit)]


@pytest.mark.parametrize("task", NEW)
def test_a_case_comes_back_as_it_was(task: str, tmp_path: Path) -> None:
    for case in cases(task):
        again = load_case(save_case(case, tmp_path))
        assert again.edit == case.edit and digest(again) == digest(case)


@pytest.mark.parametrize("task", ["resize", "paste"])
def test_the_answer_is_the_mask_under_the_edit_s_own_transform(task: str) -> None:
    for case in cases(task):
        mask = case.mask if task == "resize" else case.needed_reference[1]
        centre, shift = staging.centroid(mask), (case.edit.dx, case.edit.dy)
        white, black = np.ones_like(case.source), np.zeros_like(case.source)
        warped = put(black, white, mask, lambda p, c=centre, s=case.edit.scale, d=shift: staging.restored(p, c, s, d))[..., 0] > 0
        assert metrics.iou(warped, case.truth_mask) > 0.95
        assert metrics.iou(mask, case.truth_mask) < 0.9


def test_what_lies_at_a_handle_lies_at_its_target_in_the_answer() -> None:
    for case in cases("drag"):
        handles, targets = (np.array([pair[end] for pair in case.edit.points]) for end in (0, 1))
        before, after = (sample(picture, points - 0.5) for picture, points in ((case.source, handles), (case.truth, targets)))
        assert np.abs(before - after).max() < 0.12
        distances = np.hypot(*(targets - handles).T) / case.side
        assert (distances >= 0.079).all() and (distances <= 0.301).all()
        assert case.mask[tuple(handles.astype(int).T[::-1])].all()


def test_drag_distance_is_zero_for_the_answer_and_the_pairs_own_without_an_edit() -> None:
    for case in cases("drag"):
        asked = np.mean([np.hypot(t[0] - h[0], t[1] - h[1]) for h, t in case.edit.points]) / case.side
        noisy = np.clip(case.truth + np.random.default_rng(0).normal(0, 0.03, case.truth.shape), 0, 1).astype(np.float32)
        assert drag_distance(case.truth, case) == 0
        assert drag_distance(noisy, case) <= 1 / case.side
        assert drag_distance(case.source, case) == pytest.approx(asked, rel=0.1)
        assert drag_distance(case.clean, case) == 1, "an object that is gone is as far off as can be"


def test_drag_distance_of_an_answer_that_is_off_by_a_known_shift() -> None:
    case = cases("drag", lit=False)[0]
    shifted = put(case.clean, case.truth, case.truth_mask, lambda p: p - (5, -4))
    assert drag_distance(shifted, case) * case.side == pytest.approx(np.hypot(5, 4), abs=0.5)


def test_light_and_shadow_are_part_of_the_answer_in_lit_cases_alone() -> None:
    for task in NEW:
        for case in cases(task):
            perfect, unedited = metrics.score(case.truth, case), metrics.score(case.source, case)
            assert not perfect.shadow_error and not perfect.light_error
            assert (perfect.light_error is None) == (task == "remove")
            if task != "appearance":  # the object keeps its place, and its shadow
                assert unedited.shadow_error > 1
    assert metrics.score(cases("drag", lit=False)[0].source, cases("drag", lit=False)[0]).shadow_error is None


def test_only_the_object_s_colours_change_in_an_appearance_case() -> None:
    for case in cases("appearance"):
        assert (case.mask == case.truth_mask).all()
        changed = np.abs(case.source - case.truth).max(axis=-1) > 0.02
        grown = metrics.dilate(case.mask, 2)
        assert changed[case.mask].mean() > 0.5 and not changed[~grown].any()
        perfect, unedited = metrics.score(case.truth, case), metrics.score(case.source, case)
        assert perfect.colour_distance is not None and perfect.colour_distance <= 0.2 and perfect.look_error == 0
        assert unedited.colour_distance == unedited.look_error == 1 and unedited.ghost is None


def test_a_paste_changes_nothing_but_the_place_it_fills() -> None:
    for case in (*cases("paste"), *cases("paste", lit=False)):
        assert (case.clean == case.source).all() and case.mask[case.truth_mask].all()
        place = case.truth_mask | case.shadow_mask if case.shadows else case.truth_mask
        assert not (np.abs(case.source - case.truth).max(axis=-1) > 0.02)[~metrics.dilate(place, 6)].any()
        assert metrics.score(case.source, case).object_iou == 0 and metrics.score(case.truth, case).object_iou > 0.9


@pytest.mark.parametrize("task", NEW)
def test_the_edit_in_pixels_comes_closer_to_the_answer_than_no_edit(task: str) -> None:
    for case in cases(task):
        output = find_task(task).copy_paste(case)
        naive, unedited = metrics.score(output, case), metrics.score(case.source, case)
        assert naive.object_psnr > unedited.object_psnr + 1
        assert (naive.drag_distance or 0) < 0.04 and (naive.colour_distance or 0) < 0.8


def test_success_of_drag_and_appearance() -> None:
    ceiling = metrics.Score(0.9, 0.01, 0.1, 20, 0.9, 30)
    drag = metrics.Score(0.1, 0.01, 0.3, 20, 0.9, 27, drag_distance=0.04)
    assert metrics.success(drag, ceiling), "for drag the distance counts, not the IoU"
    assert not metrics.success(metrics.Score(0.9, 0.01, 0.1, 20, 0.9, 30, drag_distance=0.041), ceiling)
    assert not metrics.success(metrics.Score(0.9, 0.01, 0.31, 20, 0.9, 30, drag_distance=0.0), ceiling)
    assert metrics.success(metrics.Score(0.72, 0.01, None, 20, 0.9, 27, colour_distance=0.4), ceiling)
    assert not metrics.success(metrics.Score(0.9, 0.01, None, 20, 0.9, 30, colour_distance=0.41), ceiling)
    assert not metrics.success(metrics.Score(0.71, 0.01, None, 20, 0.9, 30, colour_distance=0.1), ceiling)


def test_lab_of_known_colours() -> None:
    np.testing.assert_allclose(lab([1.0, 1.0, 1.0]), [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(lab([1.0, 0.0, 0.0]), [53.24, 80.09, 67.20], atol=0.05)
    np.testing.assert_allclose(lab([0.0, 0.0, 1.0]), [32.30, 79.19, -107.86], atol=0.05)


def test_colour_distance_is_blind_to_places_and_lightness() -> None:
    rng, everywhere = np.random.default_rng(0), np.ones((8, 8), bool)
    picture = rng.uniform(size=(8, 8, 3)).astype(np.float32)
    shuffled = rng.permutation(picture.reshape(-1, 3)).reshape(8, 8, 3)
    grey, dark = np.full_like(picture, 0.7), np.full_like(picture, 0.2)
    assert colour_distance(picture, everywhere, shuffled, everywhere) == pytest.approx(0, abs=1e-9)
    assert colour_distance(grey, everywhere, dark, everywhere) < 0.1
    red = np.zeros_like(picture)
    red[..., 0] = 1
    # The mean of |cos| over all directions is 2/π: a shift by r in the plane reads as 0.637 r.
    assert colour_distance(red, everywhere, grey, everywhere) == pytest.approx(np.hypot(80.09, 67.2) * 2 / np.pi, rel=0.01)


def test_a_reference_may_have_a_size_of_its_own_but_not_its_mask(tmp_path: Path) -> None:
    folder = save_case(cases("paste")[0], tmp_path)
    for name in ("reference", "reference_mask"):
        with Image.open(folder / f"{name}.png") as image:
            image.resize((128, 192)).save(folder / f"{name}.png")
    assert load_case(folder).needed_reference[0].shape == (192, 128, 3)
    Image.new("RGB", (64, 64)).save(folder / "reference.png")
    with pytest.raises(CaseError, match="differ in size"):
        load_case(folder)


@pytest.mark.parametrize("task", TASKS)
def test_the_contact_sheet_has_a_row_a_case_and_the_reference_beside_the_source(task: str) -> None:
    rows = cases(task)[:2]
    outputs = [{"no_edit": case.source} for case in rows]
    sheet = contact_sheet(rows, outputs, ["no_edit"])
    columns = 5 if task in ("appearance", "paste") else 4
    assert sheet.size == (columns * 196 + 4, 16 + 2 * 212 + 4)
    first = np.asarray(sheet.crop((4, 16, 196, 208))).astype(int)
    unmarked = np.asarray(sheet.crop((4 + (columns - 3) * 196, 16, 196 + (columns - 3) * 196, 208))).astype(int)
    assert np.abs(first - unmarked).max() > 100, "the edit is drawn on the source"


@pytest.mark.parametrize("task", ["resize", "paste"])
def test_loose_masks_are_given_to_methods_and_the_answer_is_judged_as_ever(task: str) -> None:
    case = cases(task)[0]
    variant = choose(["copy_paste"], [], Settings({}))[0]
    tight, loose = (next(iter(Runner(None).outcomes([Job(case, (variant,), pixels)]))) for pixels in (0, 5))
    assert loose.case is tight.case is case
    assert loose.score.object_iou < tight.score.object_iou
    own = loosened(case, 5)
    drawn, given = (each.mask if task == "resize" else each.needed_reference[1] for each in (own, case))
    assert drawn[given].all() and drawn.sum() > given.sum()
    assert (own.truth_mask == case.truth_mask).all() and digest(own) != digest(case)
