"""What every editing task declares, so that several of them can be combined in one run."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..features import Features
from ..regions import Regions


class Edit(Protocol):
    """One edit of one picture. Grids are (h, w); features are on the common grid; energies are (B,)."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the picture the edit was made for."""

    @property
    def content_weight(self) -> float:
        """How strongly everything outside the edit is held. Of combined edits the largest counts."""

    def on(self, device: torch.device, repeats: int) -> Edit:
        """This edit with its tensors on ``device``, each picture's mask repeated for ``repeats`` rows of a batch."""

    def regions(self, size: tuple[int, int]) -> Regions:
        """Source and target on a grid."""

    def edit_energy(self, generation: Features, reference: Features, own: Regions) -> Tensor:
        """What pulls the object to its place; its gradient acts inside the edit region."""

    def repair_energy(self, generation: Features, reference: Features, own: Regions, combined: Regions) -> Tensor:
        """What mends the vacated place; its gradient acts outside the edit region."""

    def edit_start(self, latent: Tensor, original: Tensor, noise: Tensor) -> Tensor:
        """The start latent (B, C, h, w) after this edit. ``original`` is the unedited one; ``noise`` has its spread."""
