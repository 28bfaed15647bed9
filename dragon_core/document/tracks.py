"""Ways of points over the frames of a video, in the two forms that ComfyUI's graphs know; both are pixels of the picture.

- splines, as KJNodes' editor writes them: ``[[{"x": …, "y": …}, …], …]`` or one spline alone, a point for each frame
- TRACKS, as ComfyUI's own nodes hand them on: ``{"track_path": (T, N, 2), "track_visibility": (T, N) or (T, 1)}``
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import DragonError
from .point_formats import MAX_COORDINATE, is_list, is_point, parse_point, read_json

FORMS = 'connect TRACKS, or text with splines: [[{"x": …, "y": …}, …], …], a point for each frame'


def parse_tracks(value: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - any JSON, as text or read already, or TRACKS
    """(path, seen): where each of N points is in each of T frames, (T, N, 2), float64, and in which it is seen, bool (T, N)."""
    given = read_json(value, FORMS) if isinstance(value, str) else value
    path, seen = _of_tensors(given) if isinstance(given, Mapping) else _of_splines(given)
    if path.ndim != 3 or path.shape[-1] != 2 or not path.numel():
        raise DragonError(f"the tracks have shape {tuple(path.shape)}, not (frames, points, 2); {FORMS}")
    if not bool((path.isfinite() & (path.abs() <= MAX_COORDINATE)).all()):
        raise DragonError("the tracks have a coordinate that is no place in a picture (NaN, infinite or beyond a million pixels)")
    if seen.ndim != 2 or seen.shape[0] != path.shape[0] or seen.shape[1] not in (1, path.shape[1]):
        raise DragonError(f"track_visibility has shape {tuple(seen.shape)}, not {tuple(path.shape[:2])}, (frames, points)")
    return path, seen.expand(path.shape[:2])


def _of_tensors(tracks: Mapping[Any, Any]) -> tuple[Tensor, Tensor]:
    path, seen = tracks.get("track_path"), tracks.get("track_visibility")
    if not isinstance(path, Tensor):
        raise DragonError(f'the tracks have no "track_path"; {FORMS}')
    path = path.detach().cpu().double()
    return path, torch.ones(path.shape[:2], dtype=torch.bool) if seen is None else torch.as_tensor(seen).cpu() > 0


def _of_splines(items: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - any JSON
    if not is_list(items) or not items:
        raise DragonError(f"there is no track; {FORMS}")
    splines = [items] if all(is_point(item) for item in items) else items
    for number, spline in enumerate(splines, 1):
        if not is_list(spline) or not spline:
            raise DragonError(f"track {number} is no list of points; {FORMS}")
        if len(spline) != len(splines[0]):
            raise DragonError(
                f"track {number} has {len(spline)} points and track 1 {len(splines[0])}: all need as many points as there are frames"
            )
    tracks = [[parse_point(at, f"point {i} of track {n}") for i, at in enumerate(each, 1)] for n, each in enumerate(splines, 1)]
    path = torch.tensor(tracks, dtype=torch.float64).movedim(1, 0)
    return path, torch.ones(path.shape[:2], dtype=torch.bool)
