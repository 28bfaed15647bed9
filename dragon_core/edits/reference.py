"""What edits that take from a second picture declare besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from .base import Edit


@runtime_checkable
class ReferenceEdit(Edit, Protocol):
    """An edit that takes something from a second picture, whose size may be another one."""

    @property
    def reference_mask(self) -> Tensor:
        """What is taken: (M, H', W'), as large as the second picture."""

    def cropped_reference(self, reference_size: tuple[int, int]) -> ReferenceEdit:
        """This edit on the middle (height, width) of the second picture, which is what a VAE keeps of it."""

    def reference_region(self, size: tuple[int, int]) -> Tensor:
        """``reference_mask`` on a grid over the second picture: (M, h, w)."""


def reference_edits(edits: Sequence[Edit]) -> tuple[ReferenceEdit, ...]:
    """Those of a chain that take from the second picture."""
    return tuple(edit for edit in edits if isinstance(edit, ReferenceEdit))
