"""A click → the object's mask, from what the model itself sees in the picture.

Three steps, each a small, known idea:

1. *What is like the click?* Decoder features of the source, seen at a low noise level, tell objects from walls whatever their colours
   (DIFT, arXiv 2306.03881). Kernel densities of the clicked cells and of the picture's frame give every cell its odds.
2. *What hangs together?* A random walk with those odds as its prior (Grady, "Multilabel Random Walker Image Segmentation Using Prior
   Models", CVPR 2005) flows within an object and stops where the features change.
3. *Where exactly is the edge?* Features are a cell (8 pixels) coarse. Near the edge, colours of the object and of its own surroundings
   decide, and a second walk, over the pixels, follows the picture's edges.

Coordinates are pixels of the picture, x right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from ..errors import DragonError
from .affine import Point
from .windows import box_max

#: Cells along the longer side of the feature grid at most: all pairs of cells are compared.
MAX_GRID = 64
#: How fast likeness falls with the features' angle: exp(κ (cos − 1)).
FEATURE_KAPPA = 20.0
#: How fast the walk's flow between neighbours falls with it.
FEATURE_FLOW = 8.0
#: Pull of the prior on the walk, as a share of the flow between equal neighbours.
PRIOR_PULL = 0.1
#: Frame cells that are as much like the click as this (cosine) may belong to the object, and say nothing of the background.
LIKE_CLICK = 0.4

#: Standard deviations of the colour kernel: RGB in [0, 1], and place as a share of the picture's longer side.
COLOUR_WIDTH, PLACE_WIDTH = 0.08, 0.16
#: Width of the surroundings round an object, as a share of the longer side.
SURROUNDINGS = 0.08
#: Pixels drawn to stand for the object, and for its surroundings.
SAMPLES = 300
#: How much the coarse mask counts beside the colours (0 not at all, 1 as much).
COARSE_WEIGHT = 0.5
PIXEL_FLOW = 20.0

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
HELD = 100.0
CHUNK = 65536


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """mask: (H, W) boolean. confidence: [0, 1], how clearly it stands out, see :func:`_confidence`."""

    mask: Tensor
    confidence: float


def object_mask(
    features: Sequence[Tensor], clicks: Sequence[Point], picture: Tensor, threshold: float = 0.5, others: Sequence[Point] = ()
) -> ObjectMask:
    """The object under the clicks. ``others``: points that do not lie on it.

    features: decoder features of the picture, each (C, h, w). picture: (H, W, 3) in [0, 1]. threshold: of the object's probability; lower
    takes more.
    """
    size = (picture.shape[0], picture.shape[1])
    for x, y in (*clicks, *others):
        if not (0 <= x < size[1] and 0 <= y < size[0]):
            raise DragonError(
                f"the point ({x:.0f}, {y:.0f}) lies outside of the picture, which is {size[1]}×{size[0]}: click on the object"
            )
    if not clicks:
        raise DragonError("there is no point: click on the object")
    vectors = cell_vectors(features)
    h, w = vectors.shape[-2:]
    seeds = torch.zeros(h, w, dtype=torch.bool, device=vectors.device)
    start = torch.zeros(size, dtype=torch.bool, device=vectors.device)
    for x, y in clicks:
        seeds[int(y * h / size[0]), int(x * w / size[1])] = True
        start[int(y), int(x)] = True
    off = torch.zeros_like(seeds)
    for x, y in others:
        off[int(y * h / size[0]), int(x * w / size[1])] = True
    if (off & seeds).any():
        raise DragonError("a point on the object and one off it lie in one cell of the model's: move them apart")
    coarse = F.interpolate(likely_cells(vectors, seeds, off)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    probable = sharpened(coarse, picture.to(coarse))
    mask = filled(flood(probable > threshold, start))
    return ObjectMask(mask, _confidence(probable, mask))


def cell_vectors(features: Sequence[Tensor]) -> Tensor:
    """One unit vector a cell (C, h, w): each feature relative to its mean over the picture, all with equal say."""
    h, w = max((f.shape[-2], f.shape[-1]) for f in features)
    shrink = max(1.0, max(h, w) / MAX_GRID)
    grid = (max(1, round(h / shrink)), max(1, round(w / shrink)))
    parts = []
    for feature in features:
        resized = F.interpolate(
            feature[None].float(), size=grid, mode="bilinear", align_corners=False, antialias=feature.shape[-1] > grid[1]
        )
        parts.append(F.normalize(resized[0] - resized[0].mean((1, 2), keepdim=True), dim=0))
    return torch.cat(parts) / math.sqrt(len(parts))


def likely_cells(vectors: Tensor, seeds: Tensor, off: Tensor | None = None) -> Tensor:
    """Probability (h, w) that a cell belongs to the object whose cells ``seeds`` marks, and to which those of ``off`` do not belong."""
    h, w = seeds.shape
    flat = vectors.flatten(1)
    to_seeds = (flat[:, seeds.flatten()].T @ flat).amax(0).view(h, w)
    frame = torch.ones_like(seeds)
    frame[1:-1, 1:-1] = False
    frame &= ~seeds
    background = frame & (to_seeds < LIKE_CLICK)
    if not background.any():
        background = frame & (to_seeds <= to_seeds[frame].median())
    background = background if off is None else background | off
    likeness = torch.exp(FEATURE_KAPPA * (flat.T @ flat - 1))
    is_object = likeness[:, seeds.flatten()].mean(1).view(h, w)
    is_background = likeness[:, background.flatten()].mean(1).view(h, w)
    prior = is_object / (is_object + is_background + 1e-12)
    pull = torch.full_like(prior, PRIOR_PULL)
    for held, value in ((background, 0.0), (seeds, 1.0)):
        prior, pull = prior.masked_fill(held, value), pull.masked_fill(held, HELD)
    flows = [_flow(vectors, offset, lambda a, b: FEATURE_FLOW * (1 - (a * b).sum(0))) for offset in NEIGHBOURS]
    return walk(prior, pull, flows, 100)


def sharpened(coarse: Tensor, picture: Tensor) -> Tensor:
    """A probability map (H, W), a cell coarse, on the edges of its picture (H, W, 3)."""
    coarse = coarse.clamp(0.01, 0.99)
    longer, odds = max(coarse.shape), torch.logit(coarse)
    near = box_max(coarse, _margin(coarse.shape)) > 0.5
    open_ = (coarse > 0.03).flatten()
    rows, columns = torch.meshgrid(*(torch.arange(n, device=coarse.device) / (PLACE_WIDTH * longer) for n in coarse.shape), indexing="ij")
    points = torch.cat([picture / COLOUR_WIDTH, rows[..., None], columns[..., None]], dim=-1).flatten(0, 1)
    likely = coarse
    for _ in range(2):
        inside = (likely**2 * (likely > 0.5)).flatten()
        outside = ((1 - likely) ** 2 * (likely < 0.5) * near).flatten()
        if not inside.any() or not outside.any():
            return coarse
        evidence = torch.log(_density(points, inside, open_)) - torch.log(_density(points, outside, open_))
        refined = torch.sigmoid(COARSE_WEIGHT * odds.flatten()[open_] + evidence)
        likely = torch.zeros_like(coarse).flatten().masked_scatter(open_, refined).view_as(coarse)
    closed = coarse < 0.05
    pull = torch.full_like(coarse, PRIOR_PULL).masked_fill(closed, HELD)
    flows = [_flow(picture.movedim(-1, 0), offset, lambda a, b: PIXEL_FLOW * (a - b).norm(dim=0)) for offset in NEIGHBOURS]
    return walk(likely.masked_fill(closed, 0.0), pull, flows, 80)


def walk(prior: Tensor, pull: Tensor, flows: Sequence[Tensor], iterations: int) -> Tensor:
    """argmin_u Σ pull (u − prior)² + Σ_neighbours flow (u_i − u_j)², by conjugate gradients: (h, w) in [0, 1]."""

    def system(u: Tensor) -> Tensor:
        out = pull * u
        for (dy, dx), flow in zip(NEIGHBOURS, flows, strict=True):
            here, there = _pair(u, dy, dx)
            exchanged = flow * (here - there)
            mine, other = _pair(out, dy, dx)
            mine += exchanged
            other -= exchanged
        return out

    u = prior.clone()
    residual = pull * prior - system(u)
    direction, size = residual, residual.square().sum()
    enough = 1e-8 * (pull * prior).square().sum()
    for _ in range(iterations):
        if size <= enough:
            break
        image = system(direction)
        step = size / (direction * image).sum()
        u, residual = u + step * direction, residual - step * image
        smaller = residual.square().sum()
        direction, size = residual + smaller / size * direction, smaller
    return u.clamp(0, 1)


def flood(inside: Tensor, start: Tensor) -> Tensor:
    """The parts of ``inside`` (H, W) that hang together (by sides) with a pixel of ``start``, which belongs to them anyhow."""
    parts, _ = ndimage.label((inside | start).cpu().numpy())
    return torch.from_numpy(np.isin(parts, parts[start.cpu().numpy()])).to(inside.device)


def filled(mask: Tensor) -> Tensor:
    """The mask (H, W) without holes: what the outside, coming from the frame, cannot reach."""
    return torch.from_numpy(ndimage.binary_fill_holes(mask.cpu().numpy())).to(mask.device)


def disc(clicks: Sequence[Point], size: tuple[int, int], share: float = 0.125) -> Tensor:
    """(H, W) boolean: discs round the clicks, of a radius that is a share of the shorter side."""
    rows, columns = torch.meshgrid(torch.arange(float(size[0])), torch.arange(float(size[1])), indexing="ij")
    radius = share * min(size)
    return torch.stack([torch.hypot(columns - x, rows - y) <= radius for x, y in clicks]).any(0)


def _confidence(probable: Tensor, mask: Tensor) -> float:
    """How much more probable the mask is than its surroundings, less what it covers of the frame: backgrounds do that, objects rarely."""
    around = (box_max(mask.float(), _margin(mask.shape)) > 0.5) & ~mask
    contrast = probable[mask].mean() - (probable[around].mean() if around.any() else 1.0)
    frame = torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).float().mean()
    return float((contrast * (1 - 2 * frame)).clamp(0, 1))


def _margin(size: Sequence[int]) -> int:
    """Pixels round an object that are its surroundings."""
    return max(1, round(SURROUNDINGS * max(size)))


def _pair(values: Tensor, dy: int, dx: int) -> tuple[Tensor, Tensor]:
    """Views of a map (…, h, w): every place that has a neighbour at (dy, dx), and those neighbours."""
    h, w = values.shape[-2:]
    left, right = max(-dx, 0), max(dx, 0)
    return values[..., : h - dy, left : w - right], values[..., dy:, right : w - left]


def _flow(values: Tensor, offset: tuple[int, int], distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    here, there = _pair(values, *offset)
    return torch.exp(-distance(here, there)) / math.hypot(*offset)


def _density(points: Tensor, weight: Tensor, wanted: Tensor) -> Tensor:
    """Kernel density, times the mass of ``weight`` (N,), at the wanted ones of the points (N, D); drawn from a fixed seed."""
    # As a cumulative sum: torch.multinomial takes no more than 2^24 pixels.
    edges = weight.double().cumsum(0)
    draws = torch.rand(SAMPLES, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(edges.device)
    chosen = points[torch.searchsorted(edges, draws * edges[-1]).clamp(max=len(points) - 1)]
    near = [torch.exp(-0.5 * torch.cdist(part, chosen).square()).mean(1) for part in points[wanted].split(CHUNK)]
    # The floor keeps places that are like neither from being decided by the tails of the kernels.
    return torch.cat(near) * weight.sum() + 1e-3
