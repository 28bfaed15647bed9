"""`python3 -m dev test`: lint and type checks, then pytest on the chosen tiers, in the environment made for it.

    core     no ComfyUI: the maths (seconds)
    nodes    nodes called inside a real ComfyUI, in this process
    server   installation and workflows through a real ComfyUI server
    browser  the canvas in a real browser (apt install chromium); skipped where there is none
    slow     what is too long for every change
    research what the method is measured with (benchmarks/, training/): cases, metrics, DragBench
    lint     ruff, mypy, and for web/ TypeScript and ESLint where there is npm

Without a tier: all but slow and research, and of browser a short version. `all` is all of everything. What follows the tiers goes to
pytest.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from dev import javascript
from dev.errors import DevError
from dev.paths import REPOSITORY

LOG = logging.getLogger(__name__)

TIERS = ("core", "nodes", "server", "browser", "slow", "research")
DEFAULT = ("lint", "core", "nodes", "server", "browser")
PACK_PARTS = ("__init__.py", "nodes", "dragon_core")
TOOL_PARTS = ("dev", "toy_world", "training", "benchmarks")


def run(arguments: list[str]) -> int:
    """Run what the command line asks for; the exit status is non-zero if anything failed."""
    chosen, rest = _split(arguments)
    _require("pytest", *(("ruff", "mypy") if "lint" in chosen else ()))
    failed = "lint" in chosen and not _lint()
    tiers = [tier for tier in TIERS if tier in chosen]
    if not tiers:
        return int(failed)
    # -P keeps the current folder off sys.path: the pack's `nodes/` would hide ComfyUI's nodes.py.
    folders = [f"tests/{tier}" for tier in tiers if (REPOSITORY / "tests" / tier).is_dir()]
    if any(word.startswith("tests/") for word in rest):
        folders = []  # files by name, in place of all of their tier
    elif not folders:
        raise DevError(f"There are no tests of this tier yet: {', '.join(f'tests/{tier}' for tier in tiers)}.")
    short = [] if arguments[:1] and arguments[0] in {*TIERS, "lint", "all"} else ["-m", "not full"]
    status = _call("-P", "-m", "pytest", *folders, *short, *rest)
    if failed:
        LOG.error("The linters found something: see above.")
    return status or int(failed)


def _split(arguments: list[str]) -> tuple[set[str], list[str]]:
    known = {*TIERS, "lint", "all"}
    count = next((i for i, word in enumerate(arguments) if word not in known), len(arguments))
    chosen, rest = set(arguments[:count]) or set(DEFAULT), arguments[count:]
    if "all" in chosen:
        chosen = {*TIERS, "lint"}
    return chosen, rest[1:] if rest[:1] == ["--"] else rest


def _require(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise DevError(
            f"{sys.executable} lacks {', '.join(missing)}: {sys.executable} -m pip install -r dev/requirements.txt "
            "(or unset COMFYUI_PATH to use an environment made for this)."
        )


def _lint() -> bool:
    parts = _with_python(PACK_PARTS) + _with_python(TOOL_PARTS)
    LOG.info("ruff …")
    good = _call("-m", "ruff", "check", *parts, "tests") == 0
    LOG.info("mypy …")
    good &= _type_check_pack()
    good &= _call("-m", "mypy", *_with_python(TOOL_PARTS)) == 0
    return javascript.check() and good


def _type_check_pack() -> bool:
    """The pack is a package whose folder may bear any name (here, the clone's), and its modules import each other
    relatively. mypy wants a name it can import: give it one by a link.
    """
    with tempfile.TemporaryDirectory(prefix="dragon-types-") as folder:
        (Path(folder) / "dragon_pack").symlink_to(REPOSITORY, target_is_directory=True)
        parts = [f"dragon_pack/{part}" for part in _with_python(PACK_PARTS)]
        if not parts:
            return True
        config = ["--config-file", str(REPOSITORY / "pyproject.toml"), "--cache-dir", str(REPOSITORY / ".mypy_cache/pack")]
        return _call("-m", "mypy", *config, *parts, folder=Path(folder)) == 0


def _with_python(parts: tuple[str, ...]) -> list[str]:
    """Those parts that hold Python files; mypy refuses a folder without any."""
    paths = {part: REPOSITORY / part for part in parts}
    return [part for part, path in paths.items() if path.is_file() or any(path.rglob("*.py"))]


def _call(*arguments: str, folder: Path = REPOSITORY) -> int:
    return subprocess.run([sys.executable, *arguments], cwd=folder, check=False).returncode  # noqa: S603 - our own arguments
