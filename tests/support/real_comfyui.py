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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
        """`submodule("dragon_core.diffusion.energies")`: the very module that the nodes use."""
        return importlib.import_module(f"{self.module.__name__}.{name}")


Execute = Callable[..., tuple[Any, ...]]

#: The paper's loop. Shipped defaults are tuned for pictures and may change; what is proven here must not depend on them.
PAPER = {
    "energy_scale": 0.5,
    "scale_unit": "relative",
    "guide_every_until": 0.2,
    "guide_until": 0.6,
    "hold_background": 0.0,
    "hold_object_until": 0.0,
    "fresh_noise": False,
    "open_background": 0.0,
    "start_latent": "noise",
    "method": "ddim",
}


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

    assert asyncio.run(load()), f"ComfyUI could not load {folder}; its log above says why"
    module = sys.modules[str(folder).replace(".", "_x_")]
    ours = {
        name: node
        for name, node in comfy_nodes.NODE_CLASS_MAPPINGS.items()
        if getattr(node, "RELATIVE_PYTHON_MODULE", None) == f"custom_nodes.{folder.name}"
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
        # Positional below: the same place has another name, and another content, from release to release.
        _, _, hidden = execution.get_input_data({}, node_class, "1")

        async def run() -> tuple[Any, ...]:
            listed = {name: [value] for name, value in inputs.items()}
            outputs, _ui, has_subgraph, pending = await execution.get_output_data("test", "1", node, listed, None, None, hidden)
            assert not has_subgraph and not pending
            return tuple(values[0] for values in outputs)

        with torch.inference_mode():
            return asyncio.run(run())

    return call


@pytest.fixture(scope="session")
def run(execute: Execute) -> Execute:
    """`execute`; what is not given is as in the paper, or else the default of the node's widget, as in the frontend."""
    import nodes as comfy_nodes

    def call(node_id: str, **inputs: Any) -> tuple[Any, ...]:
        defaults: dict[str, Any] = {}
        for group in ("required", "optional"):
            for name, (kind, *options) in comfy_nodes.NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES().get(group, {}).items():
                declared = options[0] if options else {}
                choices = list(kind) if isinstance(kind, list) else list(declared.get("options") or ())
                if choices or "default" in declared:
                    defaults[name] = declared.get("default", choices[0] if choices else None)
        paper = {name: value for name, value in PAPER.items() if name in defaults}
        return execute(node_id, **{**defaults, **paper, **inputs})

    return call


@dataclass(frozen=True)
class Evaluation:
    """One call of the UNet: its rows, at which noise level, for which conditionings (0 positive, 1 negative)."""

    sigma: float
    rows: int
    conditionings: tuple[int, ...]


@pytest.fixture(scope="session")
def watched() -> Callable[[Any], tuple[Any, list[Evaluation]]]:
    """`model, seen = watched(model)`: a clone that lists what its UNet is asked for, through ComfyUI's own wrapper API."""
    from comfy.patcher_extension import WrappersMP

    def watch(model: Any) -> tuple[Any, list[Evaluation]]:
        seen: list[Evaluation] = []
        clone = model.clone()

        def wrapper(executor: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            options = next(a for a in (*args, *kwargs.values()) if isinstance(a, dict) and "cond_or_uncond" in a)
            seen.append(Evaluation(float(options["sigmas"][0]), x.shape[0], tuple(options["cond_or_uncond"])))
            return executor(x, *args, **kwargs)

        clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watch", wrapper)
        return clone, seen

    return watch


@pytest.fixture(scope="session")
def refused() -> Callable[..., AbstractContextManager[None]]:
    """`with refused("DragonInvert", "steps"):` - what happens inside must raise a ValueError that begins with the node's
    name and has these words in it: what is wrong, and what to do.
    """

    @contextmanager
    def check(node_id: str, *words: str) -> Iterator[None]:
        with pytest.raises(ValueError) as caught:
            yield
        message = str(caught.value)
        assert message.startswith(f"{node_id}: ")
        assert [word for word in words if word not in message] == [], message

    return check
