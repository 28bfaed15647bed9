"""Case folders: written and read back, refused with a reason when malformed, and rendered the same every time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.cases import CaseError, digest, load_case, load_cases, save_case
from benchmarks.make_cases import make_cases
from benchmarks.metrics import is_measurable
from benchmarks.settings import SettingError, parse_overrides, parse_variant
from benchmarks.smear import smear
from benchmarks.tasks.move import copy_paste
from toy_world import emoji

FIXTURES = Path(__file__).parents[1] / "fixtures" / "move_cases"
needs_emoji = pytest.mark.skipif(not (emoji.CACHE / "package").is_dir(), reason="the emoji package is not in the cache")


def a_copy(folder: Path) -> Path:
    return save_case(load_cases(FIXTURES)[0], folder)


def test_fixtures_are_whole_moves_by_dx_dy() -> None:
    cases = load_cases(FIXTURES)
    assert len(cases) == 8
    for case in cases:
        assert is_measurable(case)
        shifted = np.roll(case.mask, (round(case.edit.dy), round(case.edit.dx)), (0, 1))
        assert (shifted != case.truth_mask).mean() < 1e-4
        assert 0.15 <= np.hypot(case.edit.dx, case.edit.dy) / case.side <= 0.45


def test_a_case_comes_back_as_it_was(tmp_path: Path) -> None:
    case = load_cases(FIXTURES)[0]
    again = load_case(a_copy(tmp_path))
    assert again.edit == case.edit and digest(again) == digest(case)
    assert digest(dataclasses.replace(case, edit=dataclasses.replace(case.edit, dx=1))) != digest(case)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"task": "fly", "prompt": "", "dx": 1, "dy": 0}, "must be one of"),
        ({"task": "move", "prompt": "", "dx": 1}, "'dy'"),
        ({"task": "move", "prompt": "", "dx": "far", "dy": 0}, "'dx'"),
        ({"task": "move", "prompt": "", "dx": 0, "dy": 0}, "nothing would move"),
        ({"task": "move", "prompt": 3, "dx": 1, "dy": 0}, "'prompt'"),
        ({"task": "drag", "prompt": "", "points": [[1, 2, 3]]}, "'points'"),
        ({"task": "resize", "prompt": ""}, "'scale'"),
        ({"task": "resize", "prompt": "", "scale": 0}, "above 0"),
        ({"task": "paste", "prompt": "", "scale": 1}, "'dx'"),
        ({"task": "paste", "prompt": "", "dx": 1, "dy": 1, "reference_prompt": 1}, "'reference_prompt'"),
        ([], "one JSON object"),
    ],
)
def test_a_malformed_edit_is_refused(tmp_path: Path, edit: object, words: str) -> None:
    folder = a_copy(tmp_path)
    (folder / "edit.json").write_text(json.dumps(edit))
    with pytest.raises(CaseError, match=words):
        load_case(folder)


def test_malformed_files_are_refused(tmp_path: Path) -> None:
    folder = a_copy(tmp_path)
    Image.new("L", (256, 256)).save(folder / "mask.png")
    with pytest.raises(CaseError, match=r"mask\.png is empty"):
        load_case(folder)
    Image.new("L", (256, 256), 255).save(folder / "mask.png")
    with pytest.raises(CaseError, match="whole picture"):
        load_case(folder)
    a_copy(tmp_path)
    Image.new("RGB", (128, 256)).save(folder / "truth.png")
    with pytest.raises(CaseError, match="128×256, but mask.png is 256×256"):
        load_case(folder)
    (folder / "truth.png").write_text("no picture")
    with pytest.raises(CaseError, match="cannot be read"):
        load_case(folder)
    (folder / "truth.png").unlink()
    with pytest.raises(CaseError, match="missing"):
        load_case(folder)
    with pytest.raises(CaseError, match="No cases in"):
        load_cases(tmp_path / "nowhere")


def test_smear_continues_what_surrounds_the_hole() -> None:
    picture = np.full((16, 16, 3), 0.25, np.float32)
    hole = np.zeros((16, 16), bool)
    hole[4:12, 4:12] = True
    picture[hole] = 1
    np.testing.assert_allclose(smear(picture, hole), 0.25, atol=1e-6)


def test_copy_paste_puts_the_masked_pixels_at_the_target() -> None:
    case = load_cases(FIXTURES)[0]
    output = copy_paste(case)
    ys, xs = np.nonzero(case.mask)
    np.testing.assert_array_equal(output[ys + round(case.edit.dy), xs + round(case.edit.dx)], case.source[ys, xs])


@needs_emoji
def test_rendered_cases_are_the_same_every_time_and_a_longer_list_begins_with_a_shorter_one() -> None:
    first, second = (list(make_cases("move", "unseen", count, seed=5)) for count in (1, 2))
    assert [digest(case) for case in first] == [digest(case) for case in second][:1]
    assert digest(next(make_cases("move", "unseen", 1, seed=6))) != digest(first[0])
    vertical, horizontal = abs(second[1].edit.dy), abs(second[1].edit.dx)
    assert vertical < horizontal


def test_variants_are_read_from_the_command_line() -> None:
    variant = parse_variant("strong@guidance_only:energy_scale=2,DragonInvert.scheduler=karras")
    assert (variant.name, variant.method) == ("strong", "guidance_only")
    assert variant.settings.overrides == {"energy_scale": 2, "DragonInvert.scheduler": "karras"}
    assert variant.settings.of_node("DragonInvert", ["steps", "scheduler"]) == {"scheduler": "karras"}
    assert parse_variant("plain:cfg=1.5").method == "dragon"
    for wrong in ("cfg", "cfg=", "=3"):
        with pytest.raises(SettingError):
            parse_overrides(wrong)
