"""`python3 -m dev locales`: the nodes' English texts where ComfyUI's frontend looks for them, from the nodes themselves.

`locales/LANGUAGE/nodeDefs.json` is node id → display_name, description, inputs.NAME and outputs.INDEX with name and tooltip.
Chinese is written by hand; tests/nodes/test_locales.py says what it lacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev import pack
from dev.environment import Environment
from dev.paths import REPOSITORY
from dev.server import running

LOCALES = REPOSITORY / "locales"
PREFIX = "Dragon"


def write(environment: Environment) -> Path:
    """Ask a real server what the nodes are, and write it down in English."""
    with running(environment, install=pack.install_release) as server:
        infos = {name: info for name, info in server.client.object_info().items() if name.startswith(PREFIX)}
    file = LOCALES / "en" / "nodeDefs.json"
    file.write_text(json.dumps(texts(infos), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return file


def texts(infos: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every text a user sees of these nodes; `infos` as in `/object_info`."""
    return {name: _of_node(info) for name, info in infos.items()}


def _of_node(info: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {name: options for group in ("required", "optional") for name, (_, options) in info["input"].get(group, {}).items()}
    outputs = zip(info["output_name"], info["output_tooltips"], strict=True)
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {name: {"name": options.get("display_name") or name, "tooltip": options["tooltip"]} for name, options in inputs.items()},
        "outputs": {str(index): {"name": name, "tooltip": tooltip} for index, (name, tooltip) in enumerate(outputs)},
    }
