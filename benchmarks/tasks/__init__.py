"""The tasks that the benchmark knows; a new one is a file here and a line below."""

from __future__ import annotations

from benchmarks.tasks import move
from benchmarks.tasks.task import Task

KNOWN: dict[str, Task] = {task.name: task for task in (move.TASK,)}


def find_task(name: str) -> Task:
    """The task of that name; NotImplementedError says what there is."""
    if name not in KNOWN:
        raise NotImplementedError(f"The task '{name}' is not supported yet by the benchmark; there is: {', '.join(KNOWN)}.")
    return KNOWN[name]
