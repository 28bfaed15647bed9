"""What a task brings to the benchmark: how to make a case of it, how to fake it in pixels, which energy asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.cases import Case, Picture

if TYPE_CHECKING:
    from benchmarks.host import Host
    from benchmarks.settings import Settings
    from toy_world.scene import Scene


@dataclass(frozen=True)
class Task:
    """One editing task."""

    name: str
    sample: Callable[[Scene, np.random.Generator, str], Case | None]
    """(scene, random stream, name) → a case made from the scene, or None when the scene has no room for the edit."""
    copy_paste: Callable[[Case], Picture]
    """The edit done with pixels alone: (H, W, 3)."""
    energy: Callable[[Case, Host, Settings], object]
    """The task's energy, from its node."""
    node: str
    """The node that :attr:`energy` runs."""
