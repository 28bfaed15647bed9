"""Looking a noise level up in a trajectory, and what the trajectory knows of its picture."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.inversion import renoise
from dragon_core.diffusion.noise_model import FLOW, VP, NoiseModel
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
def test_at_other_levels_no_step_begins(sigma: float) -> None:
    assert trajectory().index(sigma) is None


def path(noise_model: NoiseModel = VP, sigmas: Tensor = SIGMAS) -> Trajectory:
    """A picture under one noise."""
    clean, noise = torch.randn(2, 1, 4, 6, 9, generator=torch.Generator().manual_seed(0))
    return Trajectory(renoise(clean, sigmas, noise, noise_model), sigmas, None, "abc", "SD 1.x", noise_model=noise_model, renoised=True)


@pytest.mark.parametrize("sigmas", [[14.6146, 3.0, 1.0, 0.0292, 0.0], [3.0, 1.0, 0.0292], [14.6146, 3.0]])
def test_a_run_over_a_part_follows_the_trajectory_itself(sigmas: list[float]) -> None:
    own = path()
    followed, first = own.along(torch.tensor(sigmas))
    assert followed is own and first == SIGMAS.tolist().index(torch.tensor(sigmas[0]).item())


@pytest.mark.parametrize(("noise_model", "sigmas"), [(VP, [20.0, 5.0, 2.0, 0.01, 0.0]), (VP, [3.0, 0.5]), (FLOW, [1.0, 0.75, 0.3, 0.0])])
def test_a_run_over_other_levels_follows_the_picture_at_those(noise_model: NoiseModel, sigmas: list[float]) -> None:
    """Of a picture under one noise exactly; a schedule that stops short of 0 ends there all the same."""
    own = path(noise_model, SIGMAS if noise_model is VP else torch.tensor([0.9, 0.5, 0.1, 0.0]))
    followed, first = own.along(torch.tensor(sigmas))
    levels = sigmas if sigmas[-1] == 0 else [*sigmas, 0.0]
    assert first == 0 and followed.sigmas.tolist() == torch.tensor(levels).tolist()
    assert torch.equal(followed.latents[-1], own.latents[-1])
    noise = noise_model.noise_part(own.latents[0], own.latents[-1], own.sigmas[0]) / own.sigmas[0]
    for x, sigma in zip(followed.latents, followed.sigmas, strict=True):
        torch.testing.assert_close(x, noise_model.joined(own.latents[-1], sigma * noise, sigma))


def test_between_two_levels_lies_what_is_between_their_noise() -> None:
    latents = torch.randn(5, 1, 4, 6, 9, generator=torch.Generator().manual_seed(1))
    own = Trajectory(latents, SIGMAS, None, "abc", "SD 1.x")
    for i, sigma in enumerate(SIGMAS.tolist()):
        assert own.at(sigma) is not None and torch.equal(own.at(sigma), latents[i])
    middle = (own.at(math.sqrt(3.0)) - latents[-1]) / math.sqrt(3.0)
    torch.testing.assert_close(middle, ((latents[1] - latents[-1]) / 3 + (latents[2] - latents[-1])) / 2)


@pytest.mark.parametrize(("sigma", "step"), [(20.0, 0), (14.6146, 0), (5.0, 0), (3.0, 1), (1.5, 1), (1.0, 2), (0.02, 3), (0.0, 3)])
def test_every_level_belongs_to_the_step_that_begins_above_it(sigma: float, step: int) -> None:
    assert trajectory().step_at(sigma) == step


@pytest.mark.parametrize("sigmas", [[1.0], [1.0, 3.0], [3.0, 3.0, 0.0], [1.0, -1.0], [math.nan, 0.0]])
def test_levels_that_do_not_fall_are_refused(sigmas: list[float]) -> None:
    with pytest.raises(DragonError, match="must fall"):
        trajectory().along(torch.tensor(sigmas))


def test_all_levels_of_a_long_schedule_are_told_apart() -> None:
    """1,000 levels spaced as Stable Diffusion's own are further apart than the tolerance."""
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    abar = torch.cumprod(1 - beta, 0)
    sigmas = torch.cat((((1 - abar) / abar).sqrt().flip(0), torch.zeros(1, dtype=torch.float64)))
    long = Trajectory(torch.zeros(1001, 1, 1, 1, 1), sigmas, None, "abc", "SD 1.x")
    assert [long.index(sigma) for sigma in sigmas.float().tolist()] == list(range(1001))


@pytest.mark.parametrize("noise_model", [VP, FLOW])
def test_under_fresh_noise_it_is_the_same_picture_at_every_level(noise_model: NoiseModel) -> None:
    own = path(noise_model, torch.tensor([1.0, 0.6, 0.3, 0.1, 0.0]))
    fresh, again, other = own.under_fresh_noise(3), own.under_fresh_noise(3), own.under_fresh_noise(4)
    assert torch.equal(fresh.latents, again.latents) and not torch.equal(fresh.latents, other.latents)
    assert torch.equal(fresh.latents[0], own.latents[0]) and torch.equal(fresh.latents[-1], own.latents[-1])
    noises = torch.stack([fresh._noise(step).flatten() for step in range(4)])
    assert float((torch.corrcoef(noises) - torch.eye(4)).abs().max()) < 0.2, "each level has a noise of its own"
    assert float((noises.std(1) - 1).abs().max()) < 0.1


def test_frames_share_a_levels_noise() -> None:
    clean, noise = torch.randn(2, 6, 4, 6, 9, generator=torch.Generator().manual_seed(0))
    video = Trajectory(renoise(clean, SIGMAS, noise), SIGMAS, None, "abc", "Wan", frames=3, renoised=True).under_fresh_noise(1)
    second = video._noise(1)
    torch.testing.assert_close(second[0], second[2], atol=1e-4, rtol=0)
    assert float((second[2] - second[3]).abs().max()) > 0.5, "two videos do not"
