"""The deterministic step against the paper's own formula, and which steps of a run the windows pick out."""

from __future__ import annotations

import math

import pytest
import torch

from dragon_core.diffusion.noise_model import FLOW, VP, NoiseModel
from dragon_core.diffusion.schedule import EditSchedule, Window, ddim_step, injected_steps
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


def shares(steps: int) -> list[float]:
    """Where the steps of equal timesteps begin, the first at the noisiest and the last at the cleanest one."""
    return [i / max(steps - 1, 1) for i in range(steps)]


#: T → what the default windows pick out, worked out by hand: 20 %, 40 %, 60 % of the timesteps.
BY_HAND = {
    1: {"guided": [0], "travel": [], "sde": []},
    2: {"guided": [0], "travel": [], "sde": []},
    8: {"guided": [0, 1, 2, 4], "travel": [4], "sde": [2]},
    50: {"guided": [*range(10), *range(10, 30, 2)], "travel": [20, 22, 24, 26, 28], "sde": [*range(10, 20)]},
}


@pytest.mark.parametrize("steps", BY_HAND)
def test_default_windows_scale_with_the_number_of_steps(steps: int) -> None:
    """T = 50: dense below 10, even steps to 30, travel on even steps from 20 to 28, SDE from 10 to 19 (docs/method.md, section 9)."""
    schedule, at = EditSchedule(travel_passes=3, sde_inside=0.4), shares(steps)
    assert {
        "guided": [i for i in range(steps) if schedule.guided(i, at[i])],
        "travel": [i for i in range(steps) if schedule.passes(i, at[i]) == 3],
        "sde": [i for i in range(steps) if schedule.stochastic(at[i])],
    } == BY_HAND[steps]
    assert all(schedule.passes(i, at[i]) in (1, 3) for i in range(steps))


@pytest.mark.parametrize("steps", STEP_COUNTS)
def test_adjoining_windows_share_every_step_out_once(steps: int) -> None:
    """Wherever the boundaries round to, no step is lost or counted twice."""
    edges = [0.0, 0.1, 0.2, 0.37, 0.5, 0.6, 0.95, 1.0]
    windows = [Window(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    for share in shares(steps):
        assert sum(window.contains(share) for window in windows) == 1


@pytest.mark.parametrize("steps", STEP_COUNTS)
def test_whole_and_empty_windows(steps: int) -> None:
    assert all(Window(0.0, 1.0).contains(share) for share in shares(steps))
    for at in (0.0, 0.3, 0.5, 1.0):
        assert not any(Window(at, at).contains(share) for share in shares(steps))


def test_boundaries_are_within_a_step_of_the_fraction() -> None:
    for steps in STEP_COUNTS:
        for end in (0.1, 0.25, 0.4, 0.6, 0.77):
            count = sum(Window(0.0, end).contains(share) for share in shares(steps))
            assert abs(count - end * steps) < 1


@pytest.mark.parametrize("steps", [*range(10, 61, 10), 20, 25, 50, 100])
@pytest.mark.parametrize("edge", [0.1, 0.2, 0.22, 0.4, 0.42, 0.6, 0.7, 0.9, 0.95])
def test_of_equal_timesteps_a_share_is_one_of_the_steps(steps: int, edge: float) -> None:
    """Wherever a share of the steps is a whole number of them, nothing has changed; else by one step at most."""
    count, before = sum(Window(0.0, edge).contains(share) for share in shares(steps)), round(edge * steps)
    assert count == before if abs(edge * steps - before) < 1e-9 else abs(count - before) <= 1


@pytest.mark.parametrize("noise_model", [VP, FLOW])
@pytest.mark.parametrize("steps", [4, 8, 20, 50])
def test_a_share_is_a_noise_level_however_many_steps_there_are(noise_model: NoiseModel, steps: int) -> None:
    """Spaced evenly, or as Karras et al. space them: steps of a window begin at levels of the window."""
    first, last = (14.6, 0.03) if noise_model is VP else (0.999, 0.03)
    evenly = torch.linspace(first, last, steps)
    karras = (first ** (1 / 7) + torch.linspace(0, 1, steps) * (last ** (1 / 7) - first ** (1 / 7))) ** 7
    ends = noise_model.progress(torch.tensor([6.0, 0.35]) if noise_model is VP else torch.tensor([6.0, 0.35]) / torch.tensor([7.0, 1.35]))
    window = Window(*ends.tolist())
    for levels in (evenly, karras):
        ratio = levels if noise_model is VP else levels / (1 - levels)
        inside = [window.contains(share) for share in noise_model.progress(levels).tolist()]
        assert inside == [0.35 < level <= 6.0 for level in ratio.tolist()]


def test_progress_is_the_share_of_the_timesteps() -> None:
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - beta, 0)
    sigmas = ((1 - kept) / kept).sqrt()
    expected = 1 - torch.arange(1000, dtype=torch.float64) / 999
    torch.testing.assert_close(VP.progress(sigmas), expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(FLOW.progress(sigmas / (1 + sigmas)), expected, atol=1e-9, rtol=0)
    assert FLOW.progress(torch.tensor([1.0, 0.0])).tolist() == [0.0, 1.0]
    assert VP.progress(torch.tensor([4500.0, 0.0])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("steps", "until", "count"), [(1, 0.9, 0), (2, 0.9, 0), (3, 0.9, 1), (4, 0.9, 2), (8, 0.9, 6), (20, 0.9, 18), (50, 0.9, 45)]
)
def test_two_steps_are_free_at_least(steps: int, until: float, count: int) -> None:
    assert injected_steps(shares(steps), until) == count
    assert injected_steps(shares(steps), 1.0) == steps, "1 is all of them, and says so"
    assert injected_steps(shares(steps), 0.0) == 0


def test_sparse_guidance_is_on_even_steps_whatever_step_its_window_starts_on() -> None:
    schedule = EditSchedule(dense=Window(0.0, 0.0), sparse=Window(0.3, 0.9))
    assert [i for i in range(10) if schedule.guided(i, shares(10)[i])] == [4, 6, 8]


def test_travel_repeats_guided_steps_only() -> None:
    schedule = EditSchedule(dense=Window(0.0, 0.2), sparse=Window(0.2, 0.4), travel=Window(0.0, 1.0), travel_passes=4)
    assert [schedule.passes(i, share) for i, share in enumerate(shares(10))] == [4, 4, 4, 1, 1, 1, 1, 1, 1, 1]


def test_no_step_is_stochastic_or_repeated_unless_asked_for() -> None:
    schedule = EditSchedule(sde=Window(0.0, 1.0), travel=Window(0.0, 1.0))
    assert not any(schedule.stochastic(share) for share in shares(50))
    assert all(schedule.passes(i, share) == 1 for i, share in enumerate(shares(50)))


@pytest.mark.parametrize("strengths", [{"sde_inside": 0.1}, {"sde_outside": 0.1}])
def test_either_strength_makes_the_window_stochastic(strengths: dict[str, float]) -> None:
    schedule = EditSchedule(sde=Window(0.5, 1.0), **strengths)
    assert [schedule.stochastic(share) for share in shares(4)] == [False, False, True, True]


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
