"""What the servers of the tiers `server`, `browser` and `slow` have installed."""

from __future__ import annotations

from pathlib import Path

from dev import pack
from tests.support import random_loaders


def install(custom_nodes: Path) -> None:
    """The pack as the registry would, and small models in the place of files that nobody has here."""
    pack.install_release(custom_nodes)
    random_loaders.install(custom_nodes)
