"""The masked gradient against separate backward passes and derivatives by hand; what the guidance scale promises."""

from __future__ import annotations

import math
import weakref

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.features import Views
from dragon_core.diffusion.guidance import Energies, GuidanceScale, masked_gradient, polyak_step, rms
from dragon_core.edits.appearance import Appearance
from dragon_core.edits.base import Edit
from dragon_core.edits.chain import Layout, evaluate, with_kappa
from dragon_core.edits.drag import drag
from dragon_core.edits.move import Move
from dragon_core.edits.paste import Paste
from dragon_core.edits.primitives import (
    Content,
    ContentElsewhere,
    Contrast,
    Inpaint,
    LocalSimilarity,
    LocalSimilarityToReference,
    MeanSimilarity,
)
from dragon_core.edits.resize import resize
from dragon_core.imaging.affine import AffineWarp


def rand(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(z: Tensor) -> Tensor:
    """A toy UNet: each output pixel depends on a neighbourhood, so gradients spread beyond their region."""
    first, second = rand(5, 4, 3, 3, seed=50), rand(3, 5, 3, 3, seed=51)
    return torch.nn.functional.conv2d(torch.tanh(torch.nn.functional.conv2d(z, first, padding=1)), second, padding=1)


def edit_part(f: Tensor) -> Tensor:
    return f[:, 0].square().mean((1, 2))


def content_part(f: Tensor) -> Tensor:
    return (f[:, 1] * f[:, 2]).sin().mean((1, 2))


@pytest.mark.parametrize("masks", [1, 2])
def test_two_parts_of_one_network_against_two_networks(masks: int) -> None:
    """Each part differentiated alone through a graph of its own, then chosen by the mask cell by cell."""
    z = rand(2, 4, 5, 6, seed=1).requires_grad_()
    mask = rand(masks, 5, 6, seed=2).sigmoid()
    f = network(z)
    got = masked_gradient(z, Energies(edit_part(f), content_part(f)), mask, (f,))
    slopes = []
    for part in (edit_part, content_part):
        own = z.detach().clone().requires_grad_()
        part(network(own)).sum().backward()
        slopes.append(own.grad)
    assert got.shape == z.shape and got.dtype == torch.float32 and not got.requires_grad
    for b in range(2):
        for i in range(5):
            for j in range(6):
                m = float(mask[b % masks, i, j])
                expected = m * slopes[0][b, :, i, j] + (1 - m) * slopes[1][b, :, i, j]
                torch.testing.assert_close(got[b, :, i, j], expected, rtol=1e-4, atol=1e-5)


def test_by_hand() -> None:
    """E_edit = Σ z², E_content = Σ 3 z: 2 z inside the mask, 3 outside, 2.5 + z where it is a half."""
    z = torch.tensor([[[[1.0, 2.0, 5.0]]]], requires_grad=True)
    energies = Energies(z.square().sum((1, 2, 3)), 3 * z.sum((1, 2, 3)))
    mask = torch.tensor([[[1.0, 0.0, 0.5]]])
    assert masked_gradient(z, energies, mask, (z,)).flatten().tolist() == pytest.approx([2.0, 3.0, 6.5])


def test_pictures_of_a_batch_have_gradients_of_their_own() -> None:
    z = rand(2, 4, 5, 6, seed=3)
    mask = rand(2, 5, 6, seed=4).sigmoid()

    def gradient(part: Tensor, m: Tensor) -> Tensor:
        own = part.clone().requires_grad_()
        f = network(own)
        return masked_gradient(own, Energies(edit_part(f), content_part(f)), m, (f,))

    both = gradient(z, mask)
    for b in range(2):
        torch.testing.assert_close(both[b : b + 1], gradient(z[b : b + 1], mask[b : b + 1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slope", [1e-8, 1e8])
def test_half_precision_gradients_survive(slope: float) -> None:
    """A slope on its way through half precision, whose smallest number is 6e-8 and whose largest 65504."""
    z = torch.ones(1, 1, 2, 2, dtype=torch.float16, requires_grad=True)
    f = (z * 0.5).float()
    energy = (f * 2 * slope).sum((1, 2, 3))
    lost = torch.autograd.grad(energy.sum(), z, retain_graph=True)[0]
    assert not torch.isfinite(lost).all() or float(lost.abs().max()) == 0, "lost without scaling"
    got = masked_gradient(z, Energies(energy, (f * 0).sum((1, 2, 3))), torch.ones(1, 2, 2), (f,))
    torch.testing.assert_close(got, torch.full((1, 1, 2, 2), slope), rtol=1e-3, atol=0)


@pytest.mark.parametrize("steepness", [1.0, 1e3, 1e7])
@pytest.mark.parametrize("twice", [True, False])
def test_a_model_that_makes_gradients_larger_than_half_precision_holds(steepness: float, twice: bool) -> None:
    """A slope of 1 after the model is ``steepness`` before it, in float16: from where it overflows the way back starts smaller."""
    z = torch.ones(1, 1, 2, 2, dtype=torch.float16, requires_grad=True)
    root = steepness**0.5
    f = (z * root * 1e-3 * root).float() * 1e3
    energy = f.sum((1, 2, 3))
    other = (f * 0).sum((1, 2, 3)) if twice else torch.zeros(1)
    got = masked_gradient(z, Energies(energy, other), torch.ones(1, 2, 2), (f,))
    torch.testing.assert_close(got, torch.full((1, 1, 2, 2), steepness), rtol=2e-3, atol=0)


def test_what_an_energy_saved_is_let_go_before_the_way_back_through_the_model() -> None:
    """With SDXL it is features several times over, 1.5 GiB."""
    saved: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept = tensor.detach().clone()
        saved.append(weakref.ref(kept))
        return kept

    z = rand(1, 4, 5, 6, seed=8).requires_grad_()
    f = network(z)
    f.grad_fn.register_prehook(lambda _: alive.append(sum(each() is not None for each in saved)))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
        energy = edit_part(f)
    assert saved and all(each() is not None for each in saved)
    masked_gradient(z, Energies(energy, torch.zeros(1)), torch.ones(1, 5, 6), (f,))
    assert alive == [0]


def test_float32_gradients_are_not_rounded() -> None:
    """Bringing slopes to size and back changes no bit of a float32 gradient; each picture has a size of its own."""
    z = rand(2, 4, 5, 6, seed=5).requires_grad_()
    f = network(z)
    energy = edit_part(f) * torch.tensor([1e-3, 1e3])
    plain = torch.autograd.grad(energy.sum(), z, retain_graph=True)[0]
    assert torch.equal(masked_gradient(z, Energies(energy, edit_part(f) * 0), torch.ones(1, 5, 6), (f,)), plain)


@pytest.mark.parametrize("factor", [1.0, 0.0])
def test_an_energy_of_one_tap_only(factor: float) -> None:
    """The other tap has no slope; where there is none at all, the gradient is zero."""
    z = rand(1, 4, 5, 6, seed=6).requires_grad_()
    deep, shallow = network(z), network(z * 2)
    energy = edit_part(shallow) * factor
    plain = torch.autograd.grad(energy.sum(), z, retain_graph=True)[0]
    assert torch.equal(masked_gradient(z, Energies(energy, torch.zeros(1)), torch.ones(1, 5, 6), (deep, shallow)), plain)


# Scale


def region() -> Tensor:
    mask = torch.zeros(1, 5, 6)
    mask[:, 1:4, 2:5] = 1
    return mask


def size_in(values: Tensor, mask: Tensor) -> list[float]:
    """Root mean square over channels and masked cells, picture by picture, counted out."""
    out = []
    for b in range(values.shape[0]):
        cells = [(i, j) for i in range(5) for j in range(6) if float(mask[b % mask.shape[0], i, j]) > 0]
        squares = [float(values[b, c, i, j]) ** 2 for c in range(values.shape[1]) for i, j in cells]
        out.append(math.sqrt(sum(squares) / len(squares)))
    return out


def test_rms_by_loops() -> None:
    values = rand(2, 4, 5, 6, seed=5)
    assert rms(values, region()).shape == (2, 1, 1, 1)
    assert rms(values, region()).flatten().tolist() == pytest.approx(size_in(values, region()))


def test_rms_of_a_soft_region_is_weighted() -> None:
    values = torch.tensor([[[[3.0, 5.0]]]])
    assert float(rms(values, torch.tensor([[[1.0, 0.5]]]))) == pytest.approx(math.sqrt((9 + 12.5) / 1.5))


@pytest.mark.parametrize("strength", [0.25, 1.0, 2.0])
def test_strength_is_the_size_of_the_first_guidance_relative_to_the_prediction(strength: float) -> None:
    """In the edited region, for every picture of the batch by itself."""
    gradient = rand(2, 4, 5, 6, seed=6) * torch.tensor([1e-6, 30.0]).view(2, 1, 1, 1)
    eps = rand(2, 4, 5, 6, seed=7) * torch.tensor([0.9, 1.3]).view(2, 1, 1, 1)
    g = GuidanceScale(strength)(gradient, eps, region())
    assert size_in(g, region()) == pytest.approx([strength * size for size in size_in(eps, region())], rel=1e-5)


@pytest.mark.parametrize("factor", [1e-15, 1e-8, 1e-3, 7.0, 1e10])
def test_relative_scale_ignores_what_the_gradient_is_multiplied_by(factor: float) -> None:
    """Energy weights, model, resolution: all that scales every gradient of a run cancels out, on later steps too."""
    gradients, eps = [rand(2, 4, 5, 6, seed=n) for n in (8, 9)], rand(2, 4, 5, 6, seed=10)
    plain, scaled = GuidanceScale(0.5), GuidanceScale(0.5)
    for gradient in gradients:
        torch.testing.assert_close(scaled(factor * gradient, eps, region()), plain(gradient, eps, region()))


def test_what_lies_outside_the_region_does_not_calibrate() -> None:
    gradient, eps = rand(1, 4, 5, 6, seed=11), rand(1, 4, 5, 6, seed=12)
    outside = 1 - region().unsqueeze(1)
    plain, louder = GuidanceScale(0.5), GuidanceScale(0.5)
    expected = plain(gradient, eps, region())
    got = louder(gradient * (1 + 99 * outside), eps * (1 + 99 * outside), region())
    torch.testing.assert_close(got * (1 - outside), expected * (1 - outside))


def test_calibration_stays_as_the_first_step_set_it() -> None:
    """As the energies are satisfied the gradient fades, and g with it; a new prediction changes nothing."""
    gradient, eps = rand(1, 4, 5, 6, seed=13), rand(1, 4, 5, 6, seed=14)
    scale = GuidanceScale(0.5)
    first = scale(gradient, eps, region())
    assert scale.eta is not None
    eta = scale.eta.clone()
    torch.testing.assert_close(scale(0.1 * gradient, 50 * eps, torch.ones(1, 5, 6)), 0.1 * first)
    assert torch.equal(scale.eta, eta)


def test_a_picture_without_gradient_leaves_the_others_calibrated() -> None:
    """Each picture of a batch has its own η, fixed at the first step at which it has a gradient."""
    gradient, eps = rand(2, 4, 5, 6, seed=13), rand(2, 4, 5, 6, seed=14)
    scale, first = GuidanceScale(0.5), gradient * torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    g = scale(first, eps, region())
    again = scale(0.1 * gradient, 7 * eps, region())
    torch.testing.assert_close(again[0], 0.1 * g[0])
    torch.testing.assert_close(rms(again, region())[1], 0.5 * rms(7 * eps, region())[1])
    assert torch.equal(scale(0.2 * gradient, 7 * eps, region())[1], 2 * again[1])


def test_each_run_calibrates_anew() -> None:
    gradient, eps = rand(1, 4, 5, 6, seed=15), rand(1, 4, 5, 6, seed=16)
    torch.testing.assert_close(GuidanceScale(0.5)(gradient, eps, region()), GuidanceScale(0.5)(3 * gradient, eps, region()))


@pytest.mark.parametrize("kappa", [None, 0.08])
def test_strength_0_is_no_guidance(kappa: float | None) -> None:
    scale = GuidanceScale(0.0, kappa)
    for n in range(2):
        assert not scale(rand(2, 4, 5, 6, seed=17 + n), rand(2, 4, 5, 6, seed=19), region()).any()


SIZE, HERE = (32, 48), torch.zeros(1, 32, 48)
HERE[:, 8:20, 8:20] = 1
THERE = HERE.roll(20, 2)


@pytest.mark.parametrize(
    "edit",
    [
        drag([((12.0, 12.0), (30.0, 14.0))], SIZE, HERE),
        Paste(HERE, (34.0, 14.0), image_size=SIZE),
        Appearance(HERE, THERE),
        Content(HERE, 2.0),
        ContentElsewhere(2.0),
        Contrast(HERE, 2.0),
        Inpaint(HERE, 2.0),
        LocalSimilarity(HERE, 2.0, (6.0, 2.0)),
        LocalSimilarityToReference(HERE, 2.0, (6.0, 2.0)),
        MeanSimilarity(HERE, 2.0, THERE),
    ],
    ids=lambda edit: type(edit).__name__,
)
def test_energies_beside_a_move_count_half_in_the_papers_unit(edit: Edit) -> None:
    """κ is 0.08 for moving and resizing and 0.04 for all else (docs/method.md, section 7), and η that of the larger."""
    move = Move(HERE, AffineWarp(SIZE, (12.0, 4.0)))
    assert (move.kappa, resize(HERE, (0.5, 0.5)).kappa, edit.kappa) == (0.08, 0.08, 0.04)
    views = Views(*((rand(1, 3, 8, 12, seed=60 + n), rand(1, 5, 8, 12, seed=70 + n)) for n in range(3)))
    for chain in ((move, edit), (edit, move)):
        first, second = with_kappa(chain)
        kept, less = (first, second) if chain[0] is move else (second, first)
        assert kept is move
        whole, half = (evaluate(Layout.of([each], (8, 12)), views) for each in (edit, less))
        torch.testing.assert_close(half.edit, whole.edit / 2)
        torch.testing.assert_close(half.content, whole.content / 2)
        assert half.least == whole.least / 2
    assert with_kappa([edit]) == (edit,)
    assert with_kappa([]) == ()


def test_paper_mode_is_the_authors_constant() -> None:
    """η = energy scale · 1000 · κ: 0.5 of 0.08 gives 40, whatever gradient, prediction and region are."""
    scale = GuidanceScale(0.5, kappa=0.08)
    for factor in (1.0, 1e-4):
        gradient = factor * rand(1, 4, 5, 6, seed=20)
        torch.testing.assert_close(scale(gradient, rand(1, 4, 5, 6, seed=21), region()), 40 * gradient)
    assert scale.eta is None


def test_no_gradient_gives_no_guidance_rather_than_nan() -> None:
    gradient = torch.zeros(2, 4, 5, 6)
    gradient[1] = 1
    g = GuidanceScale(1.0)(gradient, rand(2, 4, 5, 6, seed=22), region())
    assert torch.isfinite(g).all() and not g[0].any() and bool(g[1].any())


def test_calibrated_on_next_to_nothing_it_comes_down_as_soon_as_there_is_something() -> None:
    """Holding a picture as it is starts at the energy's minimum, where the gradient is rounding noise."""
    scale = GuidanceScale(0.5)
    gradient, eps = rand(1, 4, 5, 6, seed=31), rand(1, 4, 5, 6, seed=32)
    scale(1e-9 * gradient, eps, region()[:1])
    g = scale(gradient, eps, region()[:1])
    assert size_in(g, region()[:1]) == pytest.approx([10 * 0.5 * size for size in size_in(eps, region()[:1])], rel=1e-5)
    assert size_in(scale(0.1 * gradient, eps, region()[:1]), region()[:1]) == pytest.approx(
        [0.1 * each for each in size_in(g, region()[:1])]
    )


def test_where_nothing_is_edited_all_of_the_picture_counts() -> None:
    values = rand(2, 4, 5, 6, seed=33)
    torch.testing.assert_close(rms(values, torch.zeros(1, 5, 6)), rms(values, torch.ones(1, 5, 6)))


# Runs that edit nothing


@pytest.mark.parametrize("sigma", [0.1, 1.0, 14.0])
def test_reach_uses_up_what_is_left_on_a_straight_way(sigma: float) -> None:
    """E = <a, z> falls along a by exactly what is left, when x̂0 and so x is moved by −σηg."""
    a, x = rand(2, 4, 5, 6, seed=34), rand(2, 4, 5, 6, seed=35)
    left = torch.tensor([0.3, 2.0])
    after = x - sigma * polyak_step(a, left, sigma) * a
    fall = (a * (x - after) / math.sqrt(1 + sigma**2)).sum((1, 2, 3))
    assert fall.tolist() == pytest.approx(left.tolist(), rel=1e-5)


def test_reach_goes_half_the_way_in_a_bowl() -> None:
    """E = |z|², all of it left: Polyak's step ends in the middle, and never beyond the bottom in any bowl."""
    z = rand(1, 4, 5, 6, seed=36)
    after = z - 1 / math.sqrt(2) * polyak_step(2 * z, z.square().sum((1, 2, 3)), 1.0) * 2 * z
    torch.testing.assert_close(after, z / 2)


def test_rounding_noise_is_not_made_large() -> None:
    """A picture that is to be held as it is: nothing is left to gain, though there is a gradient."""
    gradient, eps = rand(2, 4, 5, 6, seed=37), rand(2, 4, 5, 6, seed=38)
    left = torch.tensor([0.0, 1e-12])
    g = GuidanceScale(0.5)(1e-9 * gradient, eps, region(), polyak_step(1e-9 * gradient, left, 1.0))
    assert not g[0].any()
    g = GuidanceScale(0.5)(1e-3 * gradient, eps, region(), polyak_step(1e-3 * gradient, left, 1.0))
    assert 0 < float(g[1].abs().max()) < 1e-9


def test_strength_is_the_most_that_a_limited_guidance_may_be() -> None:
    """At every step, whatever the steps before were."""
    eps, scale = rand(2, 4, 5, 6, seed=39), GuidanceScale(0.25)
    for factor in (1e-6, 1.0, 1e-3):
        gradient = factor * rand(2, 4, 5, 6, seed=40)
        g = scale(gradient, eps, region(), polyak_step(gradient, torch.full((2,), 1e12), 1.0))
        assert size_in(g, region()) == pytest.approx([0.25 * size for size in size_in(eps, region())], rel=1e-5)
    assert scale.eta is None, "nothing is kept"


def test_what_is_left_is_counted_from_the_least() -> None:
    energies = Energies(torch.tensor([1.0, 0.2]), torch.tensor([2.0, 0.7]), least=1.0)
    assert energies.left.tolist() == pytest.approx([2.0, 0.0])
