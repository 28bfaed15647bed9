"""A lock between processes, so that two runs at once do not build the same folder.

The operating system drops it when its holder dies: an interrupted install leaves nothing to clean up by hand.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LOG = logging.getLogger(__name__)


def _try(handle: IO[str], *, wait: bool) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold `path` (made if need be) for this process alone; waits for another holder, and says so."""
    with path.open("a+") as handle:
        if not _try(handle, wait=False):
            LOG.info("Another run is setting things up (%s); waiting for it …", path)
            while not _try(handle, wait=True):
                pass  # Windows gives up after ten seconds; ask again
        yield
