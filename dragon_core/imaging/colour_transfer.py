"""The colours of one region given to another: mean and covariance of the channels change, structure stays."""

from __future__ import annotations

import torch
from torch import Tensor

#: Power of a cell's coverage that is its weight in the statistics.
WHOLE = 4
#: Variance below which a channel is taken for constant.
SMALLEST = 1e-4


def transfer_colours(latent: Tensor, inside: Tensor, reference: Tensor, wanted: Tensor) -> Tensor:
    """``latent`` (B, C, h, w) with the mean and covariance of its channels over ``inside`` made those of ``reference`` over ``wanted``.

    The linear Monge–Kantorovitch map between the two regions' Gaussians (Pitié & Kokaram 2007). Regions are (M, 1, h, w) in [0, 1];
    cells that they cover only in part show something else as well, and hardly count.
    """
    mean, spread = moments(latent, inside**WHOLE)
    aim, aimed = moments(reference, wanted**WHOLE)
    root, unroot = _powers(spread)
    middle = _powers(root @ aimed @ root)[0]
    matrix = unroot @ middle @ unroot
    centred = latent - mean[..., None, None]
    return torch.einsum("bij,bjhw->bihw", matrix.expand(latent.shape[0], -1, -1), centred) + aim[..., None, None]


def moments(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B, C) and covariance (B, C, C) of the channels of ``values`` (B, C, h, w), by ``weight`` (M, 1, h, w)."""
    weight = weight.expand(values.shape[0], -1, -1, -1)
    share = weight / weight.sum((2, 3), keepdim=True).clamp(min=1e-6)
    mean = (values * share).sum((2, 3))
    centred = values - mean[..., None, None]
    return mean, torch.einsum("bihw,bjhw->bij", centred * share, centred)


def _powers(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Square root and inverse square root of symmetric matrices (B, C, C)."""
    values, vectors = torch.linalg.eigh(matrix)
    root = values.clamp(min=SMALLEST).sqrt()
    return (vectors * root[:, None]) @ vectors.mT, (vectors / root[:, None]) @ vectors.mT
