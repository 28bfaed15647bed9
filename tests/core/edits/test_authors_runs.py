"""Whole runs of moving by the authors' convention, level by level, against those of the authors' own code (tests/fixtures/authors).

The runs pass close by the poles of the raw cosine, where a difference in the last bit of a float32 grows a hundred thousand times until
the end: their own numbers are repeatable to about 1 % only. So every step is held to what they got from the same latent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from authors_numbers import CELL, NUMBERS, eps, relative_error, sigmas, taps
from torch import Tensor

from dragon_core.diffusion import loop
from dragon_core.diffusion.convention import AUTHORS
from dragon_core.diffusion.features import Views
from dragon_core.diffusion.guidance import GuidanceScale, masked_gradient
from dragon_core.diffusion.inversion import invert
from dragon_core.diffusion.loop import Prediction, run_edit
from dragon_core.diffusion.schedule import EditSchedule, Window
from dragon_core.edits import chain
from dragon_core.edits.move import Move
from dragon_core.imaging.affine import AffineWarp

SIZE, GRID, LATENT, STEPS = (128, 128), (32, 32), (16, 16), 50
CFG, STRENGTH = 4.0, 0.5
RUNS = ("loop_D", "loop_Dplus", "loop_resize")
D = EditSchedule(dense=Window(0.0, 0.6), sparse=Window(0.6, 0.6))
D_PLUS = EditSchedule(Window(0.0, 0.2), Window(0.2, 0.6), Window(0.42, 0.6), 3, Window(0.22, 0.4), 0.4, 0.0)


@dataclass
class Run:
    """One of their runs: its edit, and the stand-in network steered by it. ``asked``: the latents z at which it was, with cfg."""

    name: str
    asked: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sigmas = sigmas(self.name)
        self.path = self.number("trajectory").flip(0)  # z, noisiest first
        if self.name == "loop_resize":  # their T(p) = 1.5 p + d, d in whole cells
            transform = AffineWarp(SIZE, shift=(1 * CELL, -5 * CELL), matrix=((1.5, 0.0), (0.0, 1.5)))
        else:
            transform = AffineWarp(SIZE, shift=(24, 8))
        (self.edit,) = chain.by(AUTHORS, [Move(self.number("mask_pixels")[None].float(), transform)])
        self.layout, self.on_latent = chain.Layout.of([self.edit], GRID), chain.Layout.of([self.edit], LATENT)
        self.scale = GuidanceScale(STRENGTH, self.edit.kappa)

    def number(self, name: str) -> Tensor:
        return NUMBERS[f"{self.name}.{name}"]

    def z(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x / (1 + sigma**2).sqrt()

    def x(self, z: Tensor, step: int) -> Tensor:
        return z * (1 + self.sigmas[step] ** 2).sqrt()

    def fresh(self, x: Tensor, step: int, sigma: Tensor) -> Tensor:
        return eps(self.z(x, sigma), True)

    def __call__(self, x: Tensor, step: int, sigma: Tensor, guided: bool) -> Prediction:
        z = self.z(x, sigma)
        self.asked.append(z)
        positive, negative = eps(z, True), eps(z, False)
        both = negative + CFG * (positive - negative)
        if not guided:
            return Prediction(both, positive)
        z = z.detach().requires_grad_()
        views = Views(AUTHORS.brought_to_grid(taps(z)), AUTHORS.brought_to_grid(taps(self.path[step])))
        gradient = masked_gradient(z, chain.evaluate(self.layout, views), self.on_latent.edit_mask, views.generation)
        return Prediction(both, positive, self.scale(gradient, both, self.on_latent.support))

    def edited(self, x: Tensor, first: int, last: int) -> Tensor:
        """From a latent z before step ``first`` to that before step ``last``."""
        schedule = D_PLUS if self.name == "loop_Dplus" else D
        x = run_edit(self.x(x, first), self.sigmas, self, schedule, self.on_latent.support, 0, span=(first, last), ask_again=self.fresh)
        return self.z(x, self.sigmas[last])


@pytest.fixture
def their_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regional SDE draws what theirs drew, at steps 11 to 19."""
    draws = NUMBERS["loop_Dplus.noise"]
    monkeypatch.setattr(loop, "unit_noise", lambda shape, seed, step, draw: draws[step - 11].view(shape))


@pytest.mark.parametrize("name", RUNS)
def test_regions_are_theirs(name: str) -> None:
    run = Run(name)
    own = run.layout.combined
    for got, wanted in ((own.target, "mask_target"), (own.vacated, "mask_vacated"), (own.rest, "mask_other")):
        assert torch.equal(got.double(), run.number(wanted)[0])


@pytest.mark.parametrize("name", RUNS)
def test_inversion(name: str) -> None:
    levels = sigmas(name)
    clean = NUMBERS[f"{name}.clean"] * (1 + levels[-1] ** 2).sqrt()
    path = invert(clean, levels, lambda x, sigma: eps(x / (1 + sigma**2).sqrt(), True), refinement=0)
    assert relative_error(path / (1 + levels**2).sqrt().view(-1, 1, 1, 1, 1), NUMBERS[f"{name}.trajectory"].flip(0)) < 1e-6


@pytest.mark.parametrize("name", RUNS)
def test_every_step_from_where_they_were(name: str, their_noise: None) -> None:
    """All passes of time travel in one call, and every latent on the way."""
    run = Run(name)
    visited, at = run.number("visited"), run.number("visited_step").long().tolist()
    worst = 0.0
    for step in range(STEPS):
        here = [z for z, i in zip(visited, at, strict=True) if i == step]
        after = visited[at.index(step + 1)] if step + 1 < STEPS else run.number("result")
        run.asked.clear()
        got = run.edited(here[0], step, step + 1)
        assert len(run.asked) == len(here), "the network is asked as often as theirs was"
        worst = max(worst, *(relative_error(*pair) for pair in zip([*run.asked, got], [*here, after], strict=True)))
    assert worst < 1e-5


@pytest.mark.parametrize("name", RUNS)
def test_the_run_as_a_whole(name: str, their_noise: None) -> None:
    """On its own from their start: equal for as long as rounding allows; at the end as near as a start with float32's error comes."""
    run, other = Run(name), Run(name)
    start, result = run.number("start"), run.number("result")
    got = run.edited(start, 0, STEPS)
    assert max(relative_error(z, own) for z, own in zip(run.asked[:10], run.number("visited")[:10], strict=True)) < 1e-4
    nudged = start + 1e-7 * start.norm() / start.numel() ** 0.5 * torch.randn(start.shape, generator=torch.Generator().manual_seed(1))
    amplified = relative_error(other.edited(nudged, 0, STEPS), got)
    assert amplified > 1e-4, "were it not chaotic, all of it would be held to 1e-4"
    assert relative_error(got, result) < 5 * amplified
