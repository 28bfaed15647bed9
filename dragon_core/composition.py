"""Several edits as one: their regions united, their energies summed into the edit and the content part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from .energies.content import content_energy
from .errors import DragonError
from .features import Features
from .regions import Regions, either
from .tasks.edit import Edit


@dataclass(frozen=True)
class Energies:
    """The two parts whose gradients act in different places (DragonDiffusion, equation 4), each (B,)."""

    edit: Tensor
    content: Tensor

    @property
    def total(self) -> Tensor:
        return self.edit + self.content


def evaluate(edits: Sequence[Edit], generation: Features, reference: Features) -> Energies:
    """Energies of a non-empty chain of edits for features on the common grid."""
    size = (generation[0].shape[-2], generation[0].shape[-1])
    own = [edit.regions(size) for edit in edits]
    combined = reduce(Regions.union, own)
    pairs = list(zip(edits, own, strict=True))
    edit_part = sum((e.edit_energy(generation, reference, r) for e, r in pairs[1:]), pairs[0][0].edit_energy(generation, reference, own[0]))
    content = content_energy(generation, reference, combined.rest, max(e.content_weight for e in edits))
    for e, r in pairs:
        content = content + e.repair_energy(generation, reference, r, combined)
    return Energies(edit_part, content)


def edit_mask(edits: Sequence[Edit], size: tuple[int, int]) -> Tensor:
    """m_e (M, h, w): where the edit part's gradient acts."""
    return reduce(either, (edit.regions(size).target for edit in edits))


def touched_mask(edits: Sequence[Edit], size: tuple[int, int]) -> Tensor:
    """m_src ∪ m_tgt (M, h, w): where regional SDE puts its noise."""
    return reduce(either, (either(r.source, r.target) for r in (edit.regions(size) for edit in edits)))


def edited_path(edits: Sequence[Edit], latents: Tensor, sigmas: Tensor, noise: Tensor) -> Tensor:
    """The whole trajectory (T + 1, B, C, h, w), edited level by level as the picture will be; its first entry is the start latent.

    ``noise``: unit, (B, C, h, w). The object's clean part is moved to the sub-cell, the noise on top of it cell by cell.
    """
    clean = edited_clean = latents[-1]
    for edit in edits:
        edited_clean = edit.clear_clean(edited_clean)
    for edit in edits:
        edited_clean = edit.place(edited_clean, clean, "bilinear")
    levels = []
    for x, sigma in zip(latents[:-1], sigmas[:-1], strict=True):
        own = edited = x - clean
        for edit in edits:
            edited = edit.clear_noise(edited, own, noise * sigma)
        for edit in edits:
            edited = edit.place(edited, own, "nearest")
        untouched = (edited_clean == clean) & (edited == own)
        levels.append(torch.where(untouched, x, edited_clean + edited))  # the sum would differ from x in the last bit
    return torch.stack([*levels, edited_clean])


def check_fit(edits: Sequence[Edit], image_size: tuple[int, int], pixels_per_cell: int) -> None:
    """Every edit must have been drawn on a picture of the trajectory's size (odd pixels that the VAE crops are allowed)."""
    for edit in edits:
        if tuple(side // pixels_per_cell * pixels_per_cell for side in edit.image_size) != tuple(image_size):
            (h, w), (height, width) = edit.image_size, image_size
            raise DragonError(f"the mask is {w}×{h} pixels but the picture is {width}×{height}: use a mask of the picture's size")


def fitted(edits: Sequence[Edit], image_size: tuple[int, int], pixels_per_cell: int) -> tuple[Edit, ...]:
    """The edits on the part of the picture that the VAE keeps, see :func:`check_fit`."""
    check_fit(edits, image_size, pixels_per_cell)
    return tuple(edit.cropped(image_size) for edit in edits)
