"""The two noise models against each other: a flow is a VP model in other variables, x_flow = α x_vp at σ_vp = σ/α, step by step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.guidance import polyak_step
from dragon_core.diffusion.inversion import invert
from dragon_core.diffusion.loop import Prediction, run_edit
from dragon_core.diffusion.noise_model import FLOW, LEAST_ALPHA, VP, NoiseModel
from dragon_core.diffusion.schedule import EditSchedule, Window
from dragon_core.diffusion.steps import regional_sde_step
from dragon_core.edits import chain
from dragon_core.edits.move import Move
from dragon_core.imaging.affine import AffineWarp
from tensors import rand

#: A schedule of a VP model, and the same levels of a flow.
SIGMAS = torch.tensor([14.6, 6.0, 2.5, 1.0, 0.4, 0.1, 0.0], dtype=torch.float64)
FLOW_SIGMAS = SIGMAS / (1 + SIGMAS)
SIZE = (4, 5)


def alpha(sigma: Tensor) -> Tensor:
    """Of a flow."""
    return 1 - sigma


def eps(x: Tensor, sigma: Tensor) -> Tensor:
    """A VP model that is known, and not linear."""
    return torch.tanh(x / (1 + sigma)) + 0.1 * x.roll(1, -1) / (1 + sigma**2).sqrt()


def velocity(x: Tensor, sigma: Tensor, share: float = 1.0) -> Tensor:
    """The same model, or a share of what it predicts, as a flow: v = n − x0."""
    z, level = x / alpha(sigma), sigma / alpha(sigma)
    noise = share * eps(z, level)
    return noise - (z - level * noise)


@pytest.mark.parametrize("sigma", [0.001, 0.1, 0.5, 0.9])
def test_a_latent_is_its_picture_and_its_noise(sigma: float) -> None:
    clean, noise, at = rand(1, 4, *SIZE), rand(1, 4, *SIZE, seed=1), torch.tensor(sigma, dtype=torch.float64)
    for model, share in ((VP, 1.0), (FLOW, 1 - sigma)):
        x = model.joined(clean, at * noise, at)
        torch.testing.assert_close(x, share * clean + sigma * noise)
        torch.testing.assert_close(model.noise_part(x, clean, at), sigma * noise)
        direction = (x - clean) / at
        torch.testing.assert_close(model.noise(x, direction, at), noise)
        assert float(model.log_snr(at)) == pytest.approx(2 * math.log(share / sigma))


def test_what_the_network_sees_is_as_wide_as_a_picture() -> None:
    """z of both is x / sqrt(α² + σ²); a VP network's input is z, a flow's is x."""
    sigma = torch.tensor(0.7, dtype=torch.float64)
    assert float(VP.c_in(sigma)) == pytest.approx(1 / math.sqrt(1 + 0.49))
    assert float(VP.gradient_scale(sigma)) == 1.0
    assert float(FLOW.c_in(sigma)) == 1.0
    assert float(FLOW.gradient_scale(sigma)) == pytest.approx(math.sqrt(0.09 + 0.49))


@pytest.mark.parametrize("refinement", [0, 2])
def test_inversion(refinement: int) -> None:
    clean = rand(1, 4, *SIZE)
    path = invert(clean, SIGMAS, eps, refinement)
    as_flow = invert(clean, FLOW_SIGMAS, velocity, refinement, noise_model=FLOW)
    torch.testing.assert_close(as_flow, path * alpha(FLOW_SIGMAS).view(-1, 1, 1, 1, 1))


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_regional_noise(eta: float) -> None:
    x, noise = rand(1, 4, *SIZE), rand(1, 4, *SIZE, seed=1)
    where = torch.full((1, 1, *SIZE), eta, dtype=torch.float64)
    for (high, low), (s, t) in zip(zip(SIGMAS, SIGMAS[1:], strict=False), zip(FLOW_SIGMAS, FLOW_SIGMAS[1:], strict=False), strict=True):
        expected = regional_sde_step(x, eps(x, high), high, low, where, noise)
        flow = alpha(s) * x
        got = regional_sde_step(flow, velocity(flow, s), s, t, where, noise, FLOW)
        torch.testing.assert_close(got, alpha(t) * expected)


def test_the_noisiest_level_of_a_flow_is_finite() -> None:
    """Nothing of the picture is in it, so that σ/α has no value there."""
    one, lower = torch.tensor(1.0), torch.tensor(0.9)
    assert float(FLOW.ancestral_variance(one, lower)) == pytest.approx(0.81)
    assert float(FLOW.guidance_scale(one)) == 1 / LEAST_ALPHA


class Guided:
    """The model above, with a guidance that is known."""

    def __init__(self, noise_model: NoiseModel) -> None:
        self.noise_model = noise_model

    def __call__(self, x: Tensor, step: int, sigma: Tensor, guided: bool) -> Prediction:
        flow = self.noise_model is FLOW
        direction, positive = (velocity(x, sigma, share) if flow else share * eps(x, sigma) for share in (1.0, 0.9))
        pull = 0.2 * torch.sin(x / (alpha(sigma) if flow else 1.0)) if guided else None
        return Prediction(direction, positive, pull)


def test_a_run_with_guidance_regional_noise_and_time_travel() -> None:
    travel = {"travel": Window(0.0, 1.0), "travel_passes": 2}
    schedule = EditSchedule(Window(0.0, 0.5), Window(0.5, 1.0), **travel, sde=Window(0.3, 1.0), sde_inside=0.6, sde_outside=0.1)
    region, x = torch.zeros(1, *SIZE, dtype=torch.float64), 14.6 * rand(1, 4, *SIZE)
    region[..., :2] = 1
    seen: dict[str, list[Tensor]] = {"vp": [], "flow": []}
    run_edit(x, SIGMAS, Guided(VP), schedule, region, 3, lambda i, x0, x: seen["vp"].extend((x0, x)))
    at = alpha(FLOW_SIGMAS)
    flow = Guided(FLOW)
    run_edit(at[0] * x, FLOW_SIGMAS, flow, schedule, region, 3, lambda i, x0, x: seen["flow"].extend((x0, x)), noise_model=FLOW)
    for i in range(len(SIGMAS) - 1):
        torch.testing.assert_close(seen["flow"][2 * i], seen["vp"][2 * i])
        torch.testing.assert_close(seen["flow"][2 * i + 1], at[i + 1] * seen["vp"][2 * i + 1])


def test_the_edited_path() -> None:
    mask = torch.zeros(1, 32, 40)
    mask[:, 8:16, 8:16] = 1
    edits = [Move(mask, AffineWarp((32, 40), shift=(8.0, 8.0)), start="noise")]
    clean, noise = rand(1, 4, *SIZE), rand(1, 4, *SIZE, seed=1)
    latents = torch.stack([clean + sigma * noise for sigma in SIGMAS])
    scale = alpha(FLOW_SIGMAS).view(-1, 1, 1, 1, 1)
    fresh = rand(1, 4, *SIZE, seed=2)
    expected = chain.edited_path(edits, latents, SIGMAS, fresh)
    got = chain.edited_path(edits, latents * scale, FLOW_SIGMAS, fresh, noise_model=FLOW)
    torch.testing.assert_close(got, expected * scale)
    assert not torch.allclose(expected, latents)


def test_polyak_step() -> None:
    gradient, left = rand(2, 4, *SIZE), torch.tensor([1.0, 2.0], dtype=torch.float64)
    for sigma, flow in zip(SIGMAS[:-1].tolist(), FLOW_SIGMAS[:-1].tolist(), strict=True):
        torch.testing.assert_close(polyak_step(gradient, left, flow, FLOW), polyak_step(gradient, left, sigma))
