"""Checks of the masks that edits are made with, what a VAE keeps of them, what they are drawn on, and for how many pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import DragonError
from .windows import Part

log = logging.getLogger(__name__)

#: A mask that covers more of its picture's border than this is more likely the ground than an object.
MOST_OF_RIM = 0.5
#: Pixels a side that a VAE of the supported models cannot divide, and crops, are fewer than this.
CROPPED_AT_MOST = 8


def check_mask(mask: Tensor, name: str = "the mask", wanted: str = "the object that should move") -> None:
    """A mask must be (M, H, W), finite, within 0 and 1, and cover something but not everything."""
    if mask.ndim != 3:
        raise DragonError(f"{name} must have shape (masks, height, width), got {tuple(mask.shape)}")
    if not mask.numel():
        raise DragonError(f"{name} holds no mask at all: what makes it has found nothing, so look there, or paint over {wanted}")
    if not torch.isfinite(mask).all():
        raise DragonError(f"{name} has values that are not numbers (NaN or infinite)")
    if float(mask.min()) < -0.01 or float(mask.max()) > 1.01:
        raise DragonError(f"{name} has values outside 0 and 1: use a MASK, not an image scaled to 0–255")
    covered = (mask > 0.5).float().mean((1, 2))
    if (covered == 0).any():
        raise DragonError(f"{name} is empty: paint over {wanted}")
    if (covered == 1).any():
        raise DragonError(f"{name} covers the whole picture: paint only over {wanted}")


def rim_covered(mask: Tensor) -> float:
    """The share of the picture's border that the mask (M, H, W) covers, of the one that covers most."""
    rim = torch.cat([mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1]], 1)
    return float((rim > 0.5).float().mean(1).max())


def warn_of_ground(mask: Tensor, name: str = "the mask") -> None:
    """Say so where a mask (M, H, W) seems to cover the ground round the object rather than the object."""
    if rim_covered(mask) > MOST_OF_RIM:
        log.warning(
            "%s touches most of its picture's border: is it the ground rather than the object? LoadImage's MASK is "
            "1 - alpha, white where a cut-out is transparent; InvertMask makes it the object's",
            name,
        )


def check_same_size(mask: Tensor, other: Tensor, name: str) -> None:
    """Two masks (M, H, W) of one picture must be of one size; ``name``: of the first one, for the message."""
    (h, w), (height, width) = mask.shape[-2:], other.shape[-2:]
    if (h, w) != (height, width):
        raise DragonError(f"{name} is {w}×{h} pixels but the mask is {width}×{height}: both must be as large as the picture")


def cropped_mask(mask: Tensor, size: tuple[int, int], name: str, picture: str) -> Tensor:
    """The middle (height, width) of a mask (M, H, W), which is what a VAE keeps of sides that it cannot divide."""
    (h, w), (height, width) = mask.shape[-2:], size
    if not (0 <= h - height < CROPPED_AT_MOST and 0 <= w - width < CROPPED_AT_MOST):
        raise DragonError(f"the {name} is {w}×{h} pixels but the {picture} is {width}×{height}: use a mask of the picture's size")
    rows, columns = kept_part((h, w), size)
    return mask[:, rows, columns]


def kept_part(picture: Sequence[int], kept: Sequence[int]) -> Part:
    """Rows and columns of the middle (height, width) that a VAE keeps of a picture (height, width)."""
    top, left = ((whole - side) // 2 for whole, side in zip(picture, kept, strict=True))
    return slice(top, top + kept[0]), slice(left, left + kept[1])


def kept_corner(picture: tuple[int, int], kept: tuple[int, int]) -> tuple[int, int]:
    """The pixel (x, y) of a picture at which :func:`kept_part` begins."""
    rows, columns = kept_part(picture, kept)
    return columns.start, rows.start


def is_picture(values: Tensor, mask: Tensor) -> bool:
    """Whether ``values`` (B, C, h, w) are a picture's pixels, as a mask (M, H, W) is drawn on, rather than the cells of its latent."""
    return values.shape[-2:] == mask.shape[-2:]


def for_rows(mask: Tensor, device: torch.device, repeats: int) -> Tensor:
    """A mask (M, H, W) for a batch of ``repeats`` times the pictures, where it is not one for all."""
    return (mask if mask.shape[0] == 1 else mask.repeat(repeats, 1, 1)).to(device)
