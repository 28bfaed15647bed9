"""The metrics, worked out here by plain loops and by hand on tiny pictures; and the bookkeeping around them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import metrics
from benchmarks.box import box_mean, dilate
from benchmarks.cases import Case, Edit, Picture
from benchmarks.results import Results, Row, interval, load_results, markdown

RNG = np.random.default_rng(3)


def picture(side: int = 12) -> Picture:
    return RNG.uniform(size=(side, side, 3)).astype(np.float32)


def moved_square(output_value: float = 1.0, side: int = 64) -> tuple[Case, Picture]:
    """A white 16-px square on black moves 24 px right; the output has it at the target, at some brightness, and a ghost of ½."""
    source, truth = (np.zeros((side, side, 3), np.float32) for _ in range(2))
    mask, truth_mask = (np.zeros((side, side), bool) for _ in range(2))
    mask[24:40, 8:24] = truth_mask[24:40, 32:48] = True
    source[mask], truth[truth_mask] = 1, 1
    case = Case("square", Edit("move", "a square", dx=24), source, truth, np.zeros_like(source), mask, truth_mask)
    output = np.zeros_like(source)
    output[truth_mask], output[mask] = output_value, 0.5
    return case, output


def test_box_mean_is_the_mean_of_the_window_with_repeated_edges() -> None:
    values = RNG.uniform(size=(5, 6))
    for y in range(5):
        for x in range(6):
            window = [values[min(4, max(0, y + j)), min(5, max(0, x + i))] for j in (-1, 0, 1) for i in (-1, 0, 1)]
            assert box_mean(values, 1)[y, x] == pytest.approx(sum(window) / 9)


def test_dilate_grows_by_a_square() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    expected = np.zeros((9, 9), bool)
    expected[2:7, 2:7] = True
    assert (dilate(mask, 2) == expected).all()


def test_iou_by_counting() -> None:
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    first[0, :3], second[0, 1:] = True, True
    assert metrics.iou(first, second) == 2 / 4
    assert metrics.iou(np.zeros((4, 4), bool), np.zeros((4, 4), bool)) == 1


def test_centroid_distance() -> None:
    first, second = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    first[0, 0], second[3, 4] = True, True
    assert metrics.centroid_distance(first, second) == 5
    assert metrics.centroid_distance(np.zeros((8, 8), bool), second) == 8, "nothing found is as far off as can be"


def test_psnr_over_the_region_alone() -> None:
    truth, where = np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), bool)
    output = np.full_like(truth, 0.9)
    output[1, 1], where[1, 1] = 0.1, True
    assert metrics.psnr(output, truth, where) == pytest.approx(20.0, abs=1e-4)
    assert metrics.psnr(truth, truth, where) == metrics.BEST_PSNR


def test_ssim_against_loops() -> None:
    first, second = picture(), picture()
    for y, x, channel in ((3, 3, 0), (5, 8, 1), (8, 4, 2)):
        a = [float(first[y + j, x + i, channel]) for j in range(-3, 4) for i in range(-3, 4)]
        b = [float(second[y + j, x + i, channel]) for j in range(-3, 4) for i in range(-3, 4)]
        ma, mb = sum(a) / 49, sum(b) / 49
        va, vb = sum((v - ma) ** 2 for v in a) / 49, sum((v - mb) ** 2 for v in b) / 49
        cov = sum((v - ma) * (w - mb) for v, w in zip(a, b, strict=True)) / 49
        expected = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
        assert metrics.ssim_map(first, second)[y, x, channel] == pytest.approx(expected, abs=1e-6)
    assert metrics.ssim(first, first, np.ones((12, 12), bool)) == pytest.approx(1)


def test_score_of_a_ghost() -> None:
    case, output = moved_square()
    result = metrics.score(output, case)
    assert result.ghost == pytest.approx(0.5)
    assert result.object_psnr == result.background_psnr == metrics.BEST_PSNR
    # Box radius max(1, 64/128) = 1: one pixel out of an edge the mean is 1/3, at a corner 1/9 of the step: above 0.06
    # for the object (step 1), but for the ghost (step ½) not at its corners (1/18).
    square, ghost = 18 * 18, 18 * 18 - 4
    assert result.object_iou == pytest.approx(16 * 16 / (square + ghost))
    centre, target = (8 + 23) / 2, (32 + 47) / 2
    assert result.centroid_error == pytest.approx((target - (square * target + ghost * centre) / (square + ghost)) / 64)


def test_score_of_no_edit_and_of_the_truth() -> None:
    case, _ = moved_square()
    unedited, perfect = metrics.score(case.source, case), metrics.score(case.truth, case)
    assert unedited.ghost == 1 and unedited.object_iou == 0
    assert perfect.ghost == 0 and perfect.object_iou == pytest.approx(16**2 / 18**2) and perfect.centroid_error < 1e-9


def test_success_needs_all_three() -> None:
    ceiling = metrics.Score(0.9, 0.01, 0.1, 20, 0.9, 30)
    assert metrics.success(metrics.Score(0.72, 0.01, 0.3, 20, 0.9, 27), ceiling)
    assert not metrics.success(metrics.Score(0.71, 0.01, 0.3, 20, 0.9, 27), ceiling)
    assert not metrics.success(metrics.Score(0.72, 0.01, 0.31, 20, 0.9, 27), ceiling)
    assert not metrics.success(metrics.Score(0.72, 0.01, 0.3, 20, 0.9, 26.9), ceiling)


def test_a_broken_output_is_refused() -> None:
    case, output = moved_square()
    output[0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="finite"):
        metrics.score(output, case)
    with pytest.raises(ValueError, match="resize"):
        metrics.score(output[:32], case)


def test_interval_is_the_median_and_holds_it() -> None:
    found = interval([3.0, 1.0, None, 2.0, 10.0], share=False)
    assert (found.value, found.count) == (2.5, 4)
    assert 1 <= found.low <= 2.5 <= found.high <= 10
    assert interval([True, False, True, True], share=True).value == 0.75


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    case, output = moved_square()
    results = Results(about={"device": "test"})
    cost = {"seconds": 1.5, "row_forwards": 10, "row_backwards": 2, "peak_memory_mb": None}
    results.add(Row("square", "ceiling", "abc", metrics.score(case.truth, case), cost))
    results.add(Row("square", "dragon", "abc", metrics.score(output, case), cost))
    results.save(tmp_path / "r.json", ["ceiling", "dragon"])
    again = load_results(tmp_path / "r.json")
    assert again.has("square", "dragon", "abc") and not again.has("square", "dragon", "other settings")
    summary = again.summary(["ceiling", "dragon"])
    assert summary["ceiling"]["success"].value == 1 and summary["dragon"]["success"].value == 0
    assert "| dragon | 1 | 0%" in markdown(summary)
