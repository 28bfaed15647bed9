"""The edit loop against loops written out here, with stand-ins for the model that are known functions."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.loop import LatentBlending, Prediction, run_edit
from dragon_core.diffusion.schedule import EditSchedule, Window
from dragon_core.diffusion.steps import unit_noise

OFF = Window(0.0, 0.0)
ALWAYS = Window(0.0, 1.0)
SECOND_FIFTH = Window(0.2, 0.4)
STEP_COUNTS = [1, 2, 8, 50]


def sigmas(steps: int) -> Tensor:
    """Of equal timesteps, as ComfyUI's "normal" scheduler spaces them: a share of the schedule is one of the steps."""
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - beta, 0)
    at = torch.linspace(999, 0, steps).round().long()
    return torch.cat((((1 - kept) / kept).sqrt()[at].float(), torch.zeros(1)))


def below(share: float, steps: int) -> int:
    """How many of the steps begin above a share of the timesteps: the first is at 0, the last at 1."""
    return sum(i < share * (steps - 1) - 1e-9 for i in range(steps)) if steps > 1 else int(share > 0)


def start(seed: int = 0) -> Tensor:
    return 10 * torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


@dataclass
class Model:
    """A pointwise denoiser: pixels do not talk to each other. ``pull`` > 0 gives guidance; ``split`` sets eps_positive apart."""

    pull: float = 0.0
    split: float = 0.0
    calls: list[tuple[int, float, bool]] = field(default_factory=list)
    seen: list[Tensor] = field(default_factory=list)

    def __call__(self, x: Tensor, step: int, sigma: Tensor, guided: bool) -> Prediction:
        self.calls.append((step, float(sigma), guided))
        self.seen.append(x.clone())
        eps = self.eps(x, sigma)
        return Prediction(eps, eps + self.split * torch.cos(x), self.guidance(x) if guided and self.pull else None)

    def eps(self, x: Tensor, sigma: Tensor) -> Tensor:
        return torch.tanh(x / (1 + sigma))

    def guidance(self, x: Tensor) -> Tensor:
        return self.pull * torch.sin(x)


def unguided() -> EditSchedule:
    return EditSchedule(dense=OFF, sparse=OFF)


@pytest.mark.parametrize("steps", STEP_COUNTS)
@pytest.mark.parametrize("region", [None, torch.ones(1, 4, 5)])
def test_without_guidance_it_is_euler_to_the_last_bit(steps: int, region: Tensor | None) -> None:
    """x + eps (sigma' − sigma), as ComfyUI's euler does it: max abs difference 0."""
    model, levels = Model(), sigmas(steps)
    x = start()
    for sigma, sigma_next in zip(levels[:-1], levels[1:], strict=True):
        x = x + model.eps(x, sigma) * (sigma_next - sigma)
    got = run_edit(start(), levels, model, unguided(), region, seed=3)
    assert torch.equal(got, x)
    assert not any(guided for _, _, guided in model.calls)


def test_guidance_of_zero_changes_no_bit() -> None:
    """A guided step whose guidance is all zeros is the unguided step."""

    class Still(Model):
        def guidance(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    levels = sigmas(8)
    guided = run_edit(start(), levels, Still(pull=1.0), EditSchedule(dense=ALWAYS), None, seed=0)
    assert torch.equal(guided, run_edit(start(), levels, Model(), unguided(), None, seed=0))


@pytest.mark.parametrize("steps", STEP_COUNTS)
def test_the_model_is_asked_once_a_step_and_told_whether_it_is_guided(steps: int) -> None:
    """Dense below 20 %, even steps to 60 % (docs/method.md, section 9)."""
    model, levels = Model(), sigmas(steps)
    run_edit(start(), levels, model, EditSchedule(), None, seed=0)
    dense, sparse = below(0.2, steps), below(0.6, steps)
    expected = [(i, float(levels[i]), i < dense or (i < sparse and i % 2 == 0)) for i in range(steps)]
    assert model.calls == expected


def test_guidance_moves_the_estimate_and_not_the_direction() -> None:
    """x̂0 = x − σ (ε̂ + g); x' = x̂0 + σ' ε̂. With g in the direction as well, x' would move by (σ − σ') g only."""
    model, levels = Model(pull=0.7), torch.tensor([4.0, 3.0, 0.0])
    x = start()
    seen: list[tuple[int, Tensor, Tensor]] = []
    run_edit(x, levels, model, EditSchedule(dense=Window(0.0, 0.5), sparse=OFF), None, 0, lambda *at: seen.append(at))
    eps, g = model.eps(x, levels[0]), model.guidance(x)
    x0 = x - 4 * (eps + g)
    torch.testing.assert_close(seen[0][1], x0)
    torch.testing.assert_close(seen[0][2], x0 + 3 * eps)
    moved = seen[0][2] - (x + eps * (3 - 4))
    torch.testing.assert_close(moved, -4 * g, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("steps", STEP_COUNTS)
def test_a_guided_run_with_time_travel_by_hand(steps: int) -> None:
    """All of it: guidance windows, three passes, re-noising along eps_positive, none after the last pass."""
    levels, x = sigmas(steps), start(1)
    model = Model(pull=0.3, split=0.2)
    schedule = EditSchedule(travel_passes=3)
    got = run_edit(x, levels, model, schedule, None, seed=0)
    hand, calls = Model(pull=0.3, split=0.2), 0
    dense, travel_from, sparse = (below(share, steps) for share in (0.2, 0.4, 0.6))
    for i in range(steps):
        sigma, sigma_next = levels[i], levels[i + 1]
        guided = i < dense or (i < sparse and i % 2 == 0)
        passes = 3 if guided and travel_from <= i < sparse else 1
        for n in range(passes):
            eps = hand.eps(x, sigma)
            x0 = x - sigma * eps - (sigma * hand.guidance(x) if guided else 0)
            after = x0 + sigma_next * eps
            calls += 1
            if n < passes - 1:
                x = after + (sigma - sigma_next) * (eps + 0.2 * torch.cos(x))
        x = after
    torch.testing.assert_close(got, x, rtol=1e-3, atol=1e-3)
    assert len(model.calls) == calls


@pytest.mark.parametrize(("steps", "extra"), [(1, 0), (2, 0), (8, 1), (50, 5)])
@pytest.mark.parametrize("passes", [1, 2, 3])
def test_time_travel_costs_its_passes_and_nothing_more(steps: int, extra: int, passes: int) -> None:
    """``extra`` guided steps lie within 40–60 %; each costs (passes − 1) evaluations more, all at its own level."""
    model, levels = Model(pull=0.1), sigmas(steps)
    run_edit(start(), levels, model, EditSchedule(travel_passes=passes), None, seed=0)
    assert len(model.calls) == steps + extra * (passes - 1)
    assert [step for step, _, _ in model.calls] == sorted(step for step, _, _ in model.calls)
    assert all(sigma == float(levels[step]) for step, sigma, _ in model.calls)


def test_no_rollback_after_the_last_pass() -> None:
    """One step, three passes, to sigma 0: the result is the last pass's clean estimate, not a re-noised one."""
    model = Model(pull=0.5, split=0.3)
    seen: list[Tensor] = []
    schedule = EditSchedule(dense=ALWAYS, travel=ALWAYS, travel_passes=3)
    got = run_edit(start(), torch.tensor([5.0, 0.0]), model, schedule, None, 0, lambda i, x0, x: seen.extend((x0, x)))
    last = model.seen[-1]
    torch.testing.assert_close(got, last - 5 * (model.eps(last, torch.tensor(5.0)) + model.guidance(last)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got, seen[0], rtol=1e-4, atol=1e-4)
    assert torch.equal(got, seen[1]) and len(seen) == 2
    assert not torch.equal(model.seen[0], model.seen[1]), "the passes in between do start from a re-noised latent"


def test_unguided_time_travel_with_one_prediction_returns_to_the_start() -> None:
    """Where eps is the same on every pass and there is no guidance, going back undoes the step."""

    class Constant(Model):
        def eps(self, x: Tensor, sigma: Tensor) -> Tensor:
            return torch.ones_like(x)

    model = Constant()
    run_edit(start(), sigmas(4), model, EditSchedule(dense=ALWAYS, travel=ALWAYS, travel_passes=2), None, seed=0)
    for first, second in zip(model.seen[::2], model.seen[1::2], strict=True):
        torch.testing.assert_close(second, first)


@pytest.mark.parametrize("steps", STEP_COUNTS)
def test_each_finished_step_is_reported_once(steps: int) -> None:
    """In order, with the latent that the next step starts from; passes of time travel are not steps."""
    model, levels = Model(pull=0.1), sigmas(steps)
    seen: list[tuple[int, Tensor, Tensor]] = []
    schedule = EditSchedule(travel_passes=3)
    got = run_edit(start(), levels, model, schedule, None, 0, lambda *at: seen.append(at))
    assert [i for i, _, _ in seen] == list(range(steps))
    assert torch.equal(seen[-1][2], got)
    firsts = [model.seen[n] for n, call in enumerate(model.calls) if n == 0 or model.calls[n - 1][0] != call[0]]
    for (_, _, x), following in zip(seen[:-1], firsts[1:], strict=True):
        assert torch.equal(x, following)


# Regional SDE


def stochastic(inside: float = 0.7, outside: float = 0.0, window: Window = SECOND_FIFTH) -> EditSchedule:
    return EditSchedule(dense=OFF, sparse=OFF, sde=window, sde_inside=inside, sde_outside=outside)


def half() -> Tensor:
    """The right-hand three of five columns."""
    mask = torch.zeros(1, 4, 5)
    mask[:, :, 2:] = 1
    return mask


def test_noise_stays_inside_the_region() -> None:
    """With a model whose pixels do not talk, the outside is the deterministic run's; the inside is not."""
    levels = sigmas(10)
    noisy, still = (run_edit(start(), levels, Model(), schedule, half(), seed=1) for schedule in (stochastic(), unguided()))
    torch.testing.assert_close(noisy[..., :2], still[..., :2], rtol=0, atol=1e-5)
    assert float((noisy - still)[..., 2:].abs().min()) > 1e-4


def test_strength_outside_is_of_its_own() -> None:
    levels = sigmas(10)
    noisy, still = (run_edit(start(), levels, Model(), schedule, half(), seed=1) for schedule in (stochastic(0.0, 0.5), unguided()))
    torch.testing.assert_close(noisy[..., 2:], still[..., 2:], rtol=0, atol=1e-5)
    assert float((noisy - still)[..., :2].abs().min()) > 1e-4


@pytest.mark.parametrize("seed", [0, 5])
def test_a_stochastic_run_by_hand(seed: int) -> None:
    """Steps 2 and 3 of 10: x' = x̂0 + sqrt(σ'² − σ_up²) ε̂ + σ_up n with σ_up = η σ' sqrt(1 − σ'²/σ²), guidance on x̂0."""
    levels, x, region = sigmas(10), start(2), torch.linspace(0, 1, 20).view(1, 4, 5)
    schedule = EditSchedule(dense=ALWAYS, sparse=OFF, sde=Window(0.2, 0.4), sde_inside=0.8, sde_outside=0.2)
    got = run_edit(x, levels, Model(pull=0.2), schedule, region, seed)
    hand = Model(pull=0.2)
    eta = (0.2 + 0.6 * region).unsqueeze(1)
    for i in range(10):
        sigma, sigma_next = float(levels[i]), float(levels[i + 1])
        eps = hand.eps(x, levels[i])
        x0 = x - sigma * (eps + hand.guidance(x))
        up = eta * sigma_next * (1 - sigma_next**2 / sigma**2) ** 0.5 if i in (2, 3) else 0 * eta
        x = x0 + (sigma_next**2 - up**2).sqrt() * eps + up * unit_noise(x.shape, seed, i, 0)
    torch.testing.assert_close(got, x, rtol=1e-3, atol=1e-3)


def test_the_seed_decides() -> None:
    levels = sigmas(10)
    first, again, other = (run_edit(start(), levels, Model(), stochastic(), half(), seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert float((first - other)[..., 2:].abs().min()) > 1e-5


def test_the_users_random_numbers_do_not_matter_nor_suffer() -> None:
    levels = sigmas(10)
    torch.manual_seed(0)
    first = run_edit(start(), levels, Model(), stochastic(), half(), 1)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(run_edit(start(), levels, Model(), stochastic(), half(), 1), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_region_there_is_no_noise() -> None:
    levels = sigmas(10)
    noisy = run_edit(start(), levels, Model(), stochastic(1.0, 1.0, ALWAYS), None, seed=1)
    assert torch.equal(noisy, run_edit(start(), levels, Model(), unguided(), None, seed=1))


@pytest.mark.parametrize("steps", STEP_COUNTS)
def test_noise_falls_into_its_window_alone(steps: int) -> None:
    """Seen from the outside: which steps differ from a step without noise."""
    levels, model = sigmas(steps), Model()
    run = [start()]
    run_edit(run[0], levels, model, stochastic(), torch.ones(1, 4, 5), 1, lambda i, x0, x: run.append(x))
    noisy = []
    for i in range(steps):
        plain = run[i] + model.eps(run[i], levels[i]) * (levels[i + 1] - levels[i])
        if float((run[i + 1] - plain).abs().max()) > 1e-3:
            noisy.append(i)
    assert noisy == list(range(below(0.2, steps), below(0.4, steps)))


def test_passes_of_one_step_have_noises_of_their_own() -> None:
    """With a model that predicts nothing, x only gathers noise: n_pass σ_up each time round."""

    class Nothing(Model):
        def eps(self, x: Tensor, sigma: Tensor) -> Tensor:
            return torch.zeros_like(x)

    levels = torch.tensor([2.0, 1.0, 0.0])
    schedule = EditSchedule(
        dense=Window(0.0, 0.5), sparse=OFF, travel=Window(0.0, 0.5), travel_passes=3, sde=Window(0.0, 0.5), sde_inside=1.0
    )
    got = run_edit(torch.zeros(1, 1, 4, 5), levels, Nothing(), schedule, torch.ones(1, 4, 5), seed=7)
    draws = [unit_noise(torch.Size((1, 1, 4, 5)), 7, 0, n) for n in range(3)]
    torch.testing.assert_close(got, sum(draws, torch.zeros(1, 1, 4, 5)) * (1 - 1 / 4) ** 0.5)
    assert float((draws[0] - draws[1]).abs().min()) > 0


def test_a_region_of_each_picture() -> None:
    """One mask a picture: only the second is noised."""
    region = torch.stack((torch.zeros(4, 5), torch.ones(4, 5)))
    levels = sigmas(10)
    noisy, still = (run_edit(start(), levels, Model(), schedule, region, seed=1) for schedule in (stochastic(), unguided()))
    torch.testing.assert_close(noisy[0], still[0], rtol=0, atol=1e-5)
    assert float((noisy[1] - still[1]).abs().min()) > 1e-5


def test_the_start_is_left_alone() -> None:
    x = start()
    run_edit(x, sigmas(8), Model(pull=0.2), EditSchedule(travel_passes=2, sde_inside=0.5), half(), seed=0)
    assert torch.equal(x, start())


# Hold


def path(steps: int) -> Tensor:
    return torch.randn(steps + 1, 2, 3, 4, 5, generator=torch.Generator().manual_seed(40))


def injected(steps: int, then: Tensor, of: int) -> list[Tensor]:
    """Weights that hold all of the picture for so many steps."""
    return [torch.ones_like(then)] * steps + [then] * (of - steps)


def test_holding_nothing_changes_no_bit() -> None:
    levels = sigmas(8)
    free = run_edit(start(), levels, Model(pull=0.2), EditSchedule(), None, seed=0)
    held = run_edit(
        start(), levels, Model(pull=0.2), EditSchedule(), None, seed=0, blending=LatentBlending(path(8), [torch.zeros(1, 4, 5)] * 8)
    )
    assert torch.equal(free, held)


def test_what_is_held_outside_is_the_path_at_every_level() -> None:
    """And what is not held runs free, as the model's pixels do not talk to each other."""
    levels, known, held = sigmas(8), path(8), 1 - half()
    seen, free = [], []
    run_edit(start(), levels, Model(), unguided(), None, 0, lambda i, x0, x: seen.append(x), LatentBlending(known, [held] * 8))
    run_edit(start(), levels, Model(), unguided(), None, 0, lambda i, x0, x: free.append(x))
    for i in range(8):
        assert torch.equal(seen[i][..., :2], known[i + 1][..., :2])
        assert torch.equal(seen[i][..., 2:], free[i][..., 2:])


def test_a_share_is_held_by_hand() -> None:
    """x' becomes (1 − w) x' + w path, after guidance and before time travel."""
    levels, known, x = sigmas(4), path(4), start(3)
    weight = torch.linspace(0, 1, 20).view(1, 4, 5)
    schedule = EditSchedule(dense=Window(0.0, 0.5), sparse=OFF, travel=Window(0.0, 0.5), travel_passes=2)
    got = run_edit(x, levels, Model(pull=0.3, split=0.2), schedule, None, 0, blending=LatentBlending(known, [weight] * 4))
    hand = Model(pull=0.3, split=0.2)
    for i in range(4):
        for n in range(2 if i < 2 else 1):
            eps = hand.eps(x, levels[i])
            after = x - levels[i] * eps + levels[i + 1] * eps - (levels[i] * hand.guidance(x) if i < 2 else 0)
            after = (1 - weight.unsqueeze(1)) * after + weight.unsqueeze(1) * known[i + 1]
            if n == 0 and i < 2:
                x = after + (levels[i] - levels[i + 1]) * (eps + 0.2 * torch.cos(x))
                x = (1 - weight.unsqueeze(1)) * x + weight.unsqueeze(1) * known[i]
        x = after
    torch.testing.assert_close(got, x, rtol=1e-3, atol=1e-3)


def test_gone_back_in_time_what_is_held_is_on_its_path() -> None:
    """Every pass over a step begins from the path's latent of that level, where the picture is held."""
    known, model = path(4), Model(pull=0.3, split=0.2)
    schedule = EditSchedule(dense=ALWAYS, sparse=OFF, travel=Window(0.25, 0.75), travel_passes=3)
    run_edit(known[0], sigmas(4), model, schedule, None, 0, blending=LatentBlending(known, [half()] * 4))
    assert [step for step, _, _ in model.calls] == [0, 1, 1, 1, 2, 2, 2, 3]
    for (step, _, _), x in zip(model.calls, model.seen, strict=True):
        assert torch.equal(x[half().bool().unsqueeze(1).expand_as(x)], known[step][half().bool().unsqueeze(1).expand_as(x)])


def test_a_fresh_way_back_asks_at_the_next_level() -> None:
    """x ← x' + (σ − σ') ε(x', σ'), once for every pass but the last; without cfg and guidance that is x − σ g."""
    asked: list[tuple[int, float]] = []
    model = Model(pull=0.3)

    def fresh(x: Tensor, step: int, sigma: Tensor) -> Tensor:
        asked.append((step, float(sigma)))
        return model.eps(x, sigma) + 0.1

    levels, x = sigmas(4), start(2)
    schedule = EditSchedule(dense=ALWAYS, sparse=OFF, travel=Window(0.25, 0.5), travel_passes=3)
    got = run_edit(x, levels, model, schedule, None, 0, ask_again=fresh)
    assert asked == [(2, float(levels[2]))] * 2
    hand = Model(pull=0.3)
    for i in range(4):
        for n in range(3 if i == 1 else 1):
            after = x + (levels[i + 1] - levels[i]) * hand.eps(x, levels[i]) - levels[i] * hand.guidance(x)
            x = after + (levels[i] - levels[i + 1]) * (hand.eps(after, levels[i + 1]) + 0.1) if i == 1 and n < 2 else after
    torch.testing.assert_close(got, x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("steps", STEP_COUNTS)
def test_all_of_it_is_held_in_its_window(steps: int) -> None:
    levels, known, seen = sigmas(steps), path(steps), []
    blending = LatentBlending(known, injected(round(0.3 * steps), torch.zeros(1, 4, 5), steps))
    run_edit(start(), levels, Model(), unguided(), None, 0, lambda i, x0, x: seen.append(x), blending)
    assert [i for i in range(steps) if torch.equal(seen[i], known[i + 1])] == list(range(round(0.3 * steps)))


def test_where_all_of_it_is_held_the_model_is_not_asked() -> None:
    """Steps 0 to 2 of 8: the path's latent, with its clean one as the estimate; from step 3 on as a run that starts there."""
    levels, known, outside = sigmas(8), path(8), half()
    asked, seen, estimates = [], [], []

    def predict(x: Tensor, step: int, sigma: Tensor, guided: bool) -> Prediction:
        asked.append(step)
        return Model(pull=0.2)(x, step, sigma, guided)

    def on_step(step: int, x0: Tensor, x: Tensor) -> None:
        seen.append(x)
        estimates.append(x0)

    schedule = EditSchedule(dense=ALWAYS, sparse=OFF, travel=Window(0.0, 0.5), travel_passes=2)
    got = run_edit(start(), levels, predict, schedule, None, 0, on_step, LatentBlending(known, injected(3, outside, 8)))
    assert asked == [3, 3, 4, 5, 6, 7]
    assert len(seen) == 8
    for i in range(3):
        assert torch.equal(seen[i], known[i + 1]) and torch.equal(estimates[i], known[-1])
    x, model = known[3], Model(pull=0.2)
    for i in range(3, 8):
        for n in range(2 if i == 3 else 1):
            eps = model.eps(x, levels[i])
            after = x - levels[i] * eps + levels[i + 1] * eps - levels[i] * model.guidance(x)
            after = (1 - outside.unsqueeze(1)) * after + outside.unsqueeze(1) * known[i + 1]
            if n == 0 and i == 3:
                x = after + (levels[i] - levels[i + 1]) * eps
                x = (1 - outside.unsqueeze(1)) * x + outside.unsqueeze(1) * known[i]
        x = after
    torch.testing.assert_close(got, x, rtol=1e-3, atol=1e-3)


# Fresh noise


def test_of_a_path_whose_levels_have_noises_of_their_own_a_step_takes_the_next_ones() -> None:
    """x' = path' + α' (x̂0 − picture), guidance in x̂0: nothing of the noise that x had."""
    levels, known = sigmas(4), path(4)
    blending = LatentBlending(known, [torch.zeros(1, 4, 5)] * 4, fresh=True)
    seen: list[Tensor] = []
    schedule = EditSchedule(dense=ALWAYS, sparse=OFF)
    run_edit(known[0], levels, Model(pull=0.3), schedule, None, 0, lambda i, x0, x: seen.append(x), blending)
    hand, x = Model(pull=0.3), known[0]
    for i in range(4):
        clean = x - levels[i] * hand.eps(x, levels[i]) - levels[i] * hand.guidance(x)
        x = known[i + 1] + clean - known[-1]
        torch.testing.assert_close(seen[i], x, rtol=1e-4, atol=1e-4)


def test_gone_back_in_time_under_the_levels_own_noise() -> None:
    levels, known, model = sigmas(4), path(4), Model(pull=0.3)
    blending = LatentBlending(known, [torch.zeros(1, 4, 5)] * 4, fresh=True)
    schedule = EditSchedule(dense=ALWAYS, sparse=OFF, travel=Window(0.3, 0.5), travel_passes=2)
    run_edit(known[0], levels, model, schedule, None, 0, blending=blending)
    assert [step for step, _, _ in model.calls] == [0, 1, 1, 2, 3]
    clean = model.seen[1] - levels[1] * model.eps(model.seen[1], levels[1]) - levels[1] * model.guidance(model.seen[1])
    torch.testing.assert_close(model.seen[2], known[1] + clean - known[-1], rtol=1e-4, atol=1e-4)


def test_the_hold_opens_where_the_latent_leaves_the_path_more_than_elsewhere() -> None:
    generator = torch.Generator().manual_seed(5)
    deviation = 0.01 * torch.randn(2, 4, 16, 24, generator=generator)
    deviation[0, :, 4:8, 14:20] += 1  # a shadow in the first picture only, that touches what is edited
    deviation[0, :, 11:14, 3:6] += 1  # an accident far from it
    known = torch.randn(3, 2, 4, 16, 24, generator=generator)
    outside = torch.ones(1, 16, 24)
    outside[:, :, 20:] = 0  # the edit's own place
    blending = LatentBlending(known, [outside] * 2, opens_at=5.0)
    opened = blending(known[2] + deviation, 1)
    assert torch.equal(opened[0, :, 4:8, 14:20], (known[2] + deviation)[0, :, 4:8, 14:20]), "the shadow stays"
    far = opened - known[2]
    assert float(far[0, :, 10:, :20].abs().max()) < 1e-6 and float(far[1, :, :, :20].abs().max()) < 1e-6, "the rest is held"
    torch.testing.assert_close(far[..., 20:], deviation[..., 20:], rtol=1e-4, atol=1e-6)
    shut = LatentBlending(known, [outside] * 2)(known[2] + deviation, 1)
    assert torch.equal(shut[..., :20], known[2][..., :20])


def test_a_hold_that_is_never_left_stays_on_its_path() -> None:
    known = path(4)
    assert torch.equal(LatentBlending(known, [torch.ones(1, 4, 5)] * 4, opens_at=5.0)(known[2], 1), known[2])
