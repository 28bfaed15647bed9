"""The deterministic step against the paper's own formula, and which steps of a run the windows pick out."""

from __future__ import annotations

import math

import pytest
import torch

from dragon_core.diffusion.schedule import EditSchedule, Window, ddim_step
from dragon_core.errors import DragonError

STEP_COUNTS = [1, 2, 3, 5, 8, 10, 25, 49, 50, 1000]


def alpha_bar(sigma: float) -> float:
    return 1 / (1 + sigma**2)


@pytest.mark.parametrize(("sigma", "sigma_next"), [(14.6, 12.1), (2.0, 1.5), (0.3, 0.029), (0.029, 0.0)])
def test_step_is_euler_in_x_and_the_papers_ddim_in_z(sigma: float, sigma_next: float) -> None:
    """x-space: x0 + sigma' eps. z-space: sqrt(abar') (z − sqrt(1 − abar) eps) / sqrt(abar) + sqrt(1 − abar') eps, number by number."""
    generator = torch.Generator().manual_seed(0)
    x = 10 * torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    eps = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    got = ddim_step(x, eps, torch.tensor(sigma, dtype=torch.float64), torch.tensor(sigma_next, dtype=torch.float64))
    a, a_next = alpha_bar(sigma), alpha_bar(sigma_next)
    for value, e, new in zip(x.flatten().tolist(), eps.flatten().tolist(), got.flatten().tolist(), strict=True):
        x0 = value - sigma * e
        assert new == pytest.approx(x0 + sigma_next * e, abs=1e-12)
        z = value / math.sqrt(1 + sigma**2)
        z_next = math.sqrt(a_next) * (z - math.sqrt(1 - a) * e) / math.sqrt(a) + math.sqrt(1 - a_next) * e
        assert new / math.sqrt(1 + sigma_next**2) == pytest.approx(z_next, abs=1e-12)


def test_step_with_the_true_noise_lands_on_the_same_line() -> None:
    """With eps the noise actually added, x = x0 + sigma eps stays so at every level."""
    x0, eps = torch.randn(2, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sigmas = torch.tensor([9.0, 4.0, 1.0, 0.2, 0.0], dtype=torch.float64)
    x = x0 + sigmas[0] * eps
    for high, low in zip(sigmas[:-1], sigmas[1:], strict=True):
        x = ddim_step(x, eps, high, low)
        torch.testing.assert_close(x, x0 + low * eps)


#: T → what the default windows pick out, worked out by hand: 20 %, 40 %, 60 % of T, rounded to the nearest step.
BY_HAND = {
    1: {"guided": [0], "travel": [0], "sde": []},
    2: {"guided": [0], "travel": [], "sde": [0]},
    8: {"guided": [0, 1, 2, 4], "travel": [4], "sde": [2]},
    50: {"guided": [*range(10), *range(10, 30, 2)], "travel": [20, 22, 24, 26, 28], "sde": [*range(10, 20)]},
}


@pytest.mark.parametrize("steps", BY_HAND)
def test_default_windows_scale_with_the_number_of_steps(steps: int) -> None:
    """T = 50: dense below 10, even steps to 30, travel on even steps from 20 to 28, SDE from 10 to 19 (docs/method.md, section 9)."""
    schedule = EditSchedule(travel_passes=3, sde_inside=0.4)
    assert {
        "guided": [i for i in range(steps) if schedule.guided(i, steps)],
        "travel": [i for i in range(steps) if schedule.passes(i, steps) == 3],
        "sde": [i for i in range(steps) if schedule.stochastic(i, steps)],
    } == BY_HAND[steps]
    assert all(schedule.passes(i, steps) in (1, 3) for i in range(steps))


@pytest.mark.parametrize("steps", STEP_COUNTS)
def test_adjoining_windows_share_every_step_out_once(steps: int) -> None:
    """Wherever the boundaries round to, no step is lost or counted twice."""
    edges = [0.0, 0.1, 0.2, 0.37, 0.5, 0.6, 0.95, 1.0]
    windows = [Window(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    for step in range(steps):
        assert sum(window.contains(step, steps) for window in windows) == 1


@pytest.mark.parametrize("steps", STEP_COUNTS)
def test_whole_and_empty_windows(steps: int) -> None:
    assert all(Window(0.0, 1.0).contains(i, steps) for i in range(steps))
    for at in (0.0, 0.3, 0.5, 1.0):
        assert not any(Window(at, at).contains(i, steps) for i in range(steps))


def test_boundaries_are_within_half_a_step_of_the_fraction() -> None:
    for steps in STEP_COUNTS:
        for end in (0.1, 0.25, 0.4, 0.6, 0.77):
            count = sum(Window(0.0, end).contains(i, steps) for i in range(steps))
            assert abs(count - end * steps) <= 0.5 + 1e-9


def test_sparse_guidance_is_on_even_steps_whatever_step_its_window_starts_on() -> None:
    schedule = EditSchedule(dense=Window(0.0, 0.0), sparse=Window(0.3, 0.9))
    assert [i for i in range(10) if schedule.guided(i, 10)] == [4, 6, 8]


def test_travel_repeats_guided_steps_only() -> None:
    schedule = EditSchedule(dense=Window(0.0, 0.2), sparse=Window(0.2, 0.4), travel=Window(0.0, 1.0), travel_passes=4)
    assert [schedule.passes(i, 10) for i in range(10)] == [4, 4, 4, 1, 1, 1, 1, 1, 1, 1]


def test_no_step_is_stochastic_or_repeated_unless_asked_for() -> None:
    schedule = EditSchedule(sde=Window(0.0, 1.0), travel=Window(0.0, 1.0))
    assert not any(schedule.stochastic(i, 50) for i in range(50))
    assert all(schedule.passes(i, 50) == 1 for i in range(50))


@pytest.mark.parametrize("strengths", [{"sde_inside": 0.1}, {"sde_outside": 0.1}])
def test_either_strength_makes_the_window_stochastic(strengths: dict[str, float]) -> None:
    schedule = EditSchedule(sde=Window(0.5, 1.0), **strengths)
    assert [schedule.stochastic(i, 4) for i in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(("start", "end"), [(-0.1, 0.5), (0.0, 1.1), (50, 1.0), (math.nan, 1.0), (0.0, math.nan), (0.0, math.inf)])
def test_window_outside_the_run_is_refused(start: float, end: float) -> None:
    with pytest.raises(DragonError, match="within 0 and 1"):
        Window(start, end)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"travel_passes": 0}, "at least 1 pass, got 0"),
        ({"sde_inside": 1.5}, "SDE strength must lie within 0 and 1"),
        ({"sde_outside": -0.1}, "SDE strength must lie within 0 and 1"),
        ({"sde_inside": math.nan}, "SDE strength must lie within 0 and 1"),
    ],
)
def test_impossible_schedule_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(DragonError, match=message):
        EditSchedule(**wrong)  # type: ignore[arg-type]
