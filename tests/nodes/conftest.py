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
from functools import lru_cache
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

#: The paper's loop. Shipped defaults are tuned for pictures and may change; what is proven here must not depend on them.
PAPER = {
    "energy_scale": 0.5,
    "scale_unit": "relative",
    "guide_every_until": 0.2,
    "guide_until": 0.6,
    "hold_background": 0.0,
    "hold_object_until": 0.0,
    "start_latent": "noise",
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


@dataclass(frozen=True)
class Mini:
    """The bundled model, as its node gives it."""

    model: Any
    clip: Any
    vae: Any


@dataclass(frozen=True)
class Scene:
    """A small picture, inverted, and an object to move in it."""

    positive: Any
    negative: Any
    image: torch.Tensor
    mask: torch.Tensor
    latent: Any
    trajectory: Any
    branch: Any
    start: Any
    sigmas: torch.Tensor


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


@pytest.fixture(scope="session")
def mini(run: Execute) -> Mini:
    """One model for all tests: none of them may change it."""
    return Mini(*run("DragonMiniModel"))


@pytest.fixture
def fresh_mini(run: Execute) -> Mini:
    """A model of the test's own, as nothing has sampled with it yet."""
    return Mini(*run("DragonMiniModel"))


@pytest.fixture(scope="session")
def make_scene(run: Execute, mini: Mini) -> Callable[..., Scene]:
    """`make_scene(height, width, batch, steps, refinement, taps)`; the same arguments give the same scene."""

    @lru_cache
    def make(height: int = 64, width: int = 96, batch: int = 1, steps: int = 4, refinement: int = 1, taps: int = 2) -> Scene:
        image = torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(7))
        image[:, height // 4 : height // 2, width // 8 : width // 3] = torch.tensor([0.9, 0.1, 0.1])
        mask = torch.zeros(1, height, width)
        mask[:, height // 4 : height // 2, width // 8 : width // 3] = 1
        (positive,) = run("CLIPTextEncode", clip=mini.clip, text="a red apple")
        (negative,) = run("CLIPTextEncode", clip=mini.clip, text="")
        (latent,) = run("VAEEncode", vae=mini.vae, pixels=image)
        trajectory, start, sigmas = run(
            "DragonInvert", model=mini.model, positive=positive, latent=latent, steps=steps, refinement=refinement
        )
        (branch,) = run("DragonGuidanceBranch", trajectory=trajectory, taps=taps)
        return Scene(positive, negative, image, mask, latent, trajectory, branch, start, sigmas)

    return make


@pytest.fixture(scope="session")
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """One picture, not square, in 4 steps."""
    return make_scene()


@pytest.fixture(scope="session")
def sample(run: Execute, mini: Mini) -> Callable[..., torch.Tensor]:
    """`sample(scene, model=…, energy=…, cfg=…)` → what DragonSampler makes of it."""

    def call(scene: Scene, **inputs: Any) -> torch.Tensor:
        given = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "branch": scene.branch, "cfg": 3.0}
        return run("DragonSampler", **{**given, **inputs})[0]["samples"]

    return call


@pytest.fixture(scope="session")
def move(run: Execute) -> Callable[..., Any]:
    """`move(scene, dx=…)` → the energy of moving the scene's object."""

    def call(scene: Scene, **inputs: Any) -> Any:
        return run("DragonMoveLoss", **{"mask": scene.mask, "dx": 24, "dy": 8, **inputs})[0]

    return call


@pytest.fixture(scope="session")
def euler(mini: Mini) -> Callable[..., torch.Tensor]:
    """`euler(scene, cfg=…, model=…)` → what ComfyUI itself makes of the scene's start latent with its euler sampler."""
    import comfy.sample
    import comfy.samplers

    def call(scene: Scene, cfg: float = 3.0, model: Any = None) -> torch.Tensor:
        start = scene.start["samples"]
        with torch.inference_mode():
            return comfy.sample.sample_custom(
                model or mini.model,
                torch.zeros_like(start),
                cfg,
                comfy.samplers.ksampler("euler"),
                scene.sigmas,
                scene.positive,
                scene.negative,
                start,
                seed=0,
            )

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
