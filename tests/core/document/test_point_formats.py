"""Points in three forms, and everything that is none of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragon_core.document.point_formats import MAX_PAIRS, format_points, parse_points
from dragon_core.errors import DragonError

PAIRS = (((10.0, 20.0), (30.5, 40.0)), ((1.0, 2.0), (-3.0, 4.0)))
FORMS = {
    "pairs": [[[10, 20], [30.5, 40]], [[1, 2], [-3, 4]]],
    "flat": [[10, 20], [30.5, 40], [1, 2], [-3, 4]],
    "splines": [[{"x": 10, "y": 20}, {"x": 99, "y": 0}, {"x": 30.5, "y": 40}], [{"x": 1, "y": 2}, {"x": -3, "y": 4}]],
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_means_the_same(form: str) -> None:
    assert parse_points(FORMS[form]) == PAIRS
    assert parse_points(json.dumps(FORMS[form])) == PAIRS


def test_tuples_are_lists() -> None:
    assert parse_points(PAIRS) == PAIRS


def test_one_spline_alone() -> None:
    assert parse_points('[{"x": 1, "y": 2}, {"x": 5, "y": 5}, {"x": 3, "y": 4}]') == (((1, 2), (3, 4)),)


def test_one_flat_pair_and_one_pair() -> None:
    assert parse_points("[[1, 2], [3, 4]]") == parse_points("[[[1, 2], [3, 4]]]") == (((1, 2), (3, 4)),)


def test_a_pin_is_kept() -> None:
    assert parse_points("[[[5, 5], [5, 5]]]") == (((5, 5), (5, 5)),)


@pytest.mark.parametrize("nothing", ["", "  \n", "[]", [], (), None, "null"])
def test_nothing_is_no_points(nothing: Any) -> None:
    assert parse_points(nothing) == ()


def test_written_points_are_read_back() -> None:
    assert parse_points(format_points(PAIRS)) == PAIRS
    assert format_points([((0.123456, 1), (2, 3))]) == "[[[0.12, 1.0], [2.0, 3.0]]]"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("{", "not JSON"),
        ("../../etc/passwd", "not JSON.*etc"),
        ("[" * 100_000, "nested too deeply"),
        ("[[" * 300 + "]]" * 300, "handle and a target"),
        (" " * 4_000_001 + "1", "characters long"),
        ('{"points": []}', "an object, not a list"),
        ("7", "a number, not a list"),
        ([[1, 2], [3, 4], [5, 6]], "3 points, an odd number"),
        ([[[1, 2]]], "entry 1 of the points has 1 entries"),
        ([[[1, 2], [3, 4], [5, 6]]], "entry 1 of the points has 3 entries"),
        ([[[1, 2], [3, 4]], [5, 6]], "the handle of pair 2 is a number"),
        ([[[1, 2], [3, 4]], 5], "entry 2 of the points is a number"),
        ([[[1, 2], [3, [4]]]], "not a number"),
        ([[1, 2], [3, "4"]], "coordinate '4', which is not a number"),
        ([[1, 2], [3, True]], "coordinate True, which is not a number"),
        ([[1, 2], [3, None]], "coordinate empty, which is not a number"),
        ("[[1, 2], [3, NaN]]", "no place in a picture"),
        ("[[1, 2], [3, 1e999]]", "no place in a picture"),
        ([[1, 2], [3, 10**400]], "no place in a picture"),
        ([[{"x": 1}, {"x": 1, "y": 2}]], 'has no "x" and "y"'),
        ([{"x": 1, "y": 2}], "only one point"),
        ([[[0, 0], [1, 1]]] * (MAX_PAIRS + 1), "more than the 1000"),
        ([[0, 0]] * 100_000, "50000 pairs"),
    ],
)
def test_what_is_no_list_of_points_is_refused(value: Any, complaint: str) -> None:
    with pytest.raises(DragonError, match=complaint):
        parse_points(value)


def test_messages_stay_short() -> None:
    with pytest.raises(DragonError) as caught:
        parse_points([[1, 2], [3, "x" * 100_000]])
    assert len(str(caught.value)) < 300
