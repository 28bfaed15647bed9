"""A real ComfyUI in this process, with the pack loaded as ComfyUI loads it.

ComfyUI goes first on sys.path: `nodes`, `server` and `utils` are its modules. The pack is copied into a `custom_nodes`
folder and loaded by ComfyUI's own `load_custom_node`, so its relative imports, entry point and schemas are all exercised.
Its modules then have names such as `/tmp/…/custom_nodes/dragon-diffusion.nodes.sampler`: take classes from the `pack`
fixture, never by importing `dragon_core` or `nodes` directly, or there would be two of each.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dev import environment
from dev.pack import install_release

sys.path.insert(0, str(environment.ensure().comfyui.root))

import torch  # noqa: E402
import utils.extra_config  # noqa: E402, F401 - as main.py does: nodes.py puts comfy/, which has a utils.py, before it
from comfy.cli_args import args  # noqa: E402

# Before anything imports comfy.model_management, which decides on the device at import.
args.cpu = not torch.cuda.is_available()


@dataclass(frozen=True)
class Pack:
    """The pack as ComfyUI has loaded it."""

    folder: Path
    module: ModuleType
    node_classes: dict[str, Any]

    def submodule(self, name: str) -> ModuleType:
        """`submodule("dragon_core.energies")`: the very module that the nodes use."""
        return importlib.import_module(f"{self.module.__name__}.{name}")


Execute = Callable[..., tuple[Any, ...]]


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """The pack, loaded once for all tests; the other nodes are ComfyUI's own (without API nodes)."""
    import nodes as comfy_nodes

    custom_nodes = tmp_path_factory.mktemp("comfyui") / "custom_nodes"
    folder = install_release(custom_nodes)

    async def load() -> bool:
        await comfy_nodes.init_public_apis()
        await comfy_nodes.init_builtin_extra_nodes()
        return bool(await comfy_nodes.load_custom_node(str(folder), module_parent="custom_nodes"))

    before = set(comfy_nodes.NODE_CLASS_MAPPINGS)
    assert asyncio.run(load()), f"ComfyUI could not load {folder}; its log above says why"
    module = sys.modules[str(folder).replace(".", "_x_")]
    ours = {
        name: node
        for name, node in comfy_nodes.NODE_CLASS_MAPPINGS.items()
        if name not in before and f"custom_nodes.{folder.name}" == node.RELATIVE_PYTHON_MODULE
    }
    return Pack(folder, module, ours)


@pytest.fixture(scope="session")
def execute(pack: Pack) -> Execute:
    """`execute("DragonInvert", model=…, steps=20)` → outputs, run as execution.py runs a node: under inference mode, on
    a locked clone of a V3 class, or on an instance of a V1 class. Takes ComfyUI's own nodes as well.
    """
    import execution
    from comfy_api.internal import _ComfyNodeInternal

    import nodes as comfy_nodes

    def call(node_id: str, **inputs: Any) -> tuple[Any, ...]:
        node_class = comfy_nodes.NODE_CLASS_MAPPINGS[node_id]
        node = node_class if issubclass(node_class, _ComfyNodeInternal) else node_class()
        hidden: dict[Any, Any] | None = None
        if issubclass(node_class, _ComfyNodeInternal):
            hidden = dict.fromkeys(node_class.GET_SCHEMA().hidden or ())

        async def run() -> tuple[Any, ...]:
            listed = {name: [value] for name, value in inputs.items()}
            outputs, _ui, has_subgraph, pending = await execution.get_output_data("test", "1", node, listed, hidden_inputs=hidden)
            assert not has_subgraph and not pending
            return tuple(values[0] for values in outputs)

        with torch.inference_mode():
            return asyncio.run(run())

    return call
