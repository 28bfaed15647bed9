"""The regional SDE step against DDIM and DDPM, exactly and by sampling; time travel as the inverse of a step; the noise's seed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.schedule import ddim_step
from dragon_core.diffusion.steps import regional_sde_step, travel_back, unit_noise

LEVELS = [(14.6, 12.1), (2.0, 1.5), (0.3, 0.029), (1.0, 0.999)]


def level(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def a_step(seed: int = 0, shape: tuple[int, ...] = (2, 3, 4, 5)) -> tuple[Tensor, Tensor, Tensor]:
    """x, eps and noise."""
    generator = torch.Generator().manual_seed(seed)
    x, eps, noise = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    return 5 * x, eps, noise


@pytest.mark.parametrize(("sigma", "sigma_next"), LEVELS)
def test_eta_0_is_ddim(sigma: float, sigma_next: float) -> None:
    x, eps, noise = a_step()
    got = regional_sde_step(x, eps, level(sigma), level(sigma_next), torch.zeros(1, 1, 4, 5, dtype=torch.float64), noise)
    torch.testing.assert_close(got, ddim_step(x, eps, level(sigma), level(sigma_next)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("sigma", "sigma_next"), LEVELS)
def test_eta_1_is_the_posterior_by_bayes(sigma: float, sigma_next: float) -> None:
    """x' given x0 is N(x0, sigma'²) and x given x' is N(x', sigma² − sigma'²): multiply the two and read off mean and variance."""
    x, eps, noise = a_step(1)
    got = regional_sde_step(x, eps, level(sigma), level(sigma_next), torch.ones(1, 1, 4, 5, dtype=torch.float64), noise)
    between = sigma**2 - sigma_next**2
    precision = 1 / sigma_next**2 + 1 / between
    x0 = x - sigma * eps
    mean = (x0 / sigma_next**2 + x / between) / precision
    torch.testing.assert_close(got, mean + noise / math.sqrt(precision), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("sigma", "sigma_next"), LEVELS)
def test_eta_1_is_ddpm_in_the_papers_variables(sigma: float, sigma_next: float) -> None:
    """Ho et al. 2020, equations 6 and 7, for z = x / sqrt(1 + sigma²): mean and beta-tilde from alpha-bar alone."""
    x, eps, noise = a_step(2)
    got = regional_sde_step(x, eps, level(sigma), level(sigma_next), torch.ones(1, 1, 4, 5, dtype=torch.float64), noise)
    abar, abar_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
    alpha = abar / abar_next
    beta = 1 - alpha
    z, x0 = x * math.sqrt(abar), x - sigma * eps
    mean = math.sqrt(abar_next) * beta / (1 - abar) * x0 + math.sqrt(alpha) * (1 - abar_next) / (1 - abar) * z
    variance = (1 - abar_next) / (1 - abar) * beta
    torch.testing.assert_close(got * math.sqrt(abar_next), mean + math.sqrt(variance) * noise, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_any_eta_keeps_the_marginal(eta: float) -> None:
    """From x = x0 + sigma eps with the true eps, x' is x0 + sigma' times unit noise: seen in 400,000 samples."""
    count, x0, sigma, sigma_next = 400_000, 3.0, 2.0, 1.25
    _, eps, noise = a_step(3, (1, 1, 1, count))
    eta_map = torch.full((1, 1, 1, count), eta, dtype=torch.float64)
    got = regional_sde_step(x0 + sigma * eps, eps, level(sigma), level(sigma_next), eta_map, noise)
    assert float(got.mean()) == pytest.approx(x0, abs=5 * sigma_next / math.sqrt(count))
    assert float(got.std()) == pytest.approx(sigma_next, rel=5 / math.sqrt(2 * count))


def test_eta_1_has_the_joint_distribution_of_the_forward_process() -> None:
    """Noised forward, x = x' + independent noise, so cov(x, x') = var(x') = sigma'²; a DDIM step would give sigma sigma'."""
    count, sigma, sigma_next = 400_000, 2.0, 1.25
    _, eps, noise = a_step(4, (1, 1, 1, count))
    x = sigma * eps
    got = regional_sde_step(x, eps, level(sigma), level(sigma_next), torch.ones(1, 1, 1, 1, dtype=torch.float64), noise)
    assert float((x * got).mean()) == pytest.approx(sigma_next**2, abs=5 * sigma * sigma_next / math.sqrt(count))


def test_eta_varies_over_the_image() -> None:
    """Each pixel is what a step with that pixel's eta alone makes of it: sigma_up = eta sigma' sqrt(1 − (sigma'/sigma)²), by loops."""
    x, eps, noise = a_step(5, (2, 3, 2, 3))
    eta = torch.tensor([[0.0, 0.25, 0.5], [0.75, 1.0, 0.1]], dtype=torch.float64).expand(2, 1, 2, 3)
    sigma, sigma_next = 3.0, 2.0
    got = regional_sde_step(x, eps, level(sigma), level(sigma_next), eta, noise)
    for b in range(2):
        for c in range(3):
            for i in range(2):
                for j in range(3):
                    up = float(eta[b, 0, i, j]) * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
                    down = math.sqrt(sigma_next**2 - up**2)
                    value, e, n = (float(t[b, c, i, j]) for t in (x, eps, noise))
                    assert float(got[b, c, i, j]) == pytest.approx(value - sigma * e + down * e + up * n, abs=1e-12)


def test_eta_may_differ_between_pictures() -> None:
    x, eps, noise = a_step(6)
    eta = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1)
    both = regional_sde_step(x, eps, level(2.0), level(1.0), eta, noise)
    for b in range(2):
        alone = regional_sde_step(x[b : b + 1], eps[b : b + 1], level(2.0), level(1.0), eta[b : b + 1], noise[b : b + 1])
        torch.testing.assert_close(both[b : b + 1], alone)


def test_last_step_to_sigma_0_is_the_estimate_and_finite() -> None:
    x, eps, noise = a_step(7)
    got = regional_sde_step(x, eps, level(0.03), level(0.0), torch.ones(1, 1, 1, 1, dtype=torch.float64), noise)
    torch.testing.assert_close(got, x - 0.03 * eps)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_single_precision_stays_finite_between_close_levels(eta: float) -> None:
    """sigma'² − sigma_up² must not turn negative by rounding."""
    x, eps, noise = (t.float() for t in a_step(8))
    for sigma_next in (0.02999999, 0.029, 1e-6):
        got = regional_sde_step(x, eps, torch.tensor(0.03), torch.tensor(sigma_next), torch.full((1, 1, 1, 1), eta), noise)
        assert torch.isfinite(got).all()


def test_time_travel_undoes_a_step() -> None:
    x, eps, _ = a_step(9)
    for sigma, sigma_next in LEVELS:
        down = ddim_step(x, eps, level(sigma), level(sigma_next))
        torch.testing.assert_close(travel_back(down, eps, level(sigma), level(sigma_next)), x, rtol=0, atol=1e-12)


def test_time_travel_goes_along_the_conditional_prediction() -> None:
    """Not along the CFG-combined one: the difference is (sigma − sigma')(eps_positive − eps)."""
    x, eps, other = a_step(10)
    back = travel_back(ddim_step(x, eps, level(2.0), level(1.5)), other, level(2.0), level(1.5))
    torch.testing.assert_close(back - x, 0.5 * (other - eps))


def test_noise_is_a_function_of_seed_step_and_draw_alone() -> None:
    shape = torch.Size((1, 4, 8, 8))
    first = unit_noise(shape, 7, 3, 1)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert torch.equal(unit_noise(shape, 7, 3, 1), first)
    assert torch.equal(torch.get_rng_state(), state), "the user's own random numbers must not be drawn from"
    assert first.shape == shape and first.device.type == "cpu"


def test_noises_of_a_run_and_of_neighbouring_seeds_all_differ() -> None:
    """Seeds up to 64 bits are taken; torch's CPU generator hears 32 of them, as in ComfyUI's own noise."""
    shape = torch.Size((4,))
    keys = [(seed, step, draw) for seed in (0, 1, 2, 3, 42, 2**64 - 1) for step in range(60) for draw in range(4)]
    assert len({tuple(unit_noise(shape, *key).tolist()) for key in keys}) == len(keys)


def test_noise_is_unit_normal() -> None:
    sample = unit_noise(torch.Size((1, 1, 500, 800)), 0, 0, 0)
    assert abs(float(sample.mean())) < 5 / math.sqrt(400_000)
    assert float(sample.std()) == pytest.approx(1.0, abs=0.01)
    assert float((sample.abs() < 1).float().mean()) == pytest.approx(0.6827, abs=0.005)
