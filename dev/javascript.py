"""Checks web/ with TypeScript (from its JSDoc types) and ESLint, installed by npm into the cache; not at all without npm."""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
from pathlib import Path

from dev.errors import DevError
from dev.lock import lock
from dev.paths import REPOSITORY, cache_folder

LOG = logging.getLogger(__name__)

SETTINGS = REPOSITORY / "dev" / "web"
WEB = REPOSITORY / "web"


def check() -> bool:
    """Whether both are content; true, with a word about it, where they cannot run."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        LOG.info("TypeScript and ESLint: skipped, there is no npm (apt install npm).")
        return True
    modules = _installed(npm)
    LOG.info("TypeScript …")
    typed = _call(node, str(modules / "typescript" / "bin" / "tsc"), "--project", str(SETTINGS / "tsconfig.json"))
    LOG.info("ESLint …")
    # It looks for its plugins beside its configuration, which therefore goes where they are.
    config = shutil.copyfile(SETTINGS / "eslint.config.mjs", modules.parent / "eslint.config.mjs")
    scripts = sorted(str(file) for file in WEB.rglob("*.js"))
    linted = _call(node, str(modules / "eslint" / "bin" / "eslint.js"), "--config", str(config), "--max-warnings", "0", *scripts)
    return typed and linted


def _installed(npm: str) -> Path:
    """`node_modules` with what dev/web/package.json names."""
    wanted = (SETTINGS / "package.json").read_bytes()
    folder = cache_folder() / f"npm-{hashlib.sha256(wanted).hexdigest()[:8]}"
    done = folder / "installed"
    with lock(cache_folder() / f"{folder.name}.lock"):
        if not done.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "package.json").write_bytes(wanted)
            command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"]
            if subprocess.run(command, cwd=folder, check=False).returncode:  # noqa: S603 - our own arguments
                raise DevError("npm could not install TypeScript and ESLint (see above).")
            done.touch()
    return folder / "node_modules"


def _call(*command: str) -> bool:
    return subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0  # noqa: S603 - our own arguments
