"""One real ComfyUI inside this process, with the pack loaded as ComfyUI loads it; edits run the nodes themselves.

Start with ``python3 -m dev run -- -m benchmarks.ground_truth …``, which puts ComfyUI before this repository on the path.
Inputs that are not given take the defaults of the node's own schema, so that defaults are measured as shipped. Nothing of
the pack is imported by name: a node is looked up by its id and called as the server calls it, under inference mode.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import comfy.options
import numpy as np
import torch

comfy.options.enable_args_parsing(False)

from comfy.cli_args import args  # noqa: E402 - parsing must be off first

args.cpu = not torch.cuda.is_available()

from benchmarks.cases import Case, Mask, Picture  # noqa: E402
from benchmarks.cost import Meter  # noqa: E402
from benchmarks.flow_model import as_flow  # noqa: E402
from benchmarks.model_files import ModelFiles  # noqa: E402
from benchmarks.settings import SettingError, Settings  # noqa: E402

comfyui_version: Any = importlib.import_module("comfyui_version")
comfy_nodes: Any = importlib.import_module("nodes")  # ComfyUI's, not this repository's folder of that name

if not hasattr(comfy_nodes, "load_custom_node"):
    raise ImportError(f"'nodes' is {comfy_nodes}, not ComfyUI's. Run: python3 -m dev run -- -m benchmarks.ground_truth …")

REPOSITORY = Path(__file__).resolve().parent.parent
PLAIN = Settings()
#: Stands for the bundled model as a rectified flow, see `flow_model`.
BUNDLED_FLOW = "bundled-flow"
T = TypeVar("T")


class Host:
    """ComfyUI's nodes, the model under test, and a memory of what the methods of one case have in common."""

    def __init__(self, checkpoint: str | ModelFiles | None = None) -> None:
        """``checkpoint``: a file, or files, that ComfyUI's own loaders know; None takes the bundled model, :data:`BUNDLED_FLOW` that as a
        flow.
        """
        if not asyncio.run(comfy_nodes.load_custom_node(str(REPOSITORY))):
            raise RuntimeError(f"ComfyUI could not load the pack from {REPOSITORY}; see its message above.")
        self.meter = Meter()
        self._checkpoint = checkpoint
        self._digest = str(checkpoint) if checkpoint not in (None, BUNDLED_FLOW) else f"{_weights_digest()}{checkpoint or ''}"
        self._case: Case | None = None
        self._memory: dict[object, tuple[Any, Any]] = {}

    # ----- nodes -----------------------------------------------------------------------------------------------

    def run(self, node_id: str, settings: Settings = PLAIN, **inputs: object) -> tuple[Any, ...]:
        """A node's outputs. Inputs: what is given here, then the settings, then the schema's defaults."""
        node = comfy_nodes.NODE_CLASS_MAPPINGS[node_id]
        values = {**self.defaults(node_id), **settings.of_node(node_id, self._widgets(node_id)), **inputs}
        target = node.PREPARE_CLASS_CLONE({}) if hasattr(node, "PREPARE_CLASS_CLONE") else node()
        with torch.inference_mode():
            answer = getattr(target, node.FUNCTION)(**values)
        outputs: tuple[Any, ...] = answer if isinstance(answer, tuple) else answer.result
        return outputs

    def defaults(self, node_id: str) -> dict[str, object]:
        """The values of the node's widgets as shipped; inputs that only a link can fill are left out."""
        return {name: default for name, (default, _) in self._widgets(node_id).items() if default is not None}

    def check(self, settings: Settings) -> None:
        """Refuse settings that no Dragon node has, or that a choice does not offer."""
        for key, value in settings.overrides.items():
            node_id, _, name = key.rpartition(".")
            owners = {n: self._widgets(n) for n in self._own_nodes() if node_id in ("", n) and name in self._widgets(n)}
            if not owners:
                known = sorted({f"{n}.{w}" for n in self._own_nodes() for w in self._widgets(n)})
                raise SettingError(f"No Dragon node has an input '{key}'. There are: {', '.join(known)}.")
            for owner, widgets in owners.items():
                choices = widgets[name][1]
                if choices and value not in choices:
                    raise SettingError(f"{owner}.{name} cannot be {value!r}; it is one of {', '.join(map(str, choices))}.")

    def has_input(self, node_id: str, name: str) -> bool:
        return name in self._widgets(node_id)

    def shipped(self) -> dict[str, object]:
        """Every Dragon widget's default as ``Node.input``: what a result was measured with."""
        return {f"{n}.{name}": value for n in self._own_nodes() for name, value in sorted(self.defaults(n).items())}

    def resolved(self, settings: Settings, node_ids: Iterable[str]) -> dict[str, object]:
        """Every widget's value of these nodes under these settings."""
        values: dict[str, object] = {}
        for node_id in node_ids:
            chosen = {**self.defaults(node_id), **settings.of_node(node_id, self._widgets(node_id))}
            values |= {f"{node_id}.{name}": value for name, value in chosen.items()}
        return values

    def about(self) -> dict[str, object]:
        """What a result was measured with and on."""
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
        return {"comfyui": comfyui_version.__version__, "torch": torch.__version__, "device": device, "weights": self.weights}

    @staticmethod
    def _own_nodes() -> list[str]:
        return sorted(node_id for node_id in comfy_nodes.NODE_CLASS_MAPPINGS if node_id.startswith("Dragon"))

    @staticmethod
    def _widgets(node_id: str) -> dict[str, tuple[object, list[object]]]:
        """Input name → (default, choices) of every input that a widget can fill."""
        found: dict[str, tuple[object, list[object]]] = {}
        declared: Mapping[str, Mapping[str, Any]] = comfy_nodes.NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES()
        for group in ("required", "optional"):
            for name, declaration in declared.get(group, {}).items():
                kind, options = declaration[0], declaration[1] if len(declaration) > 1 else {}
                choices = list(kind) if isinstance(kind, list) else list(options.get("options") or ())
                if choices or kind in ("INT", "FLOAT", "BOOLEAN", "STRING"):
                    found[name] = (options.get("default", choices[0] if choices else None), choices)
        return found

    # ----- the model -------------------------------------------------------------------------------------------

    @cached_property
    def loaded(self) -> tuple[Any, Any, Any]:
        """(MODEL that reports to the meter, CLIP, VAE)."""
        if self._checkpoint in (None, BUNDLED_FLOW):
            model, clip, vae = self.run("DragonMiniModel")[:3]
        elif isinstance(self._checkpoint, ModelFiles):
            model, clip, vae = self._of_files(self._checkpoint)
        else:
            model, clip, vae = self.run("CheckpointLoaderSimple", ckpt_name=self._checkpoint)[:3]
        return self.meter.metered(as_flow(model) if self._checkpoint == BUNDLED_FLOW else model), clip, vae

    def _of_files(self, files: ModelFiles) -> tuple[Any, Any, Any]:
        (model,) = self.run("UNETLoader", unet_name=files.diffusion_model)
        if len(files.text_encoders) == 1:
            (clip,) = self.run("CLIPLoader", clip_name=files.text_encoders[0], type=files.kind)
        else:
            first, second = files.text_encoders
            (clip,) = self.run("DualCLIPLoader", clip_name1=first, clip_name2=second, type=files.kind)
        return model, clip, self.run("VAELoader", vae_name=files.vae)[0]

    @property
    def cell(self) -> int:
        """Pixels along each side of what a latent's cell covers; of other sides the VAE crops a picture."""
        return int(self.loaded[2].spacial_compression_encode())

    @property
    def weights(self) -> str:
        """Fingerprint of the weights under test."""
        return self._digest

    def text(self, prompt: str) -> object:
        """CONDITIONING of a prompt."""
        return self.remember(("text", prompt), lambda: self.run("CLIPTextEncode", clip=self.loaded[1], text=prompt)[0])

    def encode(self, picture: Picture) -> object:
        """LATENT of a picture (H, W, 3)."""
        return self.run("VAEEncode", vae=self.loaded[2], pixels=self.image(picture))[0]

    def decode(self, latent: object) -> Picture:
        """Picture (H, W, 3) of a LATENT."""
        return self.picture(self.run("VAEDecode", vae=self.loaded[2], samples=latent)[0])

    @staticmethod
    def image(picture: Picture) -> torch.Tensor:
        """IMAGE (1, H, W, 3)."""
        return torch.from_numpy(np.ascontiguousarray(picture))[None]

    @staticmethod
    def picture(image: object) -> Picture:
        """Picture (H, W, 3) of an IMAGE."""
        pixels: Picture = torch.as_tensor(image)[0, ..., :3].float().cpu().clamp(0, 1).numpy()
        return pixels

    @staticmethod
    def mask(mask: Mask) -> torch.Tensor:
        """MASK (1, H, W)."""
        return torch.from_numpy(mask.astype(np.float32))[None]

    # ----- what a case's methods have in common ----------------------------------------------------------------

    def begin(self, case: Case) -> None:
        """Turn to a case; what was remembered of another one is dropped. Loading the model is charged to none."""
        _ = self.loaded
        if case is not self._case:
            self._memory.clear()
            self._case = case

    def remember(self, key: object, make: Callable[[], T]) -> T:
        """``make()``, once per case and key; its cost is charged every time."""
        if key in self._memory:
            value, cost = self._memory[key]
            self.meter.add(cost)
        else:
            before = self.meter.read()
            value = make()
            self._memory[key] = value, self.meter.read() - before
        remembered: T = value
        return remembered


def _weights_digest() -> str:
    """Of the bundled model's files."""
    total = hashlib.sha256()
    for path in sorted((REPOSITORY / "mini_model").glob("*.safetensors")):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]
