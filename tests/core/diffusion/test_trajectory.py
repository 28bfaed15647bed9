"""Looking a noise level up in a trajectory, and what the trajectory knows of its picture."""

from __future__ import annotations

import math

import pytest
import torch

from dragon_core.diffusion.trajectory import Trajectory
from dragon_core.errors import DragonError

SIGMAS = torch.tensor([14.6146, 3.0, 1.0, 0.0292, 0.0])


def trajectory(pixels_per_cell: int = 8) -> Trajectory:
    return Trajectory(torch.zeros(5, 1, 4, 6, 9), SIGMAS, source=None, model="abc", family="SD 1.x", pixels_per_cell=pixels_per_cell)


def test_size_and_steps() -> None:
    assert trajectory().steps == 4
    assert trajectory().image_size == (48, 72), "height before width"
    assert trajectory(16).image_size == (96, 144)


def test_every_level_is_found_at_its_own_index() -> None:
    assert [trajectory().index(float(sigma)) for sigma in SIGMAS] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_levels_that_went_through_another_precision_are_found(kind: torch.dtype) -> None:
    """Single-precision rounding in the host's sampler must not lose the level; half precision (1e-3) is out of reach for some."""
    if kind == torch.float64:
        assert [trajectory().index(float(sigma)) for sigma in SIGMAS.to(kind)] == [0, 1, 2, 3, 4]
    assert trajectory().index(float(torch.tensor(3.0, dtype=kind))) == 1


@pytest.mark.parametrize("sigma", [14.0, 2.99, 0.5, 0.001, -1.0, math.nan, math.inf])
def test_unknown_level_is_refused_with_the_way_out(sigma: float) -> None:
    with pytest.raises(DragonError, match=r"has 4 steps and none at sigma .*DragonInvert"):
        trajectory().index(sigma)


def test_all_levels_of_a_long_schedule_are_told_apart() -> None:
    """1,000 levels spaced as Stable Diffusion's own are further apart than the tolerance."""
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    abar = torch.cumprod(1 - beta, 0)
    sigmas = torch.cat((((1 - abar) / abar).sqrt().flip(0), torch.zeros(1, dtype=torch.float64)))
    long = Trajectory(torch.zeros(1001, 1, 1, 1, 1), sigmas, None, "abc", "SD 1.x")
    assert [long.index(sigma) for sigma in sigmas.float().tolist()] == list(range(1001))
