"""Rooms import downwards only: nodes → host → edits → diffusion → imaging (docs/architecture.md)."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ("dragon_core.errors", "dragon_core.imaging", "dragon_core.diffusion", "dragon_core.edits")
NODES = ("nodes.losses", "nodes.sampling", "nodes.canvas", "nodes.pictures")
#: Each room, and the rooms it may import besides itself.
MAY_IMPORT = {
    "dragon_core.errors": (),
    "dragon_core.imaging": CORE[:1],
    "dragon_core.diffusion": CORE[:2],
    "dragon_core.edits": CORE[:3],
    "dragon_core.document": CORE[:2],
    "nodes.host": CORE,
    "nodes.schema": (*CORE, "dragon_core.document"),
    "nodes.bundled": CORE[:1],
    **dict.fromkeys(NODES, (*CORE, "dragon_core.document", "nodes.host", "nodes.schema", "nodes.bundled", *NODES)),
    "nodes": NODES,
}


def room_of(module: str) -> str | None:
    """The room a dotted module lies in; None for what is not ours."""
    return max((room for room in MAY_IMPORT if module == room or module.startswith(room + ".")), key=len, default=None)


def imported(file: Path) -> set[str]:
    """The modules of the pack that a file imports, dotted from the pack's root."""
    package = list(file.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            found |= {".".join(part for part in (*base, alias.name) if part) for alias in node.names}
    return found


def test_no_module_imports_upwards() -> None:
    files = [file for top in ("dragon_core", "nodes") for file in (ROOT / top).rglob("*.py")]
    wrong = []
    for file in files:
        own = room_of(".".join(file.relative_to(ROOT).with_suffix("").parts))
        if own is None:  # dragon_core/__init__.py
            assert not imported(file)
            continue
        wrong += [
            f"{file.relative_to(ROOT)} imports {module}"
            for module in sorted(imported(file))
            if room_of(module) not in (own, *MAY_IMPORT[own])
        ]
    assert len(files) > 80 and wrong == []


def test_the_core_knows_no_host() -> None:
    """torch, einops, scipy and numpy beside the standard library: never ComfyUI, which would tie the method to it."""
    hosts = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes", "execution", "server", "PIL"}
    for file in (ROOT / "dragon_core").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not hosts & {name.split(".")[0] for name in names}, file
