"""The tasks that the benchmark knows; a new one is a file here and a line below."""

from __future__ import annotations

from benchmarks.tasks import appearance, drag, move, paste, remove, resize
from benchmarks.tasks.task import Task

KNOWN: dict[str, Task] = {task.name: task for task in (move.TASK, resize.TASK, drag.TASK, appearance.TASK, paste.TASK, remove.TASK)}


def find_task(name: str) -> Task:
    """The task of that name."""
    return KNOWN[name]
