"""The features that DragBench's mean distance is measured with, from a real UNet: they tell where a thing went."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.dragbench.dift import Dift
from benchmarks.dragbench.matching import distances


def picture(x: int, y: int) -> np.ndarray:
    """Grey noise with a red square of 24 px at (x, y)."""
    out = np.random.default_rng(0).uniform(0.45, 0.55, (96, 128, 3)).astype(np.float32)
    out[y : y + 24, x : x + 24] = (0.9, 0.1, 0.1)
    return out


def test_features_find_a_thing_where_it_went_and_the_model_stays_as_it_was(run: Any, mini: Any) -> None:
    options = str(mini.model.model_options)
    dift = Dift(run, (mini.model, mini.clip, mini.vae))
    before, after = (dift.features(picture(*place), "a red gift") for place in ((16, 24), (72, 48)))
    assert before.ndim == 3 and before.dtype == torch.float32 and before.shape[1] / before.shape[2] == 96 / 128
    assert torch.equal(before, dift.features(picture(16, 24), "a red gift")), "the same noises every time"
    points = (((28.0, 36.0), (84.0, 60.0)),)
    (moved,) = distances(before, after, points, (96, 128)).pixels
    (unmoved,) = distances(before, before, points, (96, 128)).pixels
    assert moved < 16 and unmoved > 50
    assert str(mini.model.model_options) == options
