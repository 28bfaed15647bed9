"""Inversion of a denoiser known in closed form: the exact posterior of a Gaussian picture, x0 ~ N(mu, s²) pixel by pixel.

There eps(x, sigma) = sigma (x − mu) / (s² + sigma²), so every step of every variant can be written down.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.inversion import invert
from dragon_core.diffusion.schedule import ddim_step
from dragon_core.errors import DragonError

MU, S = 0.7, 0.5


def gaussian_eps(x: Tensor, sigma: Tensor) -> Tensor:
    return sigma * (x - MU) / (S**2 + sigma**2)


def schedule(steps: int, lowest: float = 0.03) -> Tensor:
    """From 14.6 to ``lowest`` by equal factors, then 0."""
    levels = [14.6 * (lowest / 14.6) ** (i / max(steps - 1, 1)) for i in range(steps)]
    return torch.tensor([*levels, 0.0], dtype=torch.float64)


def picture() -> Tensor:
    return MU + S * torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def sample_back(path: Tensor, sigmas: Tensor) -> Tensor:
    x = path[0]
    for high, low in zip(sigmas[:-1], sigmas[1:], strict=True):
        x = ddim_step(x, gaussian_eps(x, high), high, low)
    return x


@pytest.mark.parametrize("steps", [20, 50])
def test_refined_inversion_samples_back_to_the_picture(steps: int) -> None:
    x0, sigmas = picture(), schedule(steps)
    path = invert(x0, sigmas, gaussian_eps, refinement=15)
    assert float((sample_back(path, sigmas) - x0).abs().max()) < 1e-5


def test_error_shrinks_with_every_refinement() -> None:
    x0, sigmas = picture(), schedule(50)
    errors = [float((sample_back(invert(x0, sigmas, gaussian_eps, n), sigmas) - x0).abs().max()) for n in range(6)]
    assert errors[0] > 0.01, "plain inversion must be off, or this test shows nothing"
    for coarse, fine in zip(errors[:-1], errors[1:], strict=True):
        assert fine < 0.3 * coarse


def test_every_level_of_a_refined_path_is_where_sampling_passes() -> None:
    """The guidance branch reads the path at each step, so it must agree there, not at the ends alone."""
    x0, sigmas = picture(), schedule(50)
    path = invert(x0, sigmas, gaussian_eps, refinement=15)
    for k in range(50):
        down = ddim_step(path[k], gaussian_eps(path[k], sigmas[k]), sigmas[k], sigmas[k + 1])
        torch.testing.assert_close(down, path[k + 1], rtol=0, atol=1e-6)


def test_refinement_converges_to_the_implicit_euler_step() -> None:
    """new = x + (h − l) eps(new, h) solved for new: (new − mu) = (x − mu) / (1 − (h − l) h / (s² + h²))."""
    x0, sigmas = picture(), schedule(50)
    path = invert(x0, sigmas, gaussian_eps, refinement=20)
    deviation, levels = x0 - MU, sigmas.tolist()
    for k in range(49, -1, -1):
        high, low = levels[k], levels[k + 1]
        deviation = deviation / (1 - (high - low) * high / (S**2 + high**2))
        torch.testing.assert_close(path[k] - MU, deviation, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("refinement", [0, 1, 2])
def test_few_refinements_step_by_step_in_plain_numbers(refinement: int) -> None:
    """First evaluation at x sqrt((1 + h²) / (1 + l²)): the reference code's latent is not rescaled. Then at the new point."""
    sigmas, x = schedule(12), 1.3
    path = invert(torch.full((1, 1, 1, 1), x, dtype=torch.float64), sigmas, gaussian_eps, refinement)
    levels = sigmas.tolist()
    for k in range(11, -1, -1):
        high, low = levels[k], levels[k + 1]
        z = x / math.sqrt(1 + low**2)
        at = z * math.sqrt(1 + high**2)
        new = x + (high - low) * high * (at - MU) / (S**2 + high**2)
        for _ in range(refinement):
            new = x + (high - low) * high * (new - MU) / (S**2 + high**2)
        x = new
        assert float(path[k]) == pytest.approx(x, rel=1e-12)


def test_a_fine_schedule_approaches_the_exact_flow() -> None:
    """The probability-flow ODE of a Gaussian: (x − mu) grows as sqrt(s² + sigma²) / s. First order: four times finer, four times closer."""
    x0 = picture()
    exact = MU + (x0 - MU) * math.sqrt(S**2 + 14.6**2) / S
    errors = [float((invert(x0, schedule(steps, 1e-3), gaussian_eps, 10)[0] - exact).abs().max()) for steps in (150, 600)]
    assert errors[1] < 0.01 * float(exact.abs().max())
    assert 3.5 < errors[0] / errors[1] < 4.5


@pytest.mark.parametrize("refinement", [0, 3])
def test_the_path_is_noisiest_first_and_ends_in_the_picture_untouched(refinement: int) -> None:
    x0, sigmas = picture(), schedule(10)
    before = x0.clone()
    path = invert(x0, sigmas, gaussian_eps, refinement)
    assert path.shape == (11, *x0.shape)
    assert torch.equal(path[-1], before) and torch.equal(x0, before)
    spread = [float((x - MU).square().mean()) for x in path]
    assert spread == sorted(spread, reverse=True)
    assert spread[0] > 100 * spread[-1]


@pytest.mark.parametrize("refinement", [0, 1, 4])
def test_levels_asked_for_evaluations_and_progress(refinement: int) -> None:
    """T steps cost T (1 + n) evaluations, each at the level walked to, upwards; progress counts 1 to T."""
    sigmas, asked, seen = schedule(5), [], []

    def eps(x: Tensor, sigma: Tensor) -> Tensor:
        asked.append(float(sigma))
        return torch.zeros_like(x)

    x0 = picture()
    path = invert(x0, sigmas, eps, refinement, seen.append)
    assert asked == [s for s in sigmas[:-1].flip(0).tolist() for _ in range(1 + refinement)]
    assert seen == [1, 2, 3, 4, 5]
    assert all(torch.equal(x, x0) for x in path), "no noise predicted, none added"


def test_pictures_of_a_batch_do_not_mix() -> None:
    x0, sigmas = picture(), schedule(8)
    both = invert(x0, sigmas, gaussian_eps)
    for b in range(2):
        torch.testing.assert_close(both[:, b : b + 1], invert(x0[b : b + 1], sigmas, gaussian_eps))


def test_one_step() -> None:
    sigmas = torch.tensor([2.0, 0.0], dtype=torch.float64)
    x0 = picture()
    path = invert(x0, sigmas, gaussian_eps, refinement=0)
    torch.testing.assert_close(path[0], x0 + 2 * 2 * (x0 * math.sqrt(5) - MU) / (S**2 + 4))


@pytest.mark.parametrize("sigmas", [[], [0.0], [3.0, 1.0], [0.0, 1.0]])
def test_schedules_that_lead_nowhere_are_refused(sigmas: list[float]) -> None:
    with pytest.raises(DragonError, match="at least one step that ends at sigma 0"):
        invert(picture(), torch.tensor(sigmas), gaussian_eps)


def test_negative_refinement_is_refused() -> None:
    with pytest.raises(DragonError, match="got -1"):
        invert(picture(), schedule(2), gaussian_eps, refinement=-1)
