"""Transformers: edited without gradients, by the draft, the trajectory and its residual, latent blending and shared attention."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import comfy.model_patcher
import comfy.patcher_extension
import torch
from torch import Tensor, nn
from typing_extensions import override

from ....dragon_core.diffusion.sharing import Sharing
from ....dragon_core.edits.base import Edit
from ....dragon_core.edits.token_map import TokenMap
from ....dragon_core.errors import DragonError
from ..tokens import SHARING, STATE
from .base import Backbone, Options, SharedAttention
from .keys import Calls, KeyExchange, SharedKeys, overriding
from .token_layout import Shapes, TokenLayout, patch_size, rotary_embeddings

log = logging.getLogger(__name__)

#: Under this key ComfyUI's TorchCompileModel keeps its wrapper.
COMPILED = "torch.compile"


class Transformer(Backbone):
    """Any network whose attention goes through ComfyUI's own functions: those are asked for keys and values, nothing else is touched."""

    gradients = False

    @override
    def tap_blocks(self, network: nn.Module, count: int) -> tuple[int, ...]:
        raise DragonError("this needs features of a UNet's decoder, which a transformer does not have: use a Stable Diffusion model")

    @override
    def patched(self, model: comfy.model_patcher.ModelPatcher, sharing: Sharing) -> comfy.model_patcher.ModelPatcher:
        why = cannot_share(_network(model))
        if why is not None:
            raise DragonError(f"keys and values of this model cannot be shared, as {why}: sample with the model itself")
        clone = model.clone()
        clone.model_options["transformer_options"] = {**clone.model_options.get("transformer_options", {}), SHARING: sharing}
        return clone

    @override
    def attention(self, model: comfy.model_patcher.ModelPatcher, sharing: Sharing, edits: tuple[Edit, ...]) -> SharedAttention:
        return KeySharing(_network(model), sharing, edits)


def _network(model: comfy.model_patcher.ModelPatcher) -> nn.Module:
    """The network itself, also where it was compiled."""
    network: nn.Module = model.get_model_object("diffusion_model")
    return getattr(network, "_orig_mod", network)


def cannot_share(network: nn.Module) -> str | None:
    """Why keys and values cannot be brought to other places; None where they can."""
    found = rotary_embeddings(network)
    if patch_size(network) is None:
        return "it does not say how large its tokens are"
    if len(found) > 1:
        return "it has more than one rotary embedding"
    if not found and not (hasattr(network, "joint_blocks") or hasattr(network, "double_layers")):
        return "how it encodes positions is not known"
    return None


class KeySharing(SharedAttention):
    """Keys and values of the known pictures at their new places, see `keys`."""

    last_block = None
    sees_edited = False  # tokens of what is moved are turned to where they go

    def __init__(self, network: nn.Module, sharing: Sharing, edits: tuple[Edit, ...]) -> None:
        self.network, self.how = network, sharing
        self.edits = tuple(edit.on(torch.device("cpu"), 1) for edit in edits)  # where the map is worked out
        self.layouts: dict[torch.Size, TokenLayout] = {}
        self.calls = 0
        self.map: tuple[TokenMap, Tensor] | None = None

    @override
    @contextmanager
    def collecting(self, options: Options, latent: Tensor, ends: bool = False) -> Iterator[tuple[Options, Calls]]:
        layout, tokens = self._layout(latent), Calls()
        exchange = KeyExchange(layout, self.how, self.calls, collected=tokens)
        yield _with(options, exchange), tokens
        if self.calls == 0:  # now that it is known how many there are, only those of the window are kept
            self.calls = exchange.seen
            for call in [call for call in tokens if not self.how.in_block(call, self.calls)]:
                del tokens[call]
            if exchange.seen == 0:
                log.warning("Dragon: this model's attention does not go through ComfyUI's, so its keys and values cannot be shared")

    @override
    def joined(self, source: Calls, reference: Calls | None, edited: Calls | None) -> Calls:
        if reference is None:
            return source
        return {call: own.and_then(reference[call]) for call, own in source.items() if call in reference}

    @override
    @contextmanager
    def sharing(self, options: Options, latent: Tensor, tokens: Calls | None) -> Iterator[Options]:
        if not tokens:
            yield options
            return
        layout = self._layout(latent)
        yield _with(options, KeyExchange(layout, self.how, self.calls, shared=SharedKeys(tokens, *self._map(latent, layout))))

    def _layout(self, latent: Tensor) -> TokenLayout:
        shape = latent.shape[1:]
        if shape not in self.layouts:
            self.layouts[shape] = TokenLayout.of(self.network, latent.shape)
        return self.layouts[shape]

    def _map(self, latent: Tensor, layout: TokenLayout) -> tuple[TokenMap, Tensor]:
        """Which token is seen where, and how far that is in positions. Once a run, when an evaluation has shown what positions are like."""
        if self.map is None:
            second = next((shape for shape in self.layouts if shape != latent.shape[1:]), latent.shape[1:])
            size, other = ((shape[-2], shape[-1]) for shape in (latent.shape, second))
            token_map = TokenMap.of(self.edits, size, layout.token, other)
            token_map = token_map.of_frames(layout.grid[0], self.layouts[second].grid).to(latent.device)
            self.map = (token_map, torch.stack([layout.offsets(shift) for shift in token_map.shift]))
        return self.map


def _with(options: Options, exchange: KeyExchange) -> Options:
    """Model options with which each evaluation, of which there may be one for each prompt, is laid out and counted by itself."""
    transformer = overriding(options.get("transformer_options", {}), exchange)
    wrappers = dict(transformer.get("wrappers", {}))
    kind = comfy.patcher_extension.WrappersMP.APPLY_MODEL
    others: dict[Any, Any] = wrappers.get(kind, {})

    def evaluated(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        network = executor.class_obj.diffusion_model
        compiled = COMPILED in others or hasattr(network, "_orig_mod")
        with exchange.evaluation(_shapes((args, kwargs)), uncompiled if compiled else nullcontext):
            output: Tensor = executor(*args, **kwargs)
        return output

    wrappers[kind] = {STATE: [evaluated], **others}
    return {**options, "transformer_options": {**transformer, "wrappers": wrappers}}


def uncompiled() -> AbstractContextManager[object]:
    """Inside, what was compiled runs as it was written."""
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _shapes(given: Any) -> Shapes:
    """Of all tensors in what a model is given, in their order; its options are not looked into."""
    if isinstance(given, Tensor):
        return (given.shape,)
    if isinstance(given, dict):
        given = [value for name, value in given.items() if name != "transformer_options"]
    return tuple(shape for each in given for shape in _shapes(each)) if isinstance(given, list | tuple) else ()
