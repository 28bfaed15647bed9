"""Reading and writing the graphs that ship (`workflows/`, `subgraphs/`), as a person would want to see them in a diff."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Graph = dict[str, Any]
Node = dict[str, Any]


def save(graph: Graph, file: Path) -> bool:
    """Write it, lists of plain values on one line; returns whether that changed the file."""
    text = _text(graph) + "\n"
    if file.is_file() and file.read_text("utf-8") == text:
        return False
    file.write_text(text, "utf-8")
    return True


def titled(graph: Graph, name: str) -> Node:
    """The one node of that title, or of that type if it has no title of its own."""
    found = [node for node in graph["nodes"] if (node.get("title") or node["type"]) == name]
    if len(found) != 1:
        raise LookupError(f"{len(found)} nodes are called {name!r}")
    return found[0]


def of_types(graph: Graph, *types: str) -> list[Node]:
    return [node for node in graph["nodes"] if node["type"] in types]


def slot(slots: Iterable[dict[str, Any]], name: str) -> int:
    """Position of an input or output by its name."""
    return [each["name"] for each in slots].index(name)


def _text(value: Any, depth: int = 0) -> str:  # noqa: ANN401 - any JSON
    pad = " " * depth
    if isinstance(value, dict) and value:
        lines = (f"{pad} {json.dumps(key, ensure_ascii=False)}: {_text(each, depth + 1)}" for key, each in value.items())
        return "{\n" + ",\n".join(lines) + f"\n{pad}}}"
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        return "[\n" + ",\n".join(f"{pad} {_text(each, depth + 1)}" for each in value) + f"\n{pad}]"
    return json.dumps(value, ensure_ascii=False)
