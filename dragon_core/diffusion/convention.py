"""Ours or the authors': what their published code does otherwise than this pack, as one value that a run is given.

What they do wrong (shifts cut to whole cells, x clipped by rows, NaN for points that stay) is done in neither: docs/method.md, section 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..imaging.affine import Placement
from ..imaging.masks import Regions, moved_regions, on_grid
from .energies.form import AVERAGED, Form
from .features import Features, exact, grid_size, to_grid
from .schedule import Window


class HasReference(Protocol):
    """Of an edit, all that is asked here."""

    @property
    def needs_reference(self) -> bool: ...


@dataclass(frozen=True)
class Convention:
    """How energies compare and what is evaluated for them (docs/method.md, sections 6 to 10). The defaults are this pack's own.

    moving, points, reference: the form of edit and content energy in moving and resizing; dragging; and what takes from a second picture.
    filling: the form of what pulls the vacated place to the look of something else.
    whole_cells: masks are hard, and features are brought to the grid cell by cell; else masks are soft and features interpolated.
    fill_from_all: the vacated place should look like all the rest rather than like what lies near it.
    each_pair: of points, every pair's push counts alike, whatever its handle and target share.
    only_patches: points copy 3×3 cells of the latents and warp nothing; landmarks leave the latents alone and have no mask.
    edit_prompt: reference features are those under the edit's prompt; else under the inversion's, as keys and values are in any case.
    plain_features: the generation's features come from an evaluation of its own, which shares no attention.
    fresh_travel: going back in time asks the model again at the new latent and level.
    sharing_by_task: when keys and values are shared is the task's; else the attention patch's.
    source_tokens: keys and values are the source's everywhere; else the edited trajectory's where something shrinks in its place.
    """

    moving: Form = AVERAGED
    points: Form = AVERAGED
    reference: Form = AVERAGED
    filling: Form = AVERAGED
    whole_cells: bool = False
    fill_from_all: bool = False
    each_pair: bool = False
    only_patches: bool = False
    edit_prompt: bool = False
    plain_features: bool = False
    fresh_travel: bool = False
    sharing_by_task: bool = False
    source_tokens: bool = False

    def brought_to_grid(self, taps: Features) -> Features:
        """Decoder features as energies compare them: on the common grid, or each on the grid that repeats in it."""
        return exact(taps) if self.whole_cells else to_grid(taps)

    def grid(self, features: Features) -> tuple[int, int]:
        """(h, w) of the common grid of :meth:`brought_to_grid`'s features."""
        sizes = [(f.shape[-2], f.shape[-1]) for f in features]
        return grid_size(sizes) if self.whole_cells else sizes[0]

    def on_grid(self, mask: Tensor, size: tuple[int, int]) -> Tensor:
        """A mask (M, H, W) on a grid (h, w)."""
        return on_grid(mask, size, self.whole_cells)

    def moved_regions(self, mask: Tensor, transform: Placement, size: tuple[int, int]) -> Regions:
        """Regions of a mask (M, H, W) and its transform, on a grid (h, w)."""
        return moved_regions(mask, transform, size, self.whole_cells)

    def sharing_window(self, edits: Sequence[HasReference], patch: Window) -> Window:
        """When keys and values are shared; ``patch``: as the attention patch says."""
        if not self.sharing_by_task:
            return patch
        return REFERENCE_SHARING if any(edit.needs_reference for edit in edits) else SOURCE_SHARING


#: Of 50 steps the authors share i <= 35 where a second picture is taken from, and i >= 5 elsewhere.
REFERENCE_SHARING, SOURCE_SHARING = Window(0.0, 0.72), Window(0.1, 1.0)

OURS = Convention()
AUTHORS = Convention(
    moving=Form("mean", raw_cosine=True),
    points=Form("mean"),
    reference=Form("sum"),
    filling=Form("sum"),
    whole_cells=True,
    fill_from_all=True,
    each_pair=True,
    only_patches=True,
    edit_prompt=True,
    fresh_travel=True,
    sharing_by_task=True,
    source_tokens=True,
)
