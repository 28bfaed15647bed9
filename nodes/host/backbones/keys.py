"""Shared attention in transformers: keys and values of the known pictures' tokens, collected and shown to the generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ....dragon_core.diffusion.sharing import Sharing
from ....dragon_core.edits.token_map import TokenMap
from ....dragon_core.errors import DragonError
from ..gradients import ATTENTION
from ..memory import KEEP_FREE
from ..tokens import STATE
from .token_layout import Shapes, TokenLayout

Attention = Callable[..., Tensor]
Options = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Keys:
    """Of one attention call: keys and values (B, heads, n, D) of the picture's tokens, keys already turned to their places.

    begun: (n, axes), the position of the picture's first token when each was made.
    """

    key: Tensor
    value: Tensor
    begun: Tensor

    def and_then(self, other: Keys) -> Keys:
        """Those of the second picture behind them."""
        pairs = ((self.key, other.key), (self.value, other.value))
        key, value = (torch.cat((own, theirs.to(own).expand(own.shape[0], -1, -1, -1)), dim=2) for own, theirs in pairs)
        return Keys(key, value, torch.cat((self.begun, other.begun)))

    def row(self, index: int) -> Keys:
        return Keys(self.key[index : index + 1], self.value[index : index + 1], self.begun)


#: By call: those of one evaluation that see the picture, in their order.
Calls = dict[int, Keys]


@dataclass(frozen=True, eq=False)
class SharedKeys:
    """What one evaluation is shown of the known pictures; tokens of the second one count on after the source's.

    offsets: (M, n, axes), how far each token was moved, in positions of the model's rotary embedding.
    """

    calls: Calls
    token_map: TokenMap
    offsets: Tensor


@dataclass
class KeyExchange:
    """Attention in evaluations: their keys and values are collected, or those of the known pictures are shown to them.

    calls: how many attention calls of an evaluation see the picture; 0 before the first one is through. seen: so far in this one.
    """

    layout: TokenLayout
    sharing: Sharing
    calls: int = 0
    collected: Calls | None = None
    shared: SharedKeys | None = None
    theirs: Attention | None = None
    seen: int = 0

    @contextmanager
    def evaluation(self, given: Shapes, uncompiled: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
        """See :meth:`TokenLayout.evaluation`; calls are counted anew."""
        self.seen = 0
        with self.layout.evaluation(given, uncompiled):
            yield

    def __call__(self, attend: Attention, query: Tensor, key: Tensor, value: Tensor, heads: int, *rest: Any, **named: Any) -> Tensor:
        """ComfyUI's attention functions take (B, heads, L, D), or (B, L, heads · D) where ``skip_reshape`` is not given; keys and values
        may have fewer heads than queries (``enable_gqa``).
        """
        sequence = 2 if named.get("skip_reshape") else 1
        length = query.shape[sequence]
        start = self.layout.start(length) if key.shape[sequence] == length else None
        if start is None:
            return attend(query, key, value, heads, *rest, **named)
        call, self.seen = self.seen, self.seen + 1
        known = None if self.shared is None else self.shared.calls.get(call)
        if self.collected is None and known is None:
            return attend(query, key, value, heads, *rest, **named)
        size = query.shape[-1] // heads
        own = tuple(t if sequence == 2 else t.reshape(t.shape[0], length, -1, size).transpose(1, 2) for t in (query, key, value))
        if known is None:
            if self.collected is not None and (self.calls == 0 or self.sharing.in_block(call, self.calls)):
                part = slice(start, start + self.layout.tokens)
                begun = self.layout.begun(self.layout.tokens).to(query.device)
                self.collected[call] = Keys(_kept(own[1][:, :, part]), _kept(own[2][:, :, part]), begun)
            return attend(query, key, value, heads, *rest, **named)
        mask, rest = (rest[0], rest[1:]) if rest else (named.pop("mask", None), rest)

        def attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
            return attend(query, key, value, heads, mask, *rest, **{**named, "skip_reshape": True})

        return self._in_rows(attended, own, mask, start, known, 2 if named.get("skip_output_reshape") else 1)

    def _in_rows(self, attend: Attention, own: tuple[Tensor, ...], mask: Tensor | None, start: int, known: Keys, sequence: int) -> Tensor:
        """All rows at once where one map serves all pictures, else one after another."""
        rows, pictures = own[0].shape[0], known.key.shape[0]
        if rows % pictures:
            raise DragonError(f"a batch of {rows} rows cannot share the keys and values of {pictures} reference pictures")
        maps = 1 if self.shared is None else len(self.shared.token_map.origin)
        if maps == 1:
            return self._attend(attend, own, mask, start, known, 0, sequence)
        attended = []
        for row in range(rows):
            picture = row % pictures
            theirs = mask[row : row + 1] if mask is not None and mask.ndim > 2 and mask.shape[0] == rows else mask
            one = tuple(each[row : row + 1] for each in own)
            attended.append(self._attend(attend, one, theirs, start, known.row(picture), picture % maps, sequence))
        return torch.cat(attended)

    def _attend(
        self, attend: Attention, own: tuple[Tensor, ...], mask: Tensor | None, start: int, known: Keys, index: int, sequence: int
    ) -> Tensor:
        """Attention to own and shared tokens; queries in a vacated place do not see what was moved away from it."""
        if self.shared is None:
            raise DragonError("there are no keys and values to share")
        query, key, value = own
        token_map = self.shared.token_map
        moved, places = token_map.moved[index], token_map.shared[index].nonzero().flatten()
        origin, times = token_map.origin[index, places], query.shape[0] // known.key.shape[0]
        keys, values = (each[:, :, origin.to(each.device)].to(key).repeat(times, 1, 1, 1) for each in (known.key, known.value))
        arrived = moved[places].nonzero().flatten()
        ways = self.shared.offsets[index, places] + self.layout.begun(len(places)).to(places.device) - known.begun[origin]
        turned = ways.any(dim=-1).nonzero().flatten()
        keys[:, :, turned] = self.layout.rotated(keys[:, :, turned], ways[turned])
        unseen = [start + moved.nonzero().flatten()]
        if self.sharing.mode == "replace":
            key, value = key.clone(), value.clone()
            key[:, :, start + places], value[:, :, start + places] = keys, values
        else:
            unseen.append(key.shape[2] + arrived)
            key, value = torch.cat((key, keys), dim=2), torch.cat((value, values), dim=2)
            mask = _longer(mask, len(places))
        empty = start + token_map.vacated[index].nonzero().flatten()
        if len(empty) == 0 or len(arrived) == 0:
            return attend(query, key, value, mask)
        others, visible = _without(query.shape[2], empty), _without(key.shape[2], torch.cat(unseen))
        of_others, of_empty = (_of_queries(mask, rows, query.shape[2]) for rows in (others, empty))
        parts = (
            attend(query[:, :, others], key, value, of_others),
            attend(query[:, :, empty], key[:, :, visible], value[:, :, visible], _of_keys(of_empty, visible)),
        )
        return torch.cat(parts, dim=sequence).index_select(sequence, torch.argsort(torch.cat((others, empty))))


@torch.compiler.disable
def exchange_keys(attend: Attention, *args: Any, **named: Any) -> Tensor:
    """The override itself: always the same function, whatever the evaluation, so that a compiled model is not compiled anew for each."""
    exchange: KeyExchange = named["transformer_options"][STATE]
    theirs = exchange.theirs
    return exchange(attend if theirs is None else lambda *a, **k: theirs(attend, *a, **k), *args, **named)


def overriding(options: Options, exchange: KeyExchange) -> Options:
    """Transformer options in which attention goes through an exchange; another pack's override is called as ComfyUI would call it."""
    theirs = options.get(ATTENTION)
    exchange.theirs = None if theirs is exchange_keys else theirs
    return {**options, STATE: exchange, ATTENTION: exchange_keys}


def _kept(part: Tensor) -> Tensor:
    """A copy that does not hold the rest in memory, in RAM where the device is nearly full."""
    full = part.device.type != "cpu" and comfy.model_management.get_free_memory(part.device) < KEEP_FREE
    return part.to("cpu", copy=True) if full else part.contiguous().clone()


def _without(length: int, left_out: Tensor) -> Tensor:
    keep = torch.ones(length, dtype=torch.bool, device=left_out.device)
    keep[left_out] = False
    return keep.nonzero().flatten()


# Masks are (…, 1 or queries, keys), numbers to add or bool.


def _longer(mask: Tensor | None, more: int) -> Tensor | None:
    if mask is None or mask.shape[-1] == 1:
        return mask
    fill = torch.ones if mask.dtype == torch.bool else torch.zeros
    return torch.cat((mask, fill(*mask.shape[:-1], more, dtype=mask.dtype, device=mask.device)), dim=-1)


def _of_queries(mask: Tensor | None, index: Tensor, length: int) -> Tensor | None:
    return mask[..., index, :] if mask is not None and mask.ndim > 1 and mask.shape[-2] == length else mask


def _of_keys(mask: Tensor | None, index: Tensor) -> Tensor | None:
    return mask[..., index] if mask is not None and mask.shape[-1] > 1 else mask
