"""Windows over pictures: the part that matters, and means, maxima and distances in a time that does not grow with the window."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

#: Rows and columns of a picture.
Part = tuple[slice, slice]


def extent(where: Tensor, margin: int, align: int = 1) -> Part:
    """The smallest part of (..., h, w) that holds all that is true and ``margin`` cells around; all of it where nothing is.

    ``align``: its first row and column are multiples of this, and so is its size where the frame lets it.
    """
    flat: NDArray[np.bool_] = where.reshape(-1, *where.shape[-2:]).any(0).cpu().numpy()
    found = []
    for axis, side in enumerate(flat.shape):
        places = np.flatnonzero(np.any(flat, axis=1 - axis))
        if not len(places):
            return slice(0, flat.shape[0]), slice(0, flat.shape[1])
        first, last = int(places[0]) - margin, int(places[-1]) + 1 + margin
        found.append(slice(max(0, first // align * align), min(side, -(-last // align) * align)))
    return found[0], found[1]


def box_mean(image: Tensor, radius: int) -> Tensor:
    """Means of (..., h, w) over squares of 2 ``radius`` + 1 cells a side; beyond the frame are zeros."""
    return _filtered(image, lambda values, axis: ndimage.uniform_filter1d(values, 2 * radius + 1, axis=axis, mode="constant"))


def smoothed(image: Tensor, radius: int) -> Tensor:
    """(B, C, h, w) averaged over squares of 2 ``radius`` + 1 cells a side, twice; beyond the frame it goes on as at its border."""
    for _ in range(2):
        image = F.avg_pool2d(F.pad(image, (radius,) * 4, mode="replicate"), 2 * radius + 1, stride=1)
    return image


def mean_within(image: Tensor, where: Tensor, radius: int) -> Tensor:
    """:func:`smoothed` of the part of (B, C, h, w) that lies ``where`` (M, 1, h, w) alone; 0 where none of it is near."""
    return smoothed(image * where, radius) / smoothed(where, radius).clamp(min=1e-4)


def box_max(image: Tensor, radius: int) -> Tensor:
    """Maxima of (..., h, w) over squares of 2 ``radius`` + 1 cells a side; what is beyond the frame does not count."""
    if image.device.type == "cpu":
        return _filtered(image, lambda values, axis: ndimage.maximum_filter1d(values, 2 * radius + 1, axis=axis, mode="nearest"))
    stack = image.reshape(-1, 1, *image.shape[-2:])
    for down, right in ((radius, 0), (0, radius)):
        stack = F.max_pool2d(stack, (2 * down + 1, 2 * right + 1), stride=1, padding=(down, right))
    return stack.view_as(image)


def steps_to(goal: Tensor) -> Tensor:
    """How many steps, straight or diagonal, each cell of (M, h, w) is from the nearest that is true: float32, infinite where none is."""
    return torch.stack([_steps(each.cpu().numpy()) for each in goal]).to(goal.device)


def _steps(goal: NDArray[np.bool_]) -> Tensor:
    if not goal.any():
        return torch.full(goal.shape, torch.inf)
    return torch.from_numpy(ndimage.distance_transform_cdt(~goal, "chessboard").astype(np.float32))


def _filtered(image: Tensor, along: Callable[[NDArray[np.generic], int], NDArray[np.generic]]) -> Tensor:
    """A filter of rows and of columns, one after the other; it computes in the image's precision, and at least in float32."""
    precise = image if image.dtype == torch.float64 else image.float()
    values = precise.cpu().numpy()
    for axis in (-2, -1):
        values = along(values, axis)
    return torch.from_numpy(values).to(image)
