"""Jobs spread over actors: each exactly once, all actors busy, in fair shares; and a clear word where Ray is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import spread
from benchmarks.cases import load_cases
from benchmarks.ground_truth import Bench, Files, choose
from benchmarks.runner import Job, Outcome, Runner
from benchmarks.settings import Settings
from benchmarks.spread import SpreadError, dispatch, share_out

FIXTURES = Path(__file__).parents[1] / "fixtures" / "move_cases"


class LateActors:
    """Stands in for Ray: what is handed out is done when asked for, the last first."""

    def __init__(self) -> None:
        self.handed_out: list[tuple[str, str]] = []
        self.most_at_once = 0

    def hand_out(self, actor: str, job: Job) -> tuple[str, Job]:
        self.handed_out.append((actor, job.case.name))
        return (actor, job)

    def first_done(self, running: list[object]) -> object:
        self.most_at_once = max(self.most_at_once, len(running))
        return running[-1]

    @staticmethod
    def get(done: tuple[str, Job]) -> list[Outcome]:
        return list(Runner(None).outcomes([done[1]]))

    def outcomes(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        return dispatch(jobs, ["a", "b", "c"], self.hand_out, self.first_done, self.get)


def bench(folder: Path) -> Bench:
    return Bench(Files(folder / "r.json"), choose(["no_edit", "copy_paste"], [], Settings()), None)


def test_spread_or_not_the_results_are_the_same_and_a_second_run_has_nothing_to_do(tmp_path: Path) -> None:
    cases = load_cases(FIXTURES)[:5]
    actors, here, there = LateActors(), bench(tmp_path / "here"), bench(tmp_path / "there")
    for outcome in Runner(None).outcomes(here.todo(cases)):
        here.record(outcome)
    for outcome in actors.outcomes(there.todo(cases)):
        there.record(outcome)
    assert sorted(name for _, name in actors.handed_out) == [case.name for case in cases], "each case once"
    assert actors.most_at_once == 3 and {actor for actor, _ in actors.handed_out} == {"a", "b", "c"}
    assert here.results.rows == there.results.rows and len(here.results.rows) == 10
    assert list(bench(tmp_path / "there").todo(cases)) == [], "rows and pictures are there already"
    there.files.picture(cases[1], "copy_paste").unlink()
    (again,) = bench(tmp_path / "there").todo(cases)
    assert again.case is cases[1] and [variant.name for variant in again.variants] == ["copy_paste"]


@pytest.mark.parametrize(
    ("machines", "actors", "count", "needs"),
    [
        ([{"CPU": 8, "GPU": 2}, {"CPU": 8, "GPU": 1}], None, 3, {"num_cpus": 1, "num_gpus": 1}),
        ([{"CPU": 8, "GPU": 1}], 2, 2, {"num_cpus": 1, "num_gpus": 0.5}),
        ([{"CPU": 8}, {"CPU": 4}], None, 2, {"num_cpus": 4, "num_gpus": 0}),
        ([{"CPU": 1}], None, 1, {"num_cpus": 1, "num_gpus": 0}),
        ([{"CPU": 8}], 3, 3, {"num_cpus": 2, "num_gpus": 0}),
    ],
)
def test_actors_fit_on_the_machines(machines: list[dict[str, float]], actors: int | None, count: int, needs: dict[str, float]) -> None:
    assert share_out(machines, actors) == (count, needs)


def test_too_many_actors_are_refused_with_the_number_that_fits() -> None:
    with pytest.raises(SpreadError, match="--actors 2 or fewer"):
        share_out([{"CPU": 2}], 3)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed here")
def test_without_ray_the_message_says_how_to_get_it() -> None:
    with pytest.raises(SpreadError, match="pip install ray"):
        spread.RayPool(with_model=False, checkpoint=None, address=None, actors=1)


def test_ray_itself_spreads_a_run(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    cases, run = load_cases(FIXTURES)[:3], bench(tmp_path)
    pool = spread.RayPool(with_model=False, checkpoint=None, address="local", actors=1)
    try:
        for outcome in pool.outcomes(run.todo(cases)):
            run.record(outcome)
    finally:
        ray.shutdown()
    np.testing.assert_equal(len(run.results.rows), 6)
