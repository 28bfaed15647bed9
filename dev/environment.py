"""The Python environment that runs ComfyUI, the tests and the training: made once in the cache, then reused.

Only the standard library here: it runs before anything is installed. One venv per Python, torch and ComfyUI
requirements, so that a newer pin never swaps torch under a job that is running; smaller changes (a lint tool, the pack's
requirements.txt) are installed into the venv that is there. A stamp of everything wanted makes a second run instant.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dev import comfyui
from dev.comfyui import ComfyUI
from dev.errors import DevError
from dev.lock import lock
from dev.paths import REPOSITORY, cache_folder

LOG = logging.getLogger(__name__)

TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
"""One release of the three. torchaudio refuses to load beside a torch built for another CUDA, and 2.11 is its newest."""

TOOLS = REPOSITORY / "dev" / "requirements.txt"
PACK = REPOSITORY / "requirements.txt"
STAMP = "dragon-stamp"


@dataclass(frozen=True)
class Environment:
    """An interpreter and the ComfyUI it can run."""

    python: Path
    comfyui: ComfyUI
    is_ours: bool
    """Made here (and complete by construction), not the user's own."""

    @property
    def is_current(self) -> bool:
        return not self.is_ours or Path(sys.prefix).resolve() == self.python.parent.parent.resolve()


def ensure() -> Environment:
    """The environment to use, built if it is not there yet."""
    own = comfyui.existing()
    if own is not None and importlib.util.find_spec("torch") is not None and not _is_cached_venv(Path(sys.prefix)):
        return Environment(Path(sys.executable), own, is_ours=False)
    if sys.version_info < (3, 11):
        raise DevError(f"This needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
    found = own or comfyui.find(_bootstrap_python)
    folder = cache_folder() / f"venv-{_name(found)}"
    python = _python_of(folder)
    wanted = _fingerprint(found)
    stamp = folder / STAMP
    if not _is_ready(python, stamp, wanted):
        with lock(cache_folder() / f"{folder.name}.lock"):
            if not _is_ready(python, stamp, wanted):
                _build(folder, found)
                stamp.write_text(wanted, "utf-8")
    return Environment(python, found, is_ours=True)


def become(command: list[str], variables: dict[str, str]) -> NoReturn:
    """Run `command` in place of this process, so that signals and the exit status are its own."""
    sys.stdout.flush()
    if os.name != "nt":
        os.execve(command[0], command, {**os.environ, **variables})  # noqa: S606 - no shell wanted
    raise SystemExit(subprocess.run(command, env={**os.environ, **variables}, check=False).returncode)  # noqa: S603


def _is_ready(python: Path, stamp: Path, wanted: str) -> bool:
    return python.is_file() and stamp.is_file() and stamp.read_text("utf-8") == wanted


def _is_cached_venv(prefix: Path) -> bool:
    return (prefix / STAMP).is_file() and prefix.resolve().parent == cache_folder().resolve()


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _name(found: ComfyUI) -> str:
    """Readable part, then what else may not change under a running job: ComfyUI's own requirements."""
    release = TORCH[0].replace("==", "")
    requirements = hashlib.sha256(found.requirements.read_bytes()).hexdigest()[:6]
    return f"py{sys.version_info.major}.{sys.version_info.minor}-{release}-{requirements}"


def _fingerprint(found: ComfyUI) -> str:
    digest = hashlib.sha256("\n".join(TORCH).encode())
    for file in (found.requirements, PACK, TOOLS):
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def _bootstrap_python() -> Path:
    """An interpreter that surely has pip: the one a venv makes for itself (the system's may come without)."""
    folder = cache_folder() / f"bootstrap-py{sys.version_info.major}.{sys.version_info.minor}"
    python = _python_of(folder)
    with lock(cache_folder() / f"{folder.name}.lock"):
        _make_venv(folder)
    return python


def _make_venv(folder: Path) -> None:
    python = _python_of(folder)
    if python.is_file() and list(folder.glob("**/site-packages/pip/__init__.py")):
        return
    try:
        venv.create(folder, with_pip=True, clear=True, symlinks=os.name != "nt")
    except (subprocess.CalledProcessError, OSError) as error:
        raise DevError(
            f"Could not make a virtual environment in {folder}: {error}. "
            "On Debian or Ubuntu: apt-get install python3-venv; elsewhere use a complete Python 3.11."
        ) from error


def _build(folder: Path, found: ComfyUI) -> None:
    LOG.info("Setting up %s (first time: about 6 GB and a few minutes; later runs reuse it) …", folder)
    _make_venv(folder)
    command = [str(_python_of(folder)), "-m", "pip", "install", "--disable-pip-version-check", *TORCH]
    for file in (found.requirements, PACK, TOOLS):
        command += ["-r", str(file)]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own arguments
        raise DevError("pip could not install what is needed (see above). Nothing is lost: run the same command again.")
