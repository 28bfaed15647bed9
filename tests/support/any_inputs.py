"""Any inputs for any node of the pack, drawn by hypothesis from what the node declares; what may come of them.

Links get what their own nodes make, and what people connect by mistake: pictures of one channel, masks of nothing, latents of other
models. Numbers get all that the widget allows, but for steps, which only cost time.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Run = Callable[..., tuple[Any, ...]]
SIZE = (64, 96)
#: An error that names its node; and seconds after which a node counts as hanging, on a machine that has other work.
NAMED, HANG = re.compile(r"Dragon\w+: "), 300

#: Widgets whose large values only take long.
SHORT = {"steps": (-1, 4), "refinement": (0, 2), "travel_passes": (1, 3), "denoise": (0, 1)}
POINTS = st.floats(-20, 120, width=32) | st.floats(0, 1, width=32)
TEXTS = st.one_of(
    st.lists(st.lists(st.lists(POINTS, min_size=2, max_size=2), min_size=2, max_size=2), max_size=4).map(json.dumps),
    st.lists(st.lists(POINTS, min_size=2, max_size=2), max_size=5).map(json.dumps),
    st.lists(st.fixed_dictionaries({"x": POINTS, "y": POINTS}), max_size=4).map(json.dumps),
    st.sampled_from(["", "[]", "{", "null", "[[[12, 24], [40, 24]]]", "[(12, 24), (40, 30)]", '{"version": 1}', '{"version": 9}']),
    st.text(max_size=20),
)


class Playground:
    """What can be connected: by type of the link, a list of things."""

    def __init__(self, run: Run) -> None:
        self.run = run
        generator = torch.Generator().manual_seed(7)
        image = torch.rand(1, *SIZE, 3, generator=generator)
        mask = torch.zeros(1, *SIZE)
        mask[:, 16:32, 12:32] = 1
        self.model, clip, vae = run("DragonMiniModel")
        (self.positive,) = run("CLIPTextEncode", clip=clip, text="a red apple")
        (negative,) = run("CLIPTextEncode", clip=clip, text="")
        (self.latent,) = run("VAEEncode", vae=vae, pixels=image)
        inputs = {"model": self.model, "positive": self.positive, "latent": self.latent, "steps": 3}
        trajectory, start, sigmas = run("DragonInvert", **inputs)
        shorter = run("DragonInvert", **{**inputs, "steps": 2})[0]
        branch, both = (run("DragonGuidanceBranch", trajectory=trajectory, **more)[0] for more in ({}, {"reference": trajectory}))
        move, other = (run("DragonMoveLoss", mask=each, dx=24, dy=8)[0] for each in (mask, mask.flip(1).flip(2)))
        paste = run("DragonPasteLoss", reference_mask=mask, x=60, y=30)[0]
        (shared,) = run("DragonCrossAttnPatch", model=self.model, branch=branch)
        drawing = run("DragonCanvas", image=image)[9]
        masks = [mask, mask[0], torch.cat([mask, mask.flip(2)]), mask.repeat(3, 1, 1), torch.zeros(0, *SIZE), torch.zeros(1, *SIZE)]
        broken = [torch.ones(1, *SIZE), torch.full((1, *SIZE), torch.nan), mask * 255, mask[:, :32], mask.unsqueeze(1)]
        self.links: dict[str, list[Any]] = {
            "MODEL": [self.model, self.model, shared],
            "VAE": [vae],
            "CONDITIONING": [self.positive, negative, []],
            "IMAGE": [image, image, image[0], image[..., :1], torch.rand(1, *SIZE, 4), image.repeat(2, 1, 1, 1), image[:, :32]]
            + [torch.rand(1, 67, 99, 3), torch.full_like(image, torch.nan), image * 3 - 1, torch.zeros(0, *SIZE, 3), image[:, :1, :1]],
            "MASK": [mask, mask, mask, *masks, *broken],
            "LATENT": [self.latent, self.latent, start, {"samples": torch.ones(1, 16, 8, 12)}, {"samples": torch.ones(1, 4, 1, 8, 12)}]
            + [{"samples": torch.full((1, 4, 8, 12), torch.nan)}, {"samples": torch.ones(1, 4, 4, 4)}],
            "SIGMAS": [sigmas, sigmas.flip(0), sigmas[:1], torch.tensor([9.0, 9.0, 0.0]), torch.tensor([9.0, torch.nan, 0.0])],
            "DRAGON_TRAJECTORY": [trajectory, trajectory, shorter],
            "DRAGON_BRANCH": [branch, both],
            "DRAGON_ENERGY": [(*move,), (*move, *other), (*paste,), ()],
            "DRAGON_READINGS": [()],
            "DRAGON_CROP": [run("DragonCrop", image=image, energy=move, side=side)[2] for side in (64, 512)],
            "DRAGON_DRAWING": [drawing],
            "TRACKS": [{"track_path": 90 * torch.rand(n, 2, 2), "track_visibility": torch.rand(n, 1) > 0.3} for n in (1, 3)]
            + [{"track_path": torch.full((2, 1, 2), torch.nan)}, {"track_path": torch.zeros(0, 1, 2)}, {}],
        }

    def stock(self) -> torch.Tensor:
        """ComfyUI's KSampler with the same model."""
        (empty,) = self.run("EmptyLatentImage", width=SIZE[1], height=SIZE[0])
        inputs = {"model": self.model, "positive": self.positive, "negative": self.positive, "latent_image": empty}
        chosen = {"seed": 5, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal"}
        samples: torch.Tensor = self.run("KSampler", **inputs, **chosen)[0]["samples"]
        return samples

    def inputs(self, node_class: Any) -> st.SearchStrategy[dict[str, Any]]:
        """What may be given to a node: all that it requires, and some of the rest."""
        declared = node_class.INPUT_TYPES()
        required = {name: self._values(name, *spec) for name, spec in declared.get("required", {}).items()}
        optional = {name: self._values(name, *spec) for name, spec in declared.get("optional", {}).items()}
        return st.fixed_dictionaries(required, optional=optional)

    def _values(self, name: str, kind: Any, options: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
        options = options or {}
        choices = list(kind) if isinstance(kind, list) else list(options.get("options") or ())
        if choices:
            return st.sampled_from(choices)
        usual = st.just(options["default"]) if "default" in options else st.nothing()
        if kind in ("INT", "FLOAT"):
            low, high = SHORT.get(name, (options.get("min", -100), options.get("max", 100)))
            return usual | (st.integers(int(low), int(high)) if kind == "INT" else st.floats(low, high, allow_nan=False))
        if kind == "BOOLEAN":
            return st.booleans()
        fitting = [each for part in kind.split(",") for each in self.links.get(part, ())]
        if fitting:
            made = st.sampled_from(range(len(fitting))).map(fitting.__getitem__)
            return made | TEXTS if "STRING" in kind.split(",") else made
        return usual | TEXTS  # STRING, the canvas's widget, and what takes a text or a pose


def tensors(value: Any) -> list[torch.Tensor]:
    """All pictures, masks and latents in an output."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [each for part in value.values() for each in tensors(part)]
    return [each for part in value for each in tensors(part)] if isinstance(value, tuple | list) else []


def check_any_inputs(ground: Playground, node_classes: dict[str, Any], cases: int) -> None:
    """So many cases: each ends in finite numbers or in an error that begins with the node's name, soon, and the model is as before."""
    before = ground.stock()
    names = sorted(name for name in node_classes if name != "DragonMiniModel")

    @settings(max_examples=cases, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def case(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(names))
        inputs = data.draw(ground.inputs(node_classes[name]))
        began = time.monotonic()
        try:
            outputs = ground.run(name, **inputs)
        except ValueError as error:
            assert NAMED.match(str(error)), f"{name} raised a raw error: {error!r}"
        else:
            assert all(torch.isfinite(each).all() for each in tensors(outputs)), f"{name} gave numbers that are none"
        assert time.monotonic() - began < HANG

    case()
    assert torch.equal(ground.stock(), before)
