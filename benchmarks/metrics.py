"""How close an edited picture came to the true answer (spec/benchmark.md, section 1). Pure functions on arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.box import box_mean, dilate
from benchmarks.cases import Case, Mask, Picture
from benchmarks.colour import colour_distance, colour_share, look_error
from benchmarks.finding import find_object
from benchmarks.light import light_error, seam, shadow_error
from benchmarks.tracking import drag_distance

BEST_PSNR = 100.0
"""dB given to identical pictures, so that every figure is finite (8-bit rounding alone is about 59 dB)."""
SSIM_RADIUS = 3
VACATED_LEAST = 0.02
"""Less than this share of the object's mask is an edge, not a vacated place."""

MEASURABLE = 0.9
MEASURABLE_COLOUR = 15.0
"""Units of a*, b* between source and reference, at least: less is hardly another look."""
MEASURABLE_SHARE = 0.2
"""What the true answer may leave of that distance."""
MEASURABLE_DRAG = 0.25
"""How far the distance measured without an edit may be from the pairs' own, as a share of it."""

IOU_SHARE = 0.8
GHOST_LIMIT = 0.3
BACKGROUND_MARGIN = 3.0
COLOUR_LIMIT = 0.4
DRAG_LIMIT = 0.04
LIGHT_SHARE = 0.6
UNSEEN = 0.5


@dataclass(frozen=True)
class Score:
    """One picture against the truth. ``ghost`` and ``seam`` are None where the edit vacates nothing, what is about the object where none is
    left, what is about colours and points for other tasks than their own, and light and shadow in flat scenes.

    ``drag_distance``: a share of the side. ``colour_distance`` (to the reference) and ``look_error`` (to the truth, pixel by pixel):
    shares of the unedited source's. ``light_error``, ``shadow_error``: L*; ``seam``: gradient energy × 1000 (:mod:`benchmarks.light`).
    """

    object_iou: float | None
    centroid_error: float | None
    ghost: float | None
    object_psnr: float
    object_ssim: float
    background_psnr: float
    drag_distance: float | None = None
    colour_distance: float | None = None
    look_error: float | None = None
    light_error: float | None = None
    shadow_error: float | None = None
    seam: float | None = None


def score(output: Picture, case: Case) -> Score:
    """All metrics of ``output`` (H, W, 3) in [0, 1]."""
    if output.shape != case.truth.shape:
        raise ValueError(f"The output is {output.shape}, the truth {case.truth.shape}: resize it to the source's size first.")
    if not np.isfinite(output).all():
        raise ValueError("The output has values that are not finite.")
    found = find_object(output, case.clean, shadows=case.shadows)
    stays = bool(case.truth_mask.any())
    edited = case.truth_mask if stays else case.mask
    return Score(
        object_iou=iou(found, case.truth_mask) if stays else None,
        centroid_error=centroid_distance(found, case.truth_mask) / case.side if stays else None,
        ghost=ghost(output, case),
        object_psnr=psnr(output, case.truth, edited),
        object_ssim=ssim(output, case.truth, edited),
        background_psnr=psnr(output, case.truth, background(case)),
        drag_distance=drag_distance(output, case),
        colour_distance=colour_share(output, case),
        look_error=look_error(output, case),
        light_error=light_error(output, case),
        shadow_error=shadow_error(output, case),
        seam=seam(output, case),
    )


def success(result: Score, ceiling: Score, draft: Score | None = None) -> bool:
    """Background PSNR ≥ the ceiling's − 3 dB, ghost ≤ 0.3 where something is vacated, and the edit itself:

    drag: mean distance ≤ 4 % of the side; others: object IoU ≥ 0.8 × the ceiling's; appearance also: colour distance ≤ 0.4.
    In lit scenes, where ``draft`` is the score of the edit in pixels: light and shadow error ≤ 0.6 of its own, or what the VAE does
    to the truth itself (the ceiling's) and half a unit of L*, which nobody sees.
    """
    if result.drag_distance is not None:
        arrived = result.drag_distance <= DRAG_LIMIT
    else:
        arrived = result.object_iou is None or result.object_iou >= IOU_SHARE * (ceiling.object_iou or 0.0) - 1e-9
    return (
        arrived
        and (draft is None or (_is_lit("light_error", result, ceiling, draft) and _is_lit("shadow_error", result, ceiling, draft)))
        and (result.colour_distance is None or result.colour_distance <= COLOUR_LIMIT)
        and (result.ghost is None or result.ghost <= GHOST_LIMIT)
        and result.background_psnr >= ceiling.background_psnr - BACKGROUND_MARGIN
    )


def _is_lit(measure: str, result: Score, ceiling: Score, draft: Score) -> bool:
    value, least, copied = (getattr(score, measure) for score in (result, ceiling, draft))
    return value is None or value <= max(LIGHT_SHARE * copied, least + UNSEEN)


def is_measurable(case: Case) -> bool:
    """Whether the measures see what they should in the perfect answer, and the lack of it in the unedited source."""
    shown, mask = (case.source, case.mask) if case.edit.task == "remove" else (case.truth, case.truth_mask)
    if iou(find_object(shown, case.clean, shadows=case.shadows), mask) < MEASURABLE:
        return False
    if case.edit.task == "appearance":
        unedited = colour_distance(case.source, case.mask, *case.needed_reference)
        return unedited >= MEASURABLE_COLOUR and (colour_share(case.truth, case) or 0.0) <= MEASURABLE_SHARE
    unmoved = drag_distance(case.source, case)
    if unmoved is not None:
        asked = float(np.mean([np.hypot(t[0] - h[0], t[1] - h[1]) for h, t in case.edit.points])) / case.side
        return abs(unmoved - asked) <= MEASURABLE_DRAG * asked
    return True


def iou(first: Mask, second: Mask) -> float:
    """Intersection over union; 1 when both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def centroid_distance(found: Mask, truth: Mask) -> float:
    """Pixels between the two centroids; the longer side when nothing was found, as far off as can be."""
    if not found.any():
        return float(max(truth.shape))
    first, second = (np.argwhere(mask).mean(axis=0) for mask in (found, truth))
    return float(np.hypot(*(first - second)))


def ghost(output: Picture, case: Case) -> float | None:
    """Mean |output − truth| in the vacated area, over the same for the unedited source: 1 = nothing cleared, 0 = all."""
    is_vacated = case.vacated.sum() > VACATED_LEAST * case.mask.sum()
    unedited = float(np.abs(case.source - case.truth)[case.vacated].mean()) if is_vacated else 0.0
    if unedited == 0:
        return None
    return float(np.abs(output - case.truth)[case.vacated].mean()) / unedited


def background(case: Case) -> Mask:
    """Outside source and target masks, and old and new shadow, all grown by side/32 (one cell of the latent at 256 px)."""
    edited = case.mask | case.truth_mask
    if case.shadows:
        edited = edited | case.shadow_mask
    outside: Mask = ~dilate(edited, max(1, round(case.side / 32)))
    return outside


def psnr(output: Picture, truth: Picture, where: Mask) -> float:
    """Peak signal-to-noise ratio in dB over the pixels of ``where``; :data:`BEST_PSNR` when equal or none."""
    error = (output.astype(np.float64) - truth)[where]
    mean_square = float(np.square(error).mean()) if error.size else 0.0
    return min(BEST_PSNR, -10 * math.log10(mean_square)) if mean_square else BEST_PSNR


def ssim(output: Picture, truth: Picture, where: Mask) -> float:
    """Structural similarity (Wang et al. 2004; uniform 7×7 window, K = 0.01, 0.03), mean over ``where`` and channels."""
    return float(ssim_map(output, truth)[where].mean())


def ssim_map(output: Picture, truth: Picture) -> npt.NDArray[np.float64]:
    """SSIM of each pixel's window: (H, W, 3)."""
    x, y = output.astype(np.float64), truth.astype(np.float64)
    mean_x, mean_y = box_mean(x, SSIM_RADIUS), box_mean(y, SSIM_RADIUS)
    var_x = box_mean(x * x, SSIM_RADIUS) - mean_x**2
    var_y = box_mean(y * y, SSIM_RADIUS) - mean_y**2
    cov = box_mean(x * y, SSIM_RADIUS) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    alike = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    most: npt.NDArray[np.float64] = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return alike / most
