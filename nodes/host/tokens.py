"""Cross-branch attention: the decoder's self-attention tokens, collected from the known pictures and shared with the generation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import comfy.model_patcher
from torch import Tensor

from ...dragon_core.diffusion.sharing import Sharing, merge_tokens
from ...dragon_core.errors import DragonError

#: The keys of our own in transformer_options: an evaluation's exchange, and on a patched MODEL how to share.
STATE = "dragon"
SHARING = "dragon_sharing"

Options = dict[str, Any]


@dataclass(frozen=True)
class Tokens:
    """What one self-attention layer's keys and values are made from; two tensors only where another patch made them differ.

    grid: the (h, w) they lie on.
    """

    key: Tensor
    value: Tensor
    grid: tuple[int, int]


#: By output block and transformer block.
Layers = dict[tuple[int, int], Tokens]


class Enough(Exception):
    """Ends an evaluation whose output nobody wants, once it has given what is wanted of it."""


@dataclass
class TokenExchange:
    """Self-attention tokens of the decoder during one evaluation: collected from a known picture, or shared with the
    generation.

    last: the layer after whose tokens the evaluation has given enough.
    """

    collected: Layers | None = None
    shared: Layers | None = None
    sharing: Sharing = field(default_factory=Sharing)
    last: tuple[int, int] | None = None


def patch_attention(model: comfy.model_patcher.ModelPatcher, sharing: Sharing) -> comfy.model_patcher.ModelPatcher:
    """A clone of the model whose decoder self-attention can be shared between the branches."""
    clone = model.clone()
    if SHARING not in clone.model_options["transformer_options"]:
        clone.set_model_attn1_patch(exchange_tokens)
    clone.model_options["transformer_options"][SHARING] = sharing
    return clone


def exchange_tokens(query: Tensor, key: Tensor, value: Tensor, options: Options) -> tuple[Tensor, Tensor, Tensor]:
    exchange: TokenExchange | None = options.get(STATE)
    if exchange is None:
        raise DragonError(
            "DragonCrossAttnPatch: this model works with DragonSampler or DragonGuider only; give other samplers the unpatched one"
        )
    block = options.get("block")
    if block is None or block[0] != "output":
        return query, key, value
    if query.shape[0] != key.shape[0]:
        raise DragonError(
            "DragonCrossAttnPatch: a patch before it cuts the picture into tiles for attention (HyperTile), among which shared keys and "
            "values would be dealt out at random: bypass that patch"
        )
    place = (block[1], options.get("block_index", 0))
    if exchange.collected is not None:
        height, width = options["activations_shape"][-2:]
        exchange.collected[place] = Tokens(key, value, (height, width))
        if place == exchange.last:
            raise Enough
    if exchange.shared is not None:
        shared, mode = exchange.shared[place], exchange.sharing.mode
        return query, merge_tokens(key, shared.key, mode), merge_tokens(value, shared.value, mode)
    return query, key, value
