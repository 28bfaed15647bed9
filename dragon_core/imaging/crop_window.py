"""A part of a large picture at the size that a model works in: where it lies, how it is taken, and how it comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DragonError
from .affine import Point
from .windows import Part

#: Sides of a crop are multiples of this many pixels, which every supported VAE divides; a window's are so many parts of those.
MULTIPLE = 16
#: A window fades into the picture over this share of its shorter side.
FADE = 1 / 16


@dataclass(frozen=True)
class CropWindow:
    """A window of a picture, and the size of the crop that is made of it. Sizes are (height, width) in pixels.

    The crop has the window's shape exactly, so that one factor serves x and y. For that a window as large as the picture may reach a few
    pixels beyond it, where the picture's border is repeated.

    corner: (x, y), the picture's pixel at which the window begins. extent: of the window, in the picture's pixels. size: of the crop.
    """

    picture_size: tuple[int, int]
    corner: tuple[int, int]
    extent: tuple[int, int]
    size: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether the crop is the picture itself."""
        return self.extent == self.size == self.picture_size

    @property
    def scale(self) -> float:
        """Pixels of the crop to one of the picture, in (0, 1]."""
        return self.size[0] / self.extent[0]

    @property
    def unscaled(self) -> CropWindow:
        """The same window in the picture's own pixels."""
        return replace(self, size=self.extent)

    def point(self, point: Point) -> Point:
        """Where a point (x, y) of the picture lies in the crop."""
        return (point[0] - self.corner[0]) * self.scale, (point[1] - self.corner[1]) * self.scale

    def taken(self, image: Tensor) -> Tensor:
        """The crop (B, C, *size) of pictures (B, C, *picture_size), without aliasing.

        Raises:
            DragonError: the pictures have another size.
        """
        if tuple(image.shape[-2:]) != self.picture_size:
            (h, w), (height, width) = image.shape[-2:], self.picture_size
            raise DragonError(f"the crop was made of a picture of {width}×{height} pixels, not of {w}×{h}")
        if self.is_whole:
            return image
        rows, columns = (
            torch.arange(first, first + length).clamp(0, side - 1)
            for first, length, side in zip((self.corner[1], self.corner[0]), self.extent, self.picture_size, strict=True)
        )
        return resampled(image[..., rows.to(image.device), :][..., columns.to(image.device)], self.size)

    def taken_mask(self, mask: Tensor) -> Tensor:
        """The crop (M, *size) of masks (M, *picture_size)."""
        return self.taken(mask.unsqueeze(1).float()).squeeze(1)

    @property
    def inside(self) -> tuple[Part, Part]:
        """The part of the picture that the window covers, and the part of the window that lies in the picture."""
        left, top = self.corner
        ends = [
            (max(0, first), min(side, first + length), first)
            for first, length, side in zip((top, left), self.extent, self.picture_size, strict=True)
        ]
        (y0, y1, y), (x0, x1, x) = ends
        return (slice(y0, y1), slice(x0, x1)), (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))

    def fading(self) -> Tensor:
        """Weights (*extent) of the window: 1 in it, falling to 0 at those of its borders that are not the picture's."""
        length = max(1.0, FADE * min(self.extent))
        sides = []
        for first, count, side in zip((self.corner[1], self.corner[0]), self.extent, self.picture_size, strict=True):
            at = torch.arange(count) + 0.5
            before = at if first > 0 else torch.full_like(at, math.inf)
            after = count - at if first + count < side else torch.full_like(at, math.inf)
            sides.append((torch.minimum(before, after) / length).clamp(0, 1))
        return sides[0][:, None] * sides[1][None]


def whole(picture_size: tuple[int, int]) -> CropWindow:
    """All of a picture, as it is."""
    return CropWindow(picture_size, (0, 0), picture_size, picture_size)


def window_around(box: tuple[int, int, int, int], picture_size: tuple[int, int], side: int, surroundings: float) -> CropWindow:
    """The window for an edit that lies in ``box``.

    It is square as far as the picture goes, has about ``side``² pixels as a crop, and is never enlarged: a small edit gets a window that is
    as large as its crop. A picture of no more pixels than that is its own window.

    Args:
        box: (top, bottom, left, right), pixels of the picture; the last ones are not in it.
        picture_size: (height, width).
        side: of a square crop in pixels, at least :data:`MULTIPLE`.
        surroundings: what the window has on each side of the box, as a share of the box's longer side, >= 0.
    """
    if math.prod(picture_size) <= side**2:
        return whole(picture_size)
    top, bottom, left, right = box
    longer = max(bottom - top, right - left)
    wanted = max(side, math.ceil((1 + 2 * surroundings) * longer))
    height, width = (min(wanted, length) for length in picture_size)
    shrink = min(1.0, side / math.sqrt(height * width))
    size = tuple(max(MULTIPLE, round(shrink * length / MULTIPLE) * MULTIPLE) for length in (height, width))
    parts = max(
        MULTIPLE,
        round(MULTIPLE * math.sqrt(height * width / math.prod(size))),
        *(math.ceil(MULTIPLE * covered / length) for covered, length in zip((bottom - top, right - left), size, strict=True)),
    )
    extent = tuple(length // MULTIPLE * parts for length in size)
    middle = ((top + bottom) / 2, (left + right) / 2)
    y, x = (_begin(m, length, full) for m, length, full in zip(middle, extent, picture_size, strict=True))
    return CropWindow(picture_size, (x, y), (extent[0], extent[1]), (size[0], size[1]))


def resampled(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures (B, C, h, w) at another size (h', w'): without aliasing where that is smaller, and within the range they had."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(image.amin(), image.amax())


def _begin(middle: float, length: int, full: int) -> int:
    """Where a window of a ``length`` begins that has ``middle`` in the middle if it can, and lies in the picture if it fits."""
    room = full - length
    return room // 2 if room < 0 else min(max(0, round(middle - length / 2)), room)
