"""Cross-branch self-attention: what the generation branch's queries see (DragonDiffusion, section 3.3).

The host projects tokens to keys and values after this merge, so sharing the tokens that enter the projection shares K and V.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from .errors import DragonError
from .schedule import Window

MergeMode = Literal["replace", "concat"]


@dataclass(frozen=True)
class Sharing:
    """How and when keys and values are shared: "replace" for moving and resizing, "concat" for dragging."""

    mode: MergeMode = "replace"
    window: Window = field(default_factory=lambda: Window(0.1, 1.0))

    def __post_init__(self) -> None:
        if self.mode not in get_args(MergeMode):
            raise DragonError(f"unknown attention mode {self.mode!r}; use one of {get_args(MergeMode)}")


def merge_tokens(own: Tensor, reference: Tensor, mode: MergeMode) -> Tensor:
    """Tokens the keys and values are made from. own: (N·B, L, C); reference: (B, L, C), repeated for each of N rows."""
    if own.shape[0] % reference.shape[0]:
        raise DragonError(f"a batch of {own.shape[0]} rows cannot share the tokens of {reference.shape[0]} reference pictures")
    shared = reference.to(own).repeat(own.shape[0] // reference.shape[0], 1, 1)
    return shared if mode == "replace" else torch.cat((own, shared), dim=1)
