"""What an edit asks of a network: whether energies can pull, where features are tapped, how keys and values are shared."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import comfy.model_patcher
from torch import Tensor, nn

from ....dragon_core.diffusion.sharing import Sharing
from ....dragon_core.edits.base import Edit

Options = dict[str, Any]

#: What one evaluation of a known picture yields to be shared: each backbone knows what is in it.
Tokens = dict[Any, Any]


class SharedAttention(Protocol):
    """Shared attention during one run."""

    @property
    def last_block(self) -> int | None:
        """Of a decoder's blocks the last whose tokens are shared; None where nothing but the end ends them."""

    @property
    def sees_edited(self) -> bool:
        """Whether :meth:`joined` wants the tokens of the edited trajectory, too."""

    def collecting(self, options: Options, latent: Tensor, ends: bool = False) -> AbstractContextManager[tuple[Options, Tokens]]:
        """Model options for an evaluation of a known picture's ``latent``, and what fills with its tokens meanwhile.

        ``ends``: with the last tokens the evaluation has given all that is wanted, and may end.
        """

    def joined(self, source: Tokens, reference: Tokens | None, edited: Tokens | None) -> Tokens:
        """What the generation sees of the source, of the second picture where edits take from it, and of the edited trajectory."""

    def sharing(self, options: Options, latent: Tensor, tokens: Tokens | None) -> AbstractContextManager[Options]:
        """Model options for the generation's evaluation of ``latent``; with None it sees nothing but its own."""


class Backbone(Protocol):
    """One kind of network."""

    @property
    def gradients(self) -> bool:
        """Whether energies can pull at an edit, through the network."""

    def tap_blocks(self, network: nn.Module, count: int) -> tuple[int, ...]:
        """Where features are tapped, deep to shallow; raises :class:`DragonError` where there are none or too few."""

    def patched(self, model: comfy.model_patcher.ModelPatcher, sharing: Sharing) -> comfy.model_patcher.ModelPatcher:
        """A clone of the model whose attention can be shared between the branches; raises where that cannot be."""

    def attention(self, model: comfy.model_patcher.ModelPatcher, sharing: Sharing, edits: tuple[Edit, ...]) -> SharedAttention:
        """For one run."""
