"""A hundred requeues through the server, edits changing and interrupts at random steps: memory stays, and so does the stock sampler."""

from __future__ import annotations

import io
import logging
import random
import statistics
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from dev import environment, pack
from dev.client import ExecutionFailed, Progress
from dev.server import Server, running

LOG = logging.getLogger(__name__)

Prompt = dict[str, dict[str, Any]]
REQUEUES, GROWTH = 100, 0.01
#: Runs after which nothing is loaded or cached for the first time any more, and runs of which a median is taken.
WARM_UP, LOOK = 40, 20

STOCK: Prompt = {
    "model": {"class_type": "DragonMiniModel", "inputs": {}},
    "positive": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["model", 1], "text": "a red apple"}},
    "negative": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["model", 1], "text": ""}},
    "empty": {"class_type": "EmptyLatentImage", "inputs": {"width": 96, "height": 64, "batch_size": 1}},
    "ksampler": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["model", 0],
            "positive": ["positive", 0],
            "negative": ["negative", 0],
            "latent_image": ["empty", 0],
            "steps": 3,
            "cfg": 3.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
        },
    },
    "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["ksampler", 0], "vae": ["model", 2]}},
    "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0]}},
}


@pytest.fixture(scope="module")
def soaked() -> Iterator[Server]:
    with running(environment.ensure(), install=pack.install_release) as started:
        yield started


def resident(server: Server) -> int:
    """Bytes of the server's process that are in memory."""
    base = str(server.base)
    own = [process for process in psutil.Process().children(recursive=True) if any(base in word for word in process.cmdline())]
    assert own, "the server's process was not found"
    return max(process.memory_info().rss for process in own)


def edit(server: Server, chance: random.Random, number: int) -> Prompt:
    """Another edit of the same picture: a move, a resize, a drag or a removal, of another strength and place."""
    kind, inputs = chance.choice(
        [
            ("DragonMoveLoss", {"dx": chance.randrange(8, 40), "dy": chance.randrange(-8, 8)}),
            ("DragonResizeLoss", {"scale": chance.choice([0.7, 1.3, 1.6])}),
            ("DragonDragLoss", {"points": f"[[[24, 28], [{chance.randrange(30, 60)}, 30]]]", "mask_means": "object"}),
            ("DragonInpaintLoss", {}),
        ]
    )
    prompt: Prompt = {name: node for name, node in STOCK.items() if name not in ("empty", "ksampler")}
    prompt |= {
        "picture": {"class_type": "EmptyImage", "inputs": {"width": 96, "height": 64, "batch_size": 1, "color": 0x336699}},
        "encode": {"class_type": "VAEEncode", "inputs": {"pixels": ["picture", 0], "vae": ["model", 2]}},
        "invert": {
            "class_type": "DragonInvert",
            "inputs": {"model": ["model", 0], "positive": ["positive", 0], "latent": ["encode", 0], "steps": 4},
        },
        "branch": {"class_type": "DragonGuidanceBranch", "inputs": {"trajectory": ["invert", 0]}},
        "black": {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 96, "height": 64}},
        "white": {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 32, "height": 24}},
        "mask": {
            "class_type": "MaskComposite",
            "inputs": {"destination": ["black", 0], "source": ["white", 0], "x": 8, "y": 16, "operation": "add"},
        },
        "edit": {"class_type": kind, "inputs": {"mask": ["mask", 0], **inputs}},
        "draft": {"class_type": "DragonDraft", "inputs": {"image": ["picture", 0], "energy": ["edit", 0]}},
        "share": {"class_type": "DragonCrossAttnPatch", "inputs": {"model": ["model", 0], "branch": ["branch", 0]}},
        "sample": {
            "class_type": "DragonSampler",
            "inputs": {
                "model": ["share", 0],
                "positive": ["positive", 0],
                "negative": ["negative", 0],
                "branch": ["branch", 0],
                "energy": ["edit", 0],
                "seed": number,
                "hold_object_until": 0.0,
            },
        },
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["sample", 0], "vae": ["model", 2]}},
        "look": {"class_type": "PreviewImage", "inputs": {"images": ["draft", 0]}},
    }
    return with_defaults(server, prompt)


def with_defaults(server: Server, prompt: Prompt) -> Prompt:
    """The prompt with the defaults of the nodes' widgets, as the frontend fills them in."""
    info = declared(server)
    filled: Prompt = {}
    for name, node in prompt.items():
        defaults: dict[str, Any] = {}
        for widget, (kind, *options) in info[node["class_type"]]["input"].get("required", {}).items():
            choices = kind if isinstance(kind, list) else options[0].get("options", []) if options else []
            if choices or (options and "default" in options[0]):
                defaults[widget] = options[0]["default"] if options and "default" in options[0] else choices[0]
        filled[name] = {"class_type": node["class_type"], "inputs": {**defaults, **node["inputs"]}}
    return filled


@cache
def declared(server: Server) -> dict[str, Any]:
    return server.client.object_info()


def stock(server: Server, seed: int, name: str) -> Any:
    prompt = with_defaults(server, STOCK)
    prompt["ksampler"]["inputs"]["seed"] = seed
    prompt["save"]["inputs"]["filename_prefix"] = name  # or the cache would answer
    (saved,) = server.client.run(prompt).images
    return np.asarray(Image.open(io.BytesIO(server.client.fetch(saved))))


def test_a_hundred_requeues_leave_nothing_behind(soaked: Server, record_property: Any) -> None:
    chance = random.Random(17)
    before = stock(soaked, 5, "before")
    stock(soaked, 6, "other")  # so that the same seed later is sampled anew
    memory, interrupted = [], 0
    for number in range(REQUEUES):
        stop_at = chance.choice([None, None, 1, 2, 3])

        def cancel(progress: Progress, stop_at: int | None = stop_at) -> None:
            if progress.node_id == "sample" and progress.maximum and progress.value == stop_at:
                threading.Thread(target=soaked.client.interrupt).start()

        try:
            soaked.client.run(edit(soaked, chance, number), cancel)
        except ExecutionFailed as error:
            assert stop_at is not None and "interrupted" in str(error), error
            interrupted += 1
        memory.append(resident(soaked))
    early, late = statistics.median(memory[WARM_UP : WARM_UP + LOOK]), statistics.median(memory[-LOOK:])
    figures = f"{early / 2**20:.0f} MiB after {WARM_UP}, {late / 2**20:.0f} MiB after {REQUEUES}, {interrupted} interrupted"
    record_property("soak", figures)
    LOG.info(figures)
    assert interrupted > 20
    assert late / early - 1 <= GROWTH, figures
    assert np.array_equal(stock(soaked, 5, "after"), before)
