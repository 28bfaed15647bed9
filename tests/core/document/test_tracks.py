"""Tracks in both forms say the same, and what is none is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from dragon_core.document.tracks import parse_tracks
from dragon_core.errors import DragonError

PATH = torch.tensor([[[4.0, 8.0], [20.0, 8.0]], [[6.0, 8.5], [22.0, 9.0]], [[8.0, 9.0], [24.0, 10.0]]])
SPLINES = [[{"x": x, "y": y} for x, y in track] for track in PATH.movedim(1, 0).tolist()]


@pytest.mark.parametrize("given", [SPLINES, json.dumps(SPLINES), {"track_path": PATH}, {"track_path": PATH.half()}], ids=str)
def test_both_forms_say_the_same(given: Any) -> None:
    path, seen = parse_tracks(given)
    assert path.dtype == torch.float64 and torch.equal(path, PATH.double())
    assert seen.shape == (3, 2) and bool(seen.all())


def test_one_spline_alone() -> None:
    path, seen = parse_tracks(json.dumps(SPLINES[1]))
    assert torch.equal(path, PATH[:, 1:].double()) and seen.shape == (3, 1)


@pytest.mark.parametrize("points", [1, 2])
def test_a_track_that_is_hidden_in_a_frame(points: int) -> None:
    """Said for each point, or for all of a frame."""
    visible = torch.tensor([[1, 1], [1, 0], [0, 0]])[:, :points]
    _, seen = parse_tracks({"track_path": PATH, "track_visibility": visible})
    assert torch.equal(seen, (visible > 0).expand(3, 2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "there is no track"),
        ([], "there is no track"),
        ("[[1, 2]", "not JSON"),
        ([[]], "track 1 is no list of points"),
        ([5, 6], "track 1 is no list of points"),
        ([SPLINES[0], SPLINES[1][:2]], "track 2 has 2 points and track 1 3"),
        ([[{"x": 1}]], "point 1 of track 1"),
        ([[{"x": 1, "y": float("nan")}]], "point 1 of track 1"),
        ({"path": PATH}, "track_path"),
        ({"track_path": PATH[0]}, "have shape"),
        ({"track_path": PATH[:0]}, "have shape"),
        ({"track_path": PATH / 0}, "no place in a picture"),
        ({"track_path": PATH, "track_visibility": torch.ones(2, 2)}, "track_visibility"),
    ],
    ids=str,
)
def test_what_is_no_track(given: Any, said: str) -> None:
    with pytest.raises(DragonError, match=said):
        parse_tracks(given)
