"""Where an edit brings the tokens of a transformer: which token of the source is seen at which place, and from where.

A transformer has one grid of tokens, a few latent cells each. Tokens of what is moved are seen at their new place (LazyDrag,
arXiv 2509.12203), tokens of the rest where they are, and nothing is seen where something was taken away: there the model makes its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..imaging.masks import FAINT
from .base import Edit
from .chain import Layout

#: A token belongs to an edit's target that covers this much of it.
COVERED = 0.5
#: What a cell of the probe says about its origin: its own place, the source's picture, the second picture.
OWN, SOURCE, SECOND = 0, 1, 2


@dataclass(frozen=True, eq=False)
class TokenMap:
    """For each of M pictures, or for all of them where M is 1, on a grid of n tokens, row by row.

    origin: (M, n) int64, the token seen at each place; those of the second picture count on after the source's n.
    shift: (M, n, 3) int64, frames, rows and columns from there to here.
    shared: (M, n) bool, where a known picture's token is seen at all. moved: where it comes from elsewhere, or from the second picture.
    vacated: (M, n) bool, where something was taken away and nothing put.
    """

    origin: Tensor
    shift: Tensor
    shared: Tensor
    moved: Tensor
    vacated: Tensor

    @classmethod
    def nowhere(cls, size: tuple[int, int], token: int) -> TokenMap:
        """Without an edit: every token of the source at its own place. ``size``: (h, w) of the latent, ``token`` cells a token's side."""
        rows, columns = (-(-side // token) for side in size)
        n = rows * columns
        no = torch.zeros(1, n, dtype=torch.bool)
        return cls(torch.arange(n).unsqueeze(0), torch.zeros(1, n, 3, dtype=torch.long), ~no, no, no)

    @classmethod
    def of(cls, edits: Sequence[Edit], size: tuple[int, int], token: int, second: tuple[int, int] | None = None) -> TokenMap:
        """What a chain of edits does on a latent of (h, w) cells. ``second``: (h', w') of the second picture's latent."""
        if not edits:
            return cls.nowhere(size, token)
        here = probe(size, OWN)
        known = None if second is None else probe(second, SECOND)
        placed = here
        for edit in edits:
            placed = edit.place_tokens(placed, probe(size, SOURCE), known)
        regions = Layout.of(edits, size).combined
        cells = (placed[:, 2] != OWN).to(placed)
        share = pooled(cells, token)
        at = pooled(placed[:, :2] * cells.unsqueeze(1), token) / share.clamp(min=1e-6).unsqueeze(1)  # the middle of the cells it came from
        come_from = torch.floor((at + 0.5) / token).long()
        target, source = pooled(regions.target, token), pooled(regions.source, token)
        moved = (target >= COVERED) & (share > 0)
        foreign = moved & (pooled((placed[:, 2] == SECOND).to(placed), token) > share / 2)
        theirs = None if second is None else (-(-second[0] // token), -(-second[1] // token))
        return cls._on_tokens(come_from, moved, foreign, target, source, theirs)

    @classmethod
    def _on_tokens(
        cls,
        come_from: Tensor,
        moved: Tensor,
        foreign: Tensor,
        target: Tensor,
        source: Tensor,
        theirs: tuple[int, int] | None,
    ) -> TokenMap:
        height, width = come_from.shape[-2:]
        own = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
        come_from = torch.where(moved.unsqueeze(1), come_from, own)
        rows, columns = (torch.where(foreign, there, here) for there, here in zip(theirs or (height, width), (height, width), strict=True))
        inside = (come_from[:, 0] >= 0) & (come_from[:, 0] < rows) & (come_from[:, 1] >= 0) & (come_from[:, 1] < columns)
        moved = moved & inside
        support = (source > FAINT) | (target > FAINT)
        origin = come_from[:, 0] * columns + come_from[:, 1] + torch.where(foreign, height * width, 0)
        origin = torch.where(inside, origin, own[0] * width + own[1])
        shift = F.pad(torch.where(moved.unsqueeze(1), own - come_from, 0).movedim(1, -1), (1, 0))  # no edit leads to another frame
        parts = (origin, shift, moved | ~support, moved, (source > FAINT) & ~moved & (target < COVERED))
        return cls(*(part.flatten(1, 2) for part in parts))

    def of_frames(self, frames: int, second: tuple[int, int, int] = (1, 0, 0)) -> TokenMap:
        """For videos of so many frames, whose tokens follow each other frame by frame: (M / frames or 1, frames · n).

        second: (frames, rows, columns) of the second picture, whose tokens count on after all frames of the source. Its frames go with
        those of the source; a still is seen in all of them.
        """
        if frames <= 1:
            return self
        parts = (self.origin, self.shift, self.shared, self.moved, self.vacated)
        count = self.origin.shape[0]
        origin, *rest = (part.expand(frames, *part.shape[1:]) if count == 1 else part for part in parts)
        n = origin.shape[1]
        frame = torch.arange(origin.shape[0]).remainder(frames).unsqueeze(1)
        other, still = origin >= n, second[0] == 1
        their_frame = torch.zeros_like(frame) if still else frame
        origin = torch.where(other, (origin - n) + frames * n + their_frame * second[1] * second[2], origin + frame * n)
        shift = rest[0].clone()
        shift[..., 0] = torch.where(other, frame - their_frame, 0)
        return TokenMap(*(part.unflatten(0, (-1, frames)).flatten(1, 2) for part in (origin, shift, *rest[1:])))

    def to(self, device: torch.device) -> TokenMap:
        return TokenMap(*(part.to(device) for part in (self.origin, self.shift, self.shared, self.moved, self.vacated)))


def probe(size: tuple[int, int], origin: int) -> Tensor:
    """A latent (1, 3, h, w) whose cells say which row and column of which picture they are."""
    row, column = (torch.arange(n, dtype=torch.float32) for n in size)
    rows, columns = torch.meshgrid(row, column, indexing="ij")
    return torch.stack((rows, columns, torch.full_like(rows, origin))).unsqueeze(0)


def pooled(values: Tensor, token: int) -> Tensor:
    """The mean over each token of values (M, h, w) or (M, C, h, w); what is missing at the far border counts as nothing that is there."""
    lifted = values if values.ndim == 4 else values.unsqueeze(1)
    mean = F.avg_pool2d(lifted.float(), token, ceil_mode=True, count_include_pad=False)
    return mean if values.ndim == 4 else mean.squeeze(1)
