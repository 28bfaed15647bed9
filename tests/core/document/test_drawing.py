"""The document of DragonCanvas: what it means in pixels, what survives, and what a hostile one gets for an answer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from dragon_core.document.drawing import MAX_OBJECTS, DrawnObject, decode_runs, encode_runs, read_drawing
from dragon_core.errors import DragonError

PICTURE = (512, 768)  # height, width


def document(**changes: Any) -> dict[str, Any]:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    thing = {"mask": {"size": [6, 4], "runs": encode_runs(mask)}, "move": [0.125, -0.25], "scale": [2, 0.5], "rotation": 30}
    return {"version": 1, "size": [768, 512], "arrows": [[0.25, 0.5, 0.5, 0.75]], "objects": [thing], **changes}


def test_fractions_become_pixels_of_any_size() -> None:
    drawing = read_drawing(json.dumps(document()), PICTURE)
    assert drawing.points(PICTURE) == (((192, 256), (384, 384)),)
    assert drawing.points((256, 384)) == (((96, 128), (192, 192)),)
    thing = drawing.object(1)
    assert thing.shift(PICTURE) == (96, -128)
    assert (thing.scale, thing.rotation) == ((2, 0.5), 30)
    assert drawing.warnings(PICTURE) == ()


def test_a_mask_on_its_own_grid_is_exact_and_on_a_finer_one_keeps_its_area() -> None:
    thing = read_drawing(document(), PICTURE).object(1)
    assert torch.equal(thing.region((4, 6))[0, 1:3, 2:5], torch.ones(2, 3))
    assert thing.region((4, 6)).sum() == 6
    fine = thing.region(PICTURE)
    assert fine.shape == (1, *PICTURE)
    assert set(fine.unique().tolist()) == {0.0, 1.0}
    assert fine.mean() == pytest.approx(6 / 24, rel=0.07)  # corners are rounded: cells are a hundred pixels here
    ys, xs = torch.nonzero(fine[0], as_tuple=True)
    assert (float(xs.float().mean()) + 0.5) / 768 == pytest.approx(3.5 / 6, abs=1e-3)
    assert (float(ys.float().mean()) + 0.5) / 512 == pytest.approx(2 / 4, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_runs_by_hand_and_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, columns = random.integers(1, 40, 2)
    mask = random.random((rows, columns)) < (0.02, 0.5, 0.98, 0.0, 1.0)[seed]
    lengths, value = [0], False
    for cell in mask.ravel():
        if bool(cell) != value:
            lengths.append(0)
            value = bool(cell)
        lengths[-1] += 1
    runs = encode_runs(mask)
    assert [int(word, 36) for word in runs.split(" ")] == lengths
    assert np.array_equal(decode_runs(runs, (int(columns), int(rows))), mask)


def test_a_painted_object_takes_a_few_kilobytes() -> None:
    """An ellipse a third of a picture of the editor's largest grid wide."""
    y, x = np.mgrid[:512, :512]
    mask = ((x - 250) / 90) ** 2 + ((y - 260) / 120) ** 2 < 1
    assert len(encode_runs(mask)) < 2500


@pytest.mark.parametrize("empty", ["", " ", "null", "[]", None, {"version": 1}, '{"version": 1, "objects": [{}]}'])
def test_nothing_drawn(empty: Any) -> None:
    drawing = read_drawing(empty, PICTURE)
    assert drawing.points(PICTURE) == ()
    assert drawing.object(1).region(PICTURE).sum() == 0
    assert drawing.object(1).shift(PICTURE) == (0, 0)
    with pytest.raises(DragonError, match="object 2 is not on the canvas"):
        drawing.object(2)


@pytest.mark.parametrize("points", [[[[192, 256], [384, 384]]], [[192, 256], [384, 384]], [[{"x": 192, "y": 256}, {"x": 384, "y": 384}]]])
def test_points_of_other_editors_are_arrows(points: Any) -> None:
    drawing = read_drawing(json.dumps(points), PICTURE)
    assert drawing.arrows == (((0.25, 0.5), (0.5, 0.75)),)
    assert drawing.points(PICTURE) == (((192, 256), (384, 384)),)


def test_warnings() -> None:
    arrows = [[0.1, 0.1, 0.1005, 0.1005], [0.1, 0.1, 1.4, 0.1], [0, 0, 1, 1], [0.1, 0.1, 0.101, 0.1]]
    drawing = read_drawing(document(arrows=arrows), PICTURE)
    pin, outside = drawing.warnings(PICTURE)
    assert "arrow 1 has no length" in pin and "arrow 2 leaves the picture" in outside
    assert "scaled along" in drawing.warnings((1024, 1536))[0]
    assert "768×512" in drawing.warnings((512, 512))[0] and "stretched" in drawing.warnings((512, 512))[0]


def test_an_unknown_key_is_no_fault() -> None:
    assert read_drawing(document(later="yes"), PICTURE).arrows


def thing(**changes: Any) -> dict[str, Any]:
    return document(objects=[{**document()["objects"][0], **changes}])


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("x" * 2_000_001, "MB of text"),
        ('{"version": 1', "not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ('{"version":1,"arrows":' + "[" * 900 + "]" * 900 + "}", "4 numbers"),
        ("7", "not a drawing"),
        ("true", "not a drawing"),
        ("../../etc/passwd", "not JSON"),
        (json.dumps("../../etc/passwd"), "not a drawing"),
        ("{}", "no version"),
        ({"version": "1"}, "no version"),
        ({"version": True}, "no version"),
        ({"version": 2}, "newer Dragon made"),
        (document(size=[0, 5]), "a size that is not"),
        (document(size=["a", 5]), "a size that is not"),
        (document(size=[10**30, 5]), "a size that is not"),
        (document(arrows={}), "not a list"),
        (document(arrows=[[0, 0, 0, 0]] * 100_000), "100000 arrows"),
        (document(arrows=[[0, 0, 0]]), "arrow 1 is a list of 3 where 4 numbers belong"),
        (document(arrows=[[0, 0, 0, "1"]]), "arrow 1 has '1' where a number"),
        (document(arrows=[[0, 0, 0, float("nan")]]), "arrow 1 has a number"),
        ('{"version":1,"arrows":[[0,0,0,NaN]]}', "arrow 1 has a number"),
        (document(arrows=[[0, 0, 0, 99]]), "arrow 1 has a number that is not between"),
        (document(arrows=[[0, 0, 0, 10**400]]), "arrow 1 has a number"),
        ([[[0, 0], [2305, 0]]], "arrow 1 lies far outside of the picture of 768×512"),
        ([[0, 0], [9, 9], [0, -1025], [9, 9]], "arrow 2 lies far outside"),
        (document(objects=[{}] * (MAX_OBJECTS + 1)), "17 objects"),
        (document(objects=["/etc/passwd"]), "object 1 of the drawing is '/etc/passwd'"),
        (thing(move=[0, 1e9]), "the shift of object 1"),
        (thing(scale=[0, 1]), "the scale of object 1"),
        (thing(scale=[-1, 1]), "the scale of object 1"),
        (thing(scale=3), "the scale of object 1"),
        (thing(rotation=float("inf")), "the rotation of object 1"),
        (thing(rotation=None), "the rotation of object 1"),
        (thing(mask="mask.png"), "object 1 has a mask that cannot be read"),
        (thing(mask={"size": [6, 4], "runs": "../x"}), "object 1 has a mask that cannot be read"),
        (thing(mask={"size": [6, 4], "runs": "1  2"}), "object 1 has a mask that cannot be read"),
        (thing(mask={"size": [6, 4], "runs": "z" * 7}), "object 1 has a mask that cannot be read"),
        (thing(mask={"size": [6, 4], "runs": "1 1 1"}), "does not fill its grid of 6×4"),
        (thing(mask={"size": [6, 4], "runs": "zzzzzz"}), "does not fill its grid"),
        (thing(mask={"size": [6, 4], "runs": "0 " * 99 + "0"}), "object 1 has a mask that cannot be read"),
        (thing(mask={"size": [100_000, 100_000], "runs": "2r0qv28w"}), "the mask of object 1 has a size"),
        (thing(mask={"size": [6.0, 4], "runs": "o"}), "the mask of object 1 has a size"),
    ],
)
def test_a_hostile_drawing_gets_a_clear_answer(value: Any, complaint: str) -> None:
    with pytest.raises(DragonError, match=complaint) as caught:
        read_drawing(value, PICTURE)
    assert len(str(caught.value)) < 300


def test_an_object_without_a_mask_is_empty() -> None:
    assert DrawnObject().region((5, 7)).shape == (1, 5, 7)
    empty = read_drawing(thing(mask={"size": [6, 4], "runs": "o"}), PICTURE)
    assert empty.object(1).mask is None
