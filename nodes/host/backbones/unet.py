"""Stable Diffusion's UNets: energies pull through the decoder, and tokens are shared in its self-attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
import comfy.model_patcher
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from torch import Tensor, nn
from typing_extensions import override

from ....dragon_core.diffusion.sharing import Sharing, TokenSelection
from ....dragon_core.edits import chain
from ....dragon_core.edits.base import Edit, reference_edits
from ....dragon_core.errors import DragonError
from ....dragon_core.imaging.masks import FAINT
from ..evaluation import with_patch
from ..tokens import Layers, TokenExchange, Tokens, patch_attention
from .base import Backbone, Options, SharedAttention


class UNet(Backbone):
    """Nothing is written down by family: blocks are found in the UNet's own structure."""

    gradients = True

    @override
    def tap_blocks(self, network: nn.Module, count: int) -> tuple[int, ...]:
        return tap_blocks(network, count)

    @override
    def patched(self, model: comfy.model_patcher.ModelPatcher, sharing: Sharing) -> comfy.model_patcher.ModelPatcher:
        return patch_attention(model, sharing)

    @override
    def attention(self, model: comfy.model_patcher.ModelPatcher, sharing: Sharing, edits: tuple[Edit, ...]) -> SharedAttention:
        return TokenSharing(sharing, edits, last_self_attention(model.get_model_object("diffusion_model")))


def last_self_attention(unet: nn.Module) -> tuple[int, int] | None:
    """Output block and transformer block of the decoder's last self-attention; None where it has none."""
    blocks: Any = unet.output_blocks
    for index in reversed(range(len(blocks))):
        for layer in blocks[index]:
            if isinstance(layer, SpatialTransformer):
                return index, len(layer.transformer_blocks) - 1
    return None


def tap_blocks(unet: nn.Module, count: int) -> tuple[int, ...]:
    """Output blocks whose input ``h`` is a tap: those right after the decoder's last ``count`` upsamplings, deep to shallow."""
    blocks: Any = unet.output_blocks
    after = [i + 1 for i, block in enumerate(blocks) if any(isinstance(layer, openaimodel.Upsample) for layer in block)]
    if len(after) < count:
        raise DragonError(f"this UNet's decoder has only {len(after)} upsampled stages, {count} are wanted: use fewer taps")
    return tuple(after[-count:])


class TokenSharing(SharedAttention):
    """Tokens that enter the decoder's self-attention, see `tokens`."""

    def __init__(self, sharing: Sharing, edits: tuple[Edit, ...], last: tuple[int, int] | None = None) -> None:
        self.how, self.takers, self.last = sharing, reference_edits(edits), last
        self.selections: dict[tuple[tuple[int, int], tuple[int, int]], TokenSelection] = {}
        self.shrunk = tuple(edit for edit in edits if edit.shrinks and not edit.convention.source_tokens)
        self.shrunk_at: dict[tuple[int, int], Tensor] = {}

    @property
    def last_block(self) -> int | None:
        return None if self.last is None else self.last[0]

    @property
    def sees_edited(self) -> bool:
        return bool(self.shrunk)

    @override
    @contextmanager
    def collecting(self, options: Options, latent: Tensor, ends: bool = False) -> Iterator[tuple[Options, Layers]]:
        tokens: Layers = {}
        yield with_patch(options, TokenExchange(collected=tokens, last=self.last if ends else None), None), tokens

    @override
    def joined(self, source: Layers, reference: Layers | None, edited: Layers | None) -> Layers:
        """The source's tokens, but the edited trajectory's where something shrinks: its old body, seen round it, would come back.

        Where edits take from the second picture, the source's outside the edits and those that are taken.
        """
        if edited is not None:
            source = {place: self._with_edited(own, edited[place]) for place, own in source.items()}
        if reference is None or not self.takers:
            return source
        seen: Layers = {}
        for place, own in source.items():
            other = reference[place]
            grids = (own.grid, other.grid)
            if grids not in self.selections:
                self.selections[grids] = TokenSelection.of(*chain.reference_regions(self.takers, *grids))
            selection = self.selections[grids]
            seen[place] = Tokens(selection.joined(own.key, other.key), selection.joined(own.value, other.value), own.grid)
        return seen

    def _with_edited(self, own: Tokens, edited: Tokens) -> Tokens:
        """The source's tokens with those of the edited trajectory where edits shrink something."""
        if own.grid not in self.shrunk_at:
            acts = (chain.Layout.of(self.shrunk, own.grid).support > FAINT).flatten(1).unsqueeze(-1)
            self.shrunk_at[own.grid] = acts.to(own.key.device)
        acts = self.shrunk_at[own.grid]
        return Tokens(torch.where(acts, edited.key, own.key), torch.where(acts, edited.value, own.value), own.grid)

    @override
    @contextmanager
    def sharing(self, options: Options, latent: Tensor, tokens: Layers | None) -> Iterator[Options]:
        yield with_patch(options, TokenExchange(shared=tokens or None, sharing=self.how), None)
