"""What the commands write on the terminal: log lines, and one progress bar per node."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, field

from dev.client import Progress

WIDTH = 30
QUIET_SECONDS = 5.0


def set_up_logging() -> None:
    """Plain lines on stdout: the messages are the commands' output."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)


@dataclass
class ProgressBar:
    """Draws a node's progress in place on a terminal; in a log file, a line now and then."""

    _node: str = ""
    _last: float = field(default=0.0)
    _is_open: bool = False

    def __call__(self, progress: Progress) -> None:
        is_new = progress.node_id != self._node
        is_done = bool(progress.maximum) and progress.value >= progress.maximum
        if is_new:
            self.close()
            self._node = progress.node_id
        if sys.stdout.isatty():
            self._write("\r" + _bar(progress) + " ")
            self._is_open = True
        elif is_new or is_done or time.monotonic() - self._last > QUIET_SECONDS:
            self._write(_bar(progress) + "\n")
            self._last = time.monotonic()

    def close(self) -> None:
        """End the line that is being drawn."""
        if self._is_open:
            self._write("\n")
            self._is_open = False

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _bar(progress: Progress) -> str:
    if not progress.maximum:
        return f"  {progress.title}"
    filled = round(WIDTH * progress.value / progress.maximum)
    return f"  {progress.title} [{'#' * filled}{'.' * (WIDTH - filled)}] {progress.value}/{progress.maximum}"
