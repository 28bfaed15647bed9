"""The edit's quality on six held-out moves in lit rooms, against the true answers: a regression in the method or the weights shows here.

Measured with the shipped weights and the nodes' defaults, wired as the templates are; the thresholds leave room for another
processor's rounding.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from pathlib import Path

import pytest

from dev import environment
from dev.paths import REPOSITORY

CASES = REPOSITORY / "tests" / "fixtures" / "lit_move_cases"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[float]]]:
    """Method → measure → values over the cases, from the benchmark's own command."""
    ready = environment.ensure()
    out = tmp_path_factory.mktemp("ground_truth") / "results.json"
    command = [str(ready.python), "-P", "-m", "benchmarks.ground_truth", "--cases", str(CASES), "--out", str(out)]
    path = os.pathsep.join([str(ready.comfyui.root), str(REPOSITORY)])
    compared = ["no_edit", "ceiling", "copy_paste", "draft_only", "start_latent_only", "dragon"]
    subprocess.run([*command, "--method", *compared], check=True, env={**os.environ, "PYTHONPATH": path})
    cases = json.loads(Path(out).read_text())["cases"].values()
    methods = next(iter(cases))
    return {m: {k: [case[m][k] for case in cases] for k in ("object_iou", "ghost", "background_psnr", "success")} for m in methods}


def median(results: dict[str, dict[str, list[float]]], method: str, measure: str) -> float:
    return statistics.median(results[method][measure])


def test_the_object_arrives(results: dict[str, dict[str, list[float]]]) -> None:
    assert median(results, "dragon", "object_iou") > 0.85 * median(results, "ceiling", "object_iou")
    assert median(results, "dragon", "object_iou") > median(results, "start_latent_only", "object_iou")


def test_its_old_place_is_mended(results: dict[str, dict[str, list[float]]]) -> None:
    assert median(results, "dragon", "ghost") < 0.15
    assert median(results, "dragon", "ghost") < median(results, "copy_paste", "ghost")
    assert median(results, "dragon", "ghost") < median(results, "start_latent_only", "ghost")


def test_the_rest_is_untouched(results: dict[str, dict[str, list[float]]]) -> None:
    """Pixels outside of the edit are the source's own, up to the soft edge: well above what the VAE leaves."""
    assert median(results, "dragon", "background_psnr") > median(results, "ceiling", "background_psnr") + 5.0


def test_most_edits_succeed(results: dict[str, dict[str, list[float]]]) -> None:
    assert sum(results["dragon"]["success"]) >= 2  # light and shadow count, and the model is half trained
