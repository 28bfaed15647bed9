"""Put this pack into a ComfyUI's `custom_nodes` as a user would have it.

`archive` is the registry's: a zip file without what `.comfyignore` names; `install_release` unpacks it. `install_clone` is what
ComfyUI-Manager's `git clone` gives: everything that git holds. All take the working tree as it is, committed or not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from dev.paths import PACK_NAME, REPOSITORY

NEVER = frozenset({".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".venv"})


def archive(file: Path) -> Path:
    """Write what is published to a zip file, paths relative to the pack's root; returns the file."""
    import pathspec  # not in the standard library, and only wanted once the environment is there

    patterns = (REPOSITORY / ".comfyignore").read_text("utf-8").splitlines()
    ignored = pathspec.PathSpec.from_lines("gitignore", patterns)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(_files()):
            if not ignored.match_file(name):
                packed.write(REPOSITORY / name, name)
    return file


def install_release(custom_nodes: Path) -> Path:
    """Unpack what is published, as the Manager does; returns the pack's folder in `custom_nodes`."""
    target = custom_nodes / PACK_NAME
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive(Path(folder) / "pack.zip")) as packed:
        packed.extractall(target)
    return target


def install_clone(custom_nodes: Path) -> Path:
    """Copy everything that git tracks or would track; returns the pack's folder in `custom_nodes`."""
    return _copy(_files(), custom_nodes)


def _files() -> list[str]:
    """Paths of the pack's files, relative to its root, with forward slashes."""
    git = shutil.which("git")
    if git and (REPOSITORY / ".git").exists():
        listed = subprocess.run(  # noqa: S603 - our own arguments
            [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return [name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()]
    found: list[str] = []  # an unpacked archive: no git to ask
    for folder, folders, names in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if name not in NEVER]
        found += [(Path(folder) / name).relative_to(REPOSITORY).as_posix() for name in names]
    return found


def _copy(names: Iterable[str], custom_nodes: Path) -> Path:
    target = custom_nodes / PACK_NAME
    for name in names:
        destination = target / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, destination)
    return target
