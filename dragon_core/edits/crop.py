"""A large picture's edit made on a crop of it, and brought back into the picture at its own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from ..errors import DragonError
from ..imaging.crop_window import CropWindow, resampled, whole, window_around
from ..imaging.detail_transfer import transfer_detail
from ..imaging.edge_blending import without_surplus
from ..imaging.masks import FAINT, feathered
from ..imaging.windows import extent
from .base import Edit, ReferenceEdit, on_reference, reference_edits
from .chain import Layout, check_counts, check_fit

#: In pixels of the crop: so far around a vacated place its pixels are the model's, the last quarter of them partly.
RIM = 4


@dataclass(frozen=True, eq=False)
class Crop:
    """What a crop was made of. picture: (B, C, H, W) in [0, 1]. edits: as they were drawn on it.

    reference: the second picture, (B, C, H', W'), where it is cropped, too, and ``reference_window`` the window of what is taken there.
    """

    window: CropWindow
    picture: Tensor
    edits: tuple[Edit, ...]
    reference: Tensor | None = None
    reference_window: CropWindow | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing to bring back: the crops are the pictures themselves."""
        return all(window is None or window.is_whole for window in (self.window, self.reference_window))


def crop_for(edits: Sequence[Edit], picture: Tensor, side: int, surroundings: float, reference: Tensor | None = None) -> Crop:
    """The window that holds all the edits of a picture (B, C, H, W); for the numbers see :func:`.crop_window.window_around`.

    ``reference``: the second picture, (B, C, H', W'), to crop as well.

    Raises:
        DragonError: there is no edit, none that acts somewhere, or one that was drawn on a picture of another size.
    """
    size = (picture.shape[-2], picture.shape[-1])
    if not edits:
        raise DragonError("there is no edit: connect the energy of a node such as DragonMoveLoss")
    check_fit(edits, size, 1)
    check_counts(edits, len(picture))
    if reference is not None:
        edits = on_reference(edits, (reference.shape[-2], reference.shape[-1]))
    fitted = tuple(edit.cropped(size).on(torch.device("cpu"), 1) for edit in edits)
    shown = reduce(torch.logical_or, ((edit.shown(size) > FAINT).any(0) for edit in fitted))
    if not shown.any():
        raise DragonError("no edit has a place in the picture, so there is nothing to crop: add one that moves, drags, pastes or removes")
    if reference is None:
        return Crop(_window(shown, side, surroundings), picture, fitted)
    others, seen = reference_edits(fitted), (reference.shape[-2], reference.shape[-1])
    taken = [(edit.reference_region(seen) > FAINT).any(0) for edit in others]
    if any(edit.lies_over for edit in others):
        window = second = _window(reduce(torch.logical_or, taken, shown), side, surroundings)
    else:
        window = _window(shown, side, surroundings)
        second = _window(reduce(torch.logical_or, taken), side, surroundings) if taken else whole(seen)
    return Crop(window, picture, fitted, reference, second)


def _window(shown: Tensor, side: int, surroundings: float) -> CropWindow:
    """The window around what is shown of a picture, bool (H, W)."""
    rows, columns = extent(shown, 0)
    size = (shown.shape[-2], shown.shape[-1])
    return window_around((rows.start, rows.stop, columns.start, columns.stop), size, side, surroundings)


def edits_in(crop: Crop) -> tuple[Edit, ...]:
    """The edits as they are to be made on the crop."""
    edits, second = crop.edits, crop.reference_window
    if second is not None and not second.is_whole:
        edits = tuple(edit.within_reference(second) if isinstance(edit, ReferenceEdit) else edit for edit in edits)
    return edits if crop.window.is_whole else tuple(edit.within(crop.window) for edit in edits)


def uncropped(crop: Crop, edited: Tensor, changed: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
    """The full picture with the edit that was made on its crop.

    The edit is made again in the picture's own pixels; light, shadow and what was vacated are the edited crop's.

    Args:
        crop: what the edited picture is a crop of.
        edited: (B, C, h, w) in [0, 1], of the crop's size.
        changed: where the crop may differ from the source, (M, h, w) in [0, 1]; None: anywhere in the window, less at its border.
        reference: the second picture that the edits take from, (B, C, H', W'), where the crop does not know it.

    Returns:
        (B, C, H, W) in [0, 1]; outside of the window and where nothing changed the picture itself, to the bit.
    """
    window = crop.window
    if crop.is_whole:
        source, lit = crop.picture, edited
        weight = torch.ones(1, *window.size) if changed is None else changed
    else:
        native = window.unscaled
        source = native.taken(crop.picture)
        reference = crop.reference if crop.reference is not None else reference
        edits = crop.edits if reference is None else on_reference(crop.edits, (reference.shape[-2], reference.shape[-1]))
        lit = _lit(tuple(edit.within(native) for edit in edits), source, edited, reference, window.scale)
        weight = window.fading()[None]
        if changed is not None:
            weight = weight * resampled(changed.unsqueeze(1), window.extent).squeeze(1)
    mixed = torch.lerp(source.expand_as(lit), lit, weight.unsqueeze(1).to(lit))
    result = crop.picture.expand(len(mixed), -1, -1, -1).clone()
    (rows, columns), (own_rows, own_columns) = window.inside
    result[..., rows, columns] = mixed[..., own_rows, own_columns]
    return result


def _lit(edits: Sequence[Edit], source: Tensor, edited: Tensor, reference: Tensor | None, scale: float) -> Tensor:
    """The edits made in the pixels of a window (B, C, H, W), in the light of its edited crop."""
    size = (source.shape[-2], source.shape[-1])
    regions = Layout.of(edits, size).combined
    vacated = feathered((regions.vacated > FAINT).float(), round(RIM / scale)).unsqueeze(1)
    draft = torch.lerp(source, resampled(edited, size), vacated)
    for edit in edits:
        draft = edit.place_pixels(draft, source, reference)
    object_ = without_surplus(draft, regions.target.unsqueeze(1))  # ground lit as the object would be a rim around it
    return transfer_detail(draft, edited, object_.squeeze(1))
