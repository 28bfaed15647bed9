"""A big run spread over Ray actors, each of which holds one model: over this machine's GPUs, or over those of a cluster.

Ray (https://ray.io) is asked for only by ``--ray``. Jobs and outcomes travel through Ray, so the machines need no common disk; each
needs this repository and ComfyUI at the same paths, and ``python3 -m dev test core`` once to set its environment up.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks.runner import Job, Outcome, Runner


class SpreadError(RuntimeError):
    """Ray is missing, or has no room for the actors."""


class Worker:
    """What each actor is: a ComfyUI of its own with the model loaded, and a :class:`Runner`."""

    def __init__(self, with_model: bool, checkpoint: str | None, path: list[str]) -> None:
        # Ray puts the folder of the command on the path, where `nodes` is this repository's; ComfyUI must come first.
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path and entry != os.getcwd())]
        self._runner = Runner(_start_host(checkpoint) if with_model else None)

    def outcomes(self, job: Job) -> list[Outcome]:
        return list(self._runner.outcomes([job]))


def _start_host(checkpoint: str | None) -> Any:  # noqa: ANN401 - importing Host's type would start ComfyUI
    return importlib.import_module("benchmarks.host").Host(checkpoint)


class RayPool:
    """Actors on a Ray cluster: the one at ``address``, a running one that Ray finds, or one of this machine's own."""

    def __init__(self, *, with_model: bool, checkpoint: str | None, address: str | None, actors: int | None) -> None:
        ray = _ray()
        path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        ray.init(address=address, runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(path)}}, log_to_driver=False)
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        count, needs = share_out(machines, actors)
        actor = ray.remote(Worker).options(scheduling_strategy="SPREAD", **needs)
        self._ray = ray
        self._actors = [actor.remote(with_model, checkpoint, path) for _ in range(count)]

    def outcomes(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """As they come."""

        def hand_out(actor: Any, job: Job) -> object:  # noqa: ANN401 - Ray's own handle
            return actor.outcomes.remote(job)

        def first_done(running: list[object]) -> object:
            return self._ray.wait(running, num_returns=1)[0][0]

        yield from dispatch(jobs, self._actors, hand_out, first_done, self._ray.get)


def dispatch(
    jobs: Iterable[Job],
    actors: Iterable[Any],
    hand_out: Callable[[Any, Job], object],
    first_done: Callable[[list[object]], object],
    get: Callable[[Any], list[Outcome]],
) -> Iterator[Outcome]:
    """Every job to an actor that is free, one at a time each; outcomes in the order in which they are ready."""
    waiting = iter(jobs)
    running: dict[object, Any] = {}
    for actor in actors:
        job = next(waiting, None)
        if job is not None:
            running[hand_out(actor, job)] = actor
    while running:
        done = first_done(list(running))
        actor = running.pop(done)
        job = next(waiting, None)
        if job is not None:  # before the outcomes are written, so that the actor does not wait for it
            running[hand_out(actor, job)] = actor
        yield from get(done)


def share_out(machines: list[dict[str, float]], actors: int | None) -> tuple[int, dict[str, float]]:
    """(number of actors, what each asks of Ray): one a GPU or, where there are none, one a machine, unless ``actors`` says."""
    gpus = int(sum(machine.get("GPU", 0) for machine in machines))
    if gpus:
        count = actors or gpus
        return count, {"num_cpus": 1, "num_gpus": min(1.0, gpus / count)}
    cpus = [int(machine.get("CPU", 0)) for machine in machines if machine.get("CPU", 0) >= 1]
    if not cpus:
        raise SpreadError("Ray offers neither a GPU nor a CPU; start it with ray start --head --num-cpus N.")
    count = actors or len(cpus)
    if count > sum(cpus):
        raise SpreadError(f"{count} actors need as many CPUs, and Ray offers {sum(cpus)}; use --actors {sum(cpus)} or fewer.")
    each = max(n for n in range(1, max(cpus) + 1) if sum(cpu // n for cpu in cpus) >= count)
    return count, {"num_cpus": each, "num_gpus": 0}


def _ray() -> Any:  # noqa: ANN401 - an optional tool without types here
    if importlib.util.find_spec("ray") is None:
        raise SpreadError(f"--ray needs Ray, which is not installed: {sys.executable} -m pip install ray. Without --ray all runs here.")
    return importlib.import_module("ray")
