"""Small transformers of every family, with random weights, and what to evaluate them with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import comfy.model_management
import comfy.sampler_helpers
import comfy.samplers
import pytest
import random_transformers
import torch
from random_transformers import Transformer


@pytest.fixture(scope="session")
def made() -> Callable[[Transformer], Any]:
    """`made(family)` → a MODEL, the same one for all tests: none may change it."""
    return lru_cache(random_transformers.make)


@pytest.fixture(scope="session")
def evaluate() -> Callable[..., torch.Tensor]:
    """`evaluate(model, prompt, x, sigma, options)` → the denoised latent, by ComfyUI's own evaluation of one prompt."""

    def call(model: Any, prompt: Any, x: torch.Tensor, sigma: float, options: dict[str, Any]) -> torch.Tensor:
        comfy.model_management.load_models_gpu([model])
        conds = {"positive": comfy.sampler_helpers.convert_cond(prompt)}
        conds = comfy.samplers.process_conds(model.model, torch.zeros_like(x), conds, x.device, x)
        level = torch.full((x.shape[0],), sigma)
        model.pre_run()
        try:
            with torch.no_grad():
                return comfy.samplers.calc_cond_batch(model.model, [conds["positive"]], x, level, options)[0]
        finally:
            model.cleanup()

    return call


@pytest.fixture(scope="session")
def flat() -> Callable[..., Any]:
    """`with flat(model, family):` it does not know where anything is but by its rotary embedding, if it has one."""

    @contextmanager
    def without_positions(model: Any, family: Transformer) -> Iterator[None]:
        network = model.model.diffusion_model
        table = None if family.rotary else getattr(network, "pos_embed", None)
        table = network.positional_encoding.data if table is None and not family.rotary else table
        kept = None if table is None else table.clone()
        if table is not None:
            table.zero_()
        yield
        if table is not None:
            table.copy_(kept)

    return without_positions
