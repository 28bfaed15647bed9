"""Edits of videos: a place for each frame, and one edit for all frames that a video's latent holds in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from ..errors import DragonError
from ..imaging.affine import Pairs, Point
from ..imaging.mask_checks import check_mask
from ..imaging.masks import centroids
from .base import AnyEdit, Edit, replaced

#: How many frames a latent's frame holds after the first one, which stands alone, in the VAEs of the video models that there are.
PACKED = (4, 6, 8)


def shifts_along(mask: Tensor, path: Tensor, seen: Tensor, shift: Point = (0.0, 0.0)) -> tuple[Tensor, tuple[Point, ...]]:
    """The object's mask in each of T frames, (T, H, W), and by what its edit moves it there, in pixels.

    What lies at the first points of a path goes along it, the mean of those that are seen; ``shift`` is added. A video's object that
    moves by itself (a mask for each frame) ends on the path all the same, as its own way is taken off. mask: (1 or T, H, W).
    path: (T, N, 2) in pixels (x, y). seen: bool (T, N).
    """
    own, weight = _own_ways(mask, len(path)), _followed(seen).to(path)
    along = ((path - path[:1]) * weight.unsqueeze(-1)).sum(1) / weight.sum(1, keepdim=True)
    left = along - own + torch.tensor(shift, dtype=torch.float64)
    return mask.expand(len(path), -1, -1), tuple((float(x), float(y)) for x, y in left.tolist())


def pairs_along(path: Tensor, seen: Tensor, mask: Tensor | None = None) -> tuple[Pairs, ...]:
    """Handles and targets in each of T frames: what lies at each track's first point goes along it.

    A video's object that moves by itself (a mask for each frame) has its handles where it is by then. Those of points that are not seen
    in a frame are left out there. path: (T, N, 2) in pixels (x, y). seen: bool (T, N). mask: (1 or T, H, W), empty ones mean nothing.
    """
    painted = mask is not None and bool((mask != 0).any())
    own = _own_ways(mask, len(path)).unsqueeze(1) if mask is not None and painted else torch.zeros_like(path)
    frames = zip(torch.stack(((path[:1] + own).expand_as(path), path), dim=2), _followed(seen), strict=True)
    return tuple(tuple(((hx, hy), (tx, ty)) for (hx, hy), (tx, ty) in pairs[follows].tolist()) for pairs, follows in frames)


def _followed(seen: Tensor) -> Tensor:
    """Which points (T, N) count in a frame: those that are seen, and all where none is."""
    return torch.where(seen.any(1, keepdim=True), seen, torch.ones_like(seen))


def _own_ways(mask: Tensor, frames: int) -> Tensor:
    """How far the object has gone by itself in each frame: (T or 1, 2), pixels."""
    check_mask(mask)
    if len(mask) not in (1, frames):
        raise DragonError(f"the tracks have {frames} points and there are {len(mask)} masks: both need one for each frame")
    middles = torch.tensor(centroids(mask), dtype=torch.float64)
    return middles - middles[:1]


def by_latent_frames(edits: Sequence[Edit], latents: int, frames: int) -> tuple[Edit, ...]:
    """A chain whose masks are one a frame of the videos, with one a frame of their latents instead: all that their frames cover.

    ``latents``: frames of all videos' latents together; ``frames``: of each. Chains of other numbers of masks stay as they are.
    """
    return tuple(_packed(edit, latents, frames) for edit in edits) if frames > 1 else tuple(edits)


def _packed(edit: AnyEdit, latents: int, frames: int) -> AnyEdit:
    changes: dict[str, Any] = {}
    for field in fields(edit):  # type: ignore[arg-type]
        value = getattr(edit, field.name)
        if field.name == "carried":
            changes[field.name] = _packed(value, latents, frames)
        elif isinstance(value, Tensor) and value.ndim == 3 and (groups := _groups(len(value), latents, frames)):
            changes[field.name] = torch.stack([value[group].amax(0) for group in groups])
        elif field.name == "sets" and (groups := _groups(len(value), latents, frames)):
            changes[field.name] = tuple(value[group[len(group) // 2]] for group in groups)
        elif field.name == "transform" and (groups := _groups(value.count, latents, frames)):
            changes[field.name] = value.chosen([group[len(group) // 2] for group in groups])
    return replaced(edit, **changes) if changes else edit


def _groups(count: int, latents: int, frames: int) -> list[list[int]]:
    """Which of ``count`` frames each latent's frame holds; none where ``count`` is not the frames of such videos."""
    videos = latents // frames
    each, odd = divmod(count, videos)
    packed = next((n for n in PACKED if each == 1 + n * (frames - 1)), None)
    if odd or packed is None:
        return []
    in_one = [[0], *([1 + n * packed + i for i in range(packed)] for n in range(frames - 1))]
    return [[video * each + i for i in group] for video in range(videos) for group in in_one]
