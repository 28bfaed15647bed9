"""Cross-branch self-attention: what the generation branch's queries see (DragonDiffusion, section 3.3).

The host projects tokens to keys and values after this merge, so sharing the tokens that enter the projection shares K and V.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import DragonError
from .schedule import Window

MergeMode = Literal["replace", "concat"]

#: Of a transformer's attention layers, those from here on share: in FLUX the single-stream ones (LazyDrag, arXiv 2509.12203).
FIRST_BLOCK = 0.33


@dataclass(frozen=True)
class Sharing:
    """How and when keys and values are shared: "concat" for dragging, "replace" for all else.

    window: of the schedule. blocks: of a transformer's attention layers; a UNet shares in its decoder.
    """

    mode: MergeMode = "replace"
    window: Window = field(default_factory=lambda: Window(0.1, 1.0))
    blocks: Window = field(default_factory=lambda: Window(FIRST_BLOCK, 1.0))

    def __post_init__(self) -> None:
        if self.mode not in get_args(MergeMode):
            raise DragonError(f"unknown attention mode {self.mode!r}; use one of {get_args(MergeMode)}")

    def in_block(self, index: int, count: int) -> bool:
        """Whether the attention layer ``index`` of ``count`` is one of those that share."""
        return self.blocks.start <= (index + 0.5) / count < self.blocks.end


@dataclass(frozen=True)
class TokenSelection:
    """Which tokens of two known pictures are seen where edits take from the second: indices into rows of tokens.

    source: what of the source picture the edits do not cover. second: what they take. (DragonDiffusion, section 3.4: appearance
    replacement and pasting see the source's background and the reference's object.)
    """

    source: Tensor
    reference: Tensor

    @classmethod
    def of(cls, covered: Tensor, taken: Tensor) -> TokenSelection:
        """``covered`` (M, h, w) on the source's grid of tokens and ``taken`` (M', h', w') on the second's, soft masks in [0, 1]."""
        if covered.shape[0] > 1 or taken.shape[0] > 1:
            raise DragonError(
                "attention to two pictures takes one mask for all pictures of a batch: use one mask, or leave out DragonCrossAttnPatch"
            )
        # On a coarse grid a small object may cover no cell by half: the one it covers most stands for it.
        return cls(*(torch.nonzero(keep.flatten()).flatten() for keep in (covered[0] < 0.5, taken[0] >= taken.max().clamp(max=0.5))))

    def joined(self, source: Tensor, reference: Tensor) -> Tensor:
        """Tokens (B, L, C) of the source and (B, L', C) of the second picture, as one row of those that are seen."""
        return torch.cat((source[:, self.source.to(source.device)], reference[:, self.reference.to(reference.device)]), dim=1)


def merge_tokens(own: Tensor, reference: Tensor, mode: MergeMode) -> Tensor:
    """Tokens the keys and values are made from. own: (N·B, L, C); reference: (B, L', C), repeated for each of N rows."""
    if own.shape[0] % reference.shape[0]:
        raise DragonError(f"a batch of {own.shape[0]} rows cannot share the tokens of {reference.shape[0]} reference pictures")
    shared = reference.to(own).repeat(own.shape[0] // reference.shape[0], 1, 1)
    return shared if mode == "replace" else torch.cat((own, shared), dim=1)
