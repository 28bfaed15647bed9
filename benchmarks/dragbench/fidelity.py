"""Image fidelity: 1 − LPIPS (AlexNet) at 224×224, with the ``lpips`` package where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.cases import Picture

SIDE = 224
MISSING = f"Image fidelity (IF) is left out: it needs lpips, an optional package: {sys.executable} -m pip install lpips"


def fidelity_measure() -> Callable[[Picture, Picture], float] | None:
    """(source, output) → 1 − LPIPS; None where lpips is not installed."""
    if importlib.util.find_spec("lpips") is None:
        return None
    network = importlib.import_module("lpips").LPIPS(net="alex", verbose=False).eval()

    @torch.inference_mode()
    def measure(source: Picture, output: Picture) -> float:
        return 1 - float(network(_prepared(source), _prepared(output)))

    return measure


def _prepared(picture: Picture) -> Tensor:
    """(1, 3, 224, 224) in [-1, 1]."""
    tensor = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
    return F.interpolate(tensor, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False) * 2 - 1
