"""Where things are: the repository, and the cache that holds what is too big for it (ComfyUI, a venv with torch)."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
"""The pack's root: what a user has in `custom_nodes`."""

PACK_NAME = "dragon-diffusion"
"""Folder name the pack gets in `custom_nodes`; the registry's project name, as the Manager uses it."""

WORKFLOWS = REPOSITORY / "workflows"
SUBGRAPHS = REPOSITORY / "subgraphs"
"""ComfyUI lists what lies in a folder of this name as blueprints."""


def cache_folder() -> Path:
    """`DRAGON_CACHE`, else `~/.cache/dragon-diffusion`; created on first use."""
    chosen = os.environ.get("DRAGON_CACHE")
    folder = Path(chosen).expanduser().resolve() if chosen else Path.home() / ".cache" / PACK_NAME
    folder.mkdir(parents=True, exist_ok=True)
    return folder
