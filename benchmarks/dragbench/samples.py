"""DragBench's folders: ``<root>/<category>/<sample>/{original_image.png, user_edited.png, meta_data.pkl}``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.cases import Mask, Picture, Point, load_picture
from benchmarks.dragbench import safe_pickle
from toy_world.render import to_bytes


class SampleError(ValueError):
    """A folder is not a DragBench sample; the message names it, what is wrong and what to do."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture (H, W, 3), the region that may change (H, W), and (handle, target) pairs of (x, y) pixels."""

    name: str
    prompt: str
    source: Picture
    mask: Mask
    points: tuple[tuple[Point, Point], ...]

    @property
    def asked(self) -> list[float]:
        """Pixels from each handle to its target: the mean distance of the unedited picture."""
        return [float(np.hypot(t[0] - h[0], t[1] - h[1])) for h, t in self.points]


def find_samples(root: Path) -> list[Path]:
    """The sample folders, in the order of their names."""
    found = sorted(path.parent for path in root.glob("*/*/meta_data.pkl"))
    if not found:
        raise SampleError(f"No samples in {root}: DragBench has <category>/<sample>/meta_data.pkl below its root.")
    return found


def load_sample(folder: Path) -> Sample:
    """Read one folder; raises :class:`SampleError`."""
    try:
        fields = safe_pickle.load(folder / "meta_data.pkl")
        source = load_picture(folder / "original_image.png")
    except ValueError as error:
        raise SampleError(str(error)) from error
    if not isinstance(fields, dict) or not {"prompt", "points", "mask"} <= fields.keys():
        raise SampleError(f"{folder / 'meta_data.pkl'} must hold a dict with 'prompt', 'points' and 'mask'.")
    mask = np.asarray(fields["mask"])
    if mask.shape != source.shape[:2]:
        raise SampleError(f"{folder}: the mask is {mask.shape}, the picture {source.shape[:2]}; both must be (height, width).")
    return Sample(
        name=f"{folder.parent.name}/{folder.name}",
        prompt=str(fields["prompt"]),
        source=source,
        mask=mask > 0,
        points=_pairs(folder, fields["points"]),
    )


def fitted(sample: Sample, cell: int) -> Sample:
    """The sample with sides that are whole cells of ``cell`` pixels, as a VAE would otherwise crop the picture: resized by a few pixels."""
    height, width = sample.mask.shape
    wanted = max(1, round(width / cell)) * cell, max(1, round(height / cell)) * cell
    if wanted == (width, height):
        return sample
    mask = Image.fromarray(sample.mask).resize(wanted, Image.Resampling.NEAREST)
    sx, sy = wanted[0] / width, wanted[1] / height
    points = tuple(((h[0] * sx, h[1] * sy), (t[0] * sx, t[1] * sy)) for h, t in sample.points)
    return Sample(sample.name, sample.prompt, resized(sample.source, (wanted[1], wanted[0])), np.asarray(mask), points)


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture at (height, width). Evaluators that scale the points instead of the output mis-score."""
    if picture.shape[:2] == size:
        return picture
    image = Image.fromarray(to_bytes(picture)).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _pairs(folder: Path, value: object) -> tuple[tuple[Point, Point], ...]:
    """From [h, t, h, t, …]."""
    try:
        array = np.asarray(value, dtype=np.float64).reshape(-1, 2, 2)
    except (TypeError, ValueError):
        array = np.empty((0, 2, 2))
    if not len(array) or not np.isfinite(array).all():
        raise SampleError(f"{folder / 'meta_data.pkl'}: 'points' must be [handle, target, handle, target, …] of (x, y).")
    return tuple(((float(h[0]), float(h[1])), (float(t[0]), float(t[1]))) for h, t in array)
