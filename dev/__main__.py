"""The developer's commands: `python3 -m dev demo`, `python3 -m dev test`, `python3 -m dev run`, `python3 -m dev locales`.

Any Python 3.11 will do: each command first sets up what it needs in the cache folder (see dev/environment.py) and then
runs itself again there.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from dev import environment
from dev.environment import Environment
from dev.errors import DevError
from dev.paths import REPOSITORY

LOG = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    signal.signal(signal.SIGTERM, _leave)
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command in ("demo", "locales"):
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        ready = environment.ensure()
        if options.command == "run":
            _run_python(ready, arguments[1:])
        if not ready.is_current:
            # PYTHONPATH: `dev` must be importable whatever folder the command was given in.
            command = [str(ready.python), "-m", "dev", *arguments]
            environment.become(command, {"PYTHONPATH": str(REPOSITORY)})
        if options.command == "demo":
            return _demo(ready, options)
        if options.command == "templates":
            from dev import blueprints, layout

            LOG.info("Changed: %s", ", ".join([*layout.write(), *blueprints.write()]) or "nothing")
            return 0
        if options.command == "locales":
            from dev import locales

            LOG.info("Written: %s", locales.write(ready))
            return 0
        from dev import checks

        return checks.run(arguments[1:])
    except DevError as error:
        LOG.error("Error: %s", error)
        return 1
    except KeyboardInterrupt:
        LOG.error("Interrupted.")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m dev", description="Dragon's developer commands.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo | test | run | locales | templates")
    demo = commands.add_parser("demo", help="move an object in a picture, or run another template, through a real ComfyUI server")
    demo.add_argument("image", nargs="?", type=Path, metavar="IMAGE", help="your own picture (default: one that is shipped)")
    demo.add_argument("--mask", type=Path, help="the object in IMAGE: white on black, of the same size")
    demo.add_argument("--dx", type=int, help="pixels to the right, negative for left")
    demo.add_argument("--dy", type=int, help="pixels down, negative for up")
    demo.add_argument("--prompt", help="what IMAGE shows, in a few words")
    demo.add_argument("--out", type=Path, default=Path("demo_output"), metavar="DIR", help="default: demo_output")
    demo.add_argument("--template", metavar="NAME", help="run this template as it is shipped; --list names them")
    demo.add_argument("--list", action="store_true", help="list the templates and leave")
    test = commands.add_parser("test", help="run the tests: [core|nodes|server|browser|slow|research|lint|all] [pytest arguments]")
    test.add_argument("rest", nargs="*", metavar="TIER", help="default: all but slow")
    run = commands.add_parser("run", help="run Python with ComfyUI and this repository importable: run -- -m training.vae")
    run.add_argument("rest", nargs="*", metavar="-- ARGUMENT", help="passed to the interpreter")
    commands.add_parser("templates", help="lay the templates out, and make the blueprints and what shows them from them")
    commands.add_parser("locales", help="write locales/en from the nodes, after a text of theirs has changed")
    return parser


def _demo(ready: Environment, options: argparse.Namespace) -> int:
    from dev import console, demo

    console.set_up_logging()
    if options.list:
        for name, title in demo.templates().items():
            LOG.info("%-22s %s", name, title)
        return 0
    if options.template:
        if any(value is not None for value in (options.image, options.mask, options.dx, options.dy, options.prompt)):
            raise DevError("--template runs a template as it is; leave out IMAGE, --mask, --dx, --dy and --prompt.")
        demo.run_template(ready, options.template, options.out)
        return 0
    request = demo.Request(options.image, options.mask, options.dx, options.dy, options.prompt, options.out)
    demo.run(ready, request)
    return 0


def _run_python(ready: Environment, arguments: list[str]) -> NoReturn:
    """ComfyUI comes first on the path, and -P keeps the current folder off it: `nodes` must be ComfyUI's."""
    rest = arguments[1:] if arguments[:1] == ["--"] else arguments
    path = os.pathsep.join([str(ready.comfyui.root), str(REPOSITORY)])
    environment.become([str(ready.python), "-P", *rest], {"PYTHONPATH": path})


def _leave(_signal: int, _frame: object) -> NoReturn:
    """On SIGTERM, unwind as on an exit, so that a running server is stopped."""
    raise SystemExit(143)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
