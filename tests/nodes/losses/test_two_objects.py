"""Two objects moved in opposite directions in one run, looked for in the picture itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dev.paths import REPOSITORY

SCENE = REPOSITORY / "tests" / "fixtures" / "two_objects"
PROMPT = "a basketball and a mushroom on a sand floor with a white dotted wall"
SHIFT = 32
#: The nodes' own defaults, and fewer steps.
SHIPPED = {"cfg": 1.5, "energy_scale": 0.2, "guide_every_until": 1.0, "guide_until": 1.0, "hold_background": 1.0, "hold_object_until": 0.7}


def picture(name: str) -> torch.Tensor:
    return torch.from_numpy(np.asarray(Image.open(SCENE / f"{name}.png")).astype(np.float32) / 255)[None]


def centres(shown: torch.Tensor, clean: torch.Tensor) -> list[float]:
    """The middle (x) of what differs from the empty room in each half of the picture (1, H, W, 3)."""
    differs = ((shown - clean).abs().amax(-1) > 0.15)[0].float()
    columns = torch.arange(differs.shape[1]) + 0.5
    half = differs.shape[1] // 2 + 10  # the floor between the two, before and after
    return [float((part.sum(0) * x).sum() / part.sum()) for part, x in zip(differs.split(half, 1), columns.split(half), strict=True)]


def test_two_objects_move_in_opposite_directions(run: Any, mini: Any) -> None:
    """The one on the left goes right and the one on the right goes left, both in one run."""
    (positive,), (negative,) = (run("CLIPTextEncode", clip=mini.clip, text=text) for text in (PROMPT, ""))
    (latent,) = run("VAEEncode", vae=mini.vae, pixels=picture("source"))
    trajectory = run("DragonInvert", model=mini.model, positive=positive, latent=latent, steps=10)[0]
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=branch)
    energy: Any = ()
    for name, dx in (("left", SHIFT), ("right", -SHIFT)):
        (energy,) = run("DragonMoveLoss", mask=picture(name), dx=dx, dy=0, start_latent="swap", energy=energy)
    links = {"model": model, "positive": positive, "negative": negative, "branch": branch, "energy": energy}
    samples = run("DragonSampler", **links, **SHIPPED)[0]
    (result,) = run("VAEDecode", vae=mini.vae, samples=samples)
    before, after = (centres(shown, picture("clean")) for shown in (picture("source"), result))
    assert after[0] - before[0] == pytest.approx(SHIFT, abs=8)
    assert after[1] - before[1] == pytest.approx(-SHIFT, abs=8)
