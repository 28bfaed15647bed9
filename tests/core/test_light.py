"""Light, shadow and seams as the benchmark measures them: the truth has no error, a copy of pixels has, and more of it is more."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import light, metrics
from benchmarks.cases import Case, Edit
from benchmarks.finding import find_object

SIDE = 64


def case(**other: object) -> Case:
    """A red square that stood left in the light and stands right in the dark, with a shadow beside it in both places."""
    clean = np.full((SIDE, SIDE, 3), (0.7, 0.7, 0.6), np.float32)
    masks = np.zeros((2, SIDE, SIDE), bool)
    masks[0, 20:40, 8:24], masks[1, 20:40, 36:52] = True, True
    pictures = []
    for mask, shade, brightness in zip(masks, (slice(24, 32), slice(52, 60)), (1.0, 0.6), strict=True):
        shadow = clean.copy()
        shadow[30:40, shade] *= 0.6
        picture = shadow.copy()
        picture[mask] = np.array((0.8, 0.2, 0.2)) * brightness
        pictures += [shadow, picture]
    before, source, after, truth = pictures
    found = Case("lit", Edit("move", "", dx=28), source, truth, clean, masks[0], masks[1], shadow_before=before, shadow_after=after)
    return dataclasses.replace(found, **other)


def copied(lit: Case) -> np.ndarray:
    """The object's pixels elsewhere: its old light, its old shadow left behind, none at the new place."""
    out = lit.source.copy()
    out[lit.mask] = lit.clean[lit.mask]
    out[lit.truth_mask] = (0.8, 0.2, 0.2)
    return out


def test_the_truth_has_no_error() -> None:
    lit = case()
    assert light.light_error(lit.truth, lit) == light.shadow_error(lit.truth, lit) == light.seam(lit.truth, lit) == 0


def test_a_copy_of_pixels_has_the_wrong_light_and_the_wrong_shadows() -> None:
    lit = case()
    copy = copied(lit)
    assert 10 < light.light_error(copy, lit) < 30  # L* of the red at full and at 0.6 of its value
    assert light.shadow_error(copy, lit) > 10
    half = (copy + lit.truth) / 2
    assert light.light_error(half, lit) == pytest.approx(0.5 * light.light_error(copy, lit), rel=0.15)


def test_light_is_low_passed_inside_the_object_alone() -> None:
    lit = case()
    speckled, outside = lit.truth.copy(), lit.truth.copy()
    speckled[20:40:2, 36:52] *= 1.2
    speckled[21:40:2, 36:52] *= 0.8
    outside[~lit.truth_mask] = 0
    assert light.light_error(speckled, lit) < 1.5
    assert light.light_error(outside, lit) == 0


def test_shadows_are_looked_for_where_one_was_and_where_one_should_be() -> None:
    lit = case()
    assert lit.shadow_mask[35, 26] and lit.shadow_mask[35, 55]
    assert not (lit.shadow_mask & (lit.mask | lit.truth_mask)).any()
    old_left = lit.truth.copy()
    old_left[30:40, 24:32] *= 0.6
    no_new = lit.truth.copy()
    no_new[30:40, 52:60] = lit.clean[30:40, 52:60]
    assert light.shadow_error(old_left, lit) == pytest.approx(light.shadow_error(no_new, lit), rel=0.2)
    assert light.shadow_error(old_left, lit) > 5


def test_a_seam_is_an_edge_that_the_truth_has_not() -> None:
    lit = case()
    outlined = lit.truth.copy()
    outlined[lit.mask] *= 0.9
    stronger = lit.truth.copy()
    stronger[lit.mask] *= 0.8
    elsewhere = lit.truth.copy()
    elsewhere[60:] *= 0.8
    assert light.seam(stronger, lit) > 2 * light.seam(outlined, lit) > 0
    assert light.seam(elsewhere, lit) == 0


def test_flat_cases_have_none_of_these() -> None:
    flat = case(shadow_before=None, shadow_after=None)
    assert light.light_error(flat.source, flat) is light.shadow_error(flat.source, flat) is light.seam(flat.source, flat) is None


def test_a_shadow_is_no_object_and_an_object_in_a_shadow_is_one() -> None:
    lit = case()
    assert metrics.iou(find_object(lit.truth, lit.clean), lit.truth_mask) < 0.7
    assert metrics.iou(find_object(lit.truth, lit.clean, shadows=lit.shadows), lit.truth_mask) > 0.8
    half = 0.5 * lit.shadow_after + 0.5 * lit.clean
    assert not find_object(half, lit.clean, shadows=lit.shadows).any()


def test_success_asks_for_light_and_shadow_where_there_are_any() -> None:
    lit = case()
    copy, good = copied(lit), 0.8 * lit.truth + 0.2 * copied(lit)
    ceiling, draft = metrics.score(lit.truth, lit), metrics.score(copy, lit)
    assert metrics.success(metrics.score(good, lit), ceiling, draft)
    assert not metrics.success(draft, ceiling, draft)
    no_shadow = lit.truth.copy()
    no_shadow[lit.shadow_mask] = copy[lit.shadow_mask]
    assert not metrics.success(metrics.score(no_shadow, lit), ceiling, draft)
    assert metrics.success(draft, ceiling)  # by the rules of flat scenes
