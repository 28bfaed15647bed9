"""A headless ComfyUI server of our own: its folders in a temporary base directory, on a free loopback port.

    with running(environment.ensure(), install=pack.install_release) as server:
        result = server.client.run(prompt)

It touches nothing of the user's ComfyUI (inputs, outputs, settings, other custom nodes, database) and is gone when the
block ends: normally, by an exception, or by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.client import Client
from dev.environment import Environment
from dev.errors import DevError

LOG = logging.getLogger(__name__)

START_TIMEOUT = 240.0
STOP_TIMEOUT = 10.0
FOLDERS = ("custom_nodes", "input", "models", "output", "temp", "user")


@dataclass(frozen=True)
class Server:
    """A running server: where its folders are, and how to talk to it."""

    base: Path
    client: Client
    log_file: Path

    def log(self) -> str:
        """Everything it has printed so far."""
        return self.log_file.read_text("utf-8", "replace")


@contextlib.contextmanager
def running(
    environment: Environment,
    install: Callable[[Path], object] | None = None,
    base: Path | None = None,
    timeout: float = START_TIMEOUT,
    arguments: Sequence[str] = (),
) -> Iterator[Server]:
    """Start a server and yield it once it answers; `install` is given its empty `custom_nodes` folder first, ComfyUI the `arguments`."""
    with contextlib.ExitStack() as stack:
        if base is None:
            base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comfyui-", ignore_cleanup_errors=True)))
        for name in FOLDERS:
            (base / name).mkdir(exist_ok=True)
        if install is not None:
            install(base / "custom_nodes")
        port = _free_port()
        server = Server(base, Client(f"http://127.0.0.1:{port}"), base / "server.log")
        process = _start(environment, server, port, arguments)
        stack.callback(_stop, process)
        _wait_until_ready(process, server, timeout)
        yield server


def _start(environment: Environment, server: Server, port: int, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [str(environment.python), str(environment.comfyui.root / "main.py")]
    command += ["--base-directory", str(server.base), "--listen", "127.0.0.1", "--port", str(port)]
    command += ["--database-url", "sqlite:///:memory:", "--disable-auto-launch", "--disable-api-nodes", *arguments]
    if not _has_cuda():
        command.append("--cpu")
    # ComfyUI must find its own modules, not ours: `nodes` is a name in both.
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    with server.log_file.open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own arguments
            command,
            cwd=environment.comfyui.root,
            env={**variables, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to handle; we then stop the server in order
        )


def _has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], server: Server, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DevError(f"ComfyUI stopped while starting (exit {process.returncode}):\n{_tail(server)}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            with urllib.request.urlopen(f"{server.client.url}/system_stats", timeout=5):  # noqa: S310 - loopback http
                return
        time.sleep(0.25)
    raise DevError(f"ComfyUI did not answer within {timeout:.0f} s:\n{_tail(server)}")


def _tail(server: Server, lines: int = 40) -> str:
    """The log's end, kept for the message: the file goes with the temporary folder."""
    return "\n".join(server.log().splitlines()[-lines:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    # Not SIGINT: a process started from a background job ignores it. What ComfyUI would tidy up goes with `base`.
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        LOG.info("ComfyUI did not stop by itself within %.0f s; ending it.", STOP_TIMEOUT)
        process.kill()
        process.wait()


def copy_inputs(server: Server, folder: Path) -> None:
    """Put the pictures that the shipped workflows name into the server's input folder."""
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            if file.is_file():
                shutil.copy2(file, server.base / "input" / file.name)
