"""The paste edit: where things land, its energy and trajectory cell by cell, and the input it refuses."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.energies.content import content_energy
from dragon_core.diffusion.features import Views
from dragon_core.edits.base import reference_edits
from dragon_core.edits.chain import Layout, edited_path, evaluate, fitted, reference_regions
from dragon_core.edits.paste import Paste, PasteWeights
from dragon_core.errors import DragonError
from tensors import block, rand

#: A picture of 48 × 64 and a second one of 40 × 32 pixels: latents 6 × 8 and 5 × 4, features 12 × 16 and 10 × 8.
SIZE, OTHER = (48, 64), (40, 32)


#: Rows 1–2, columns 1–2 of the second latent; its middle is at (16, 16).
MASK = block(OTHER, 8, 24, 8, 24)


def pasted(**given: object) -> Paste:
    """At rows 3–4, columns 4–5 of the first latent unless said otherwise."""
    (edit,) = fitted([Paste(**{"reference_mask": MASK, "place_at": (40.0, 32.0), **given})], SIZE, 8, OTHER)  # type: ignore[arg-type]
    assert isinstance(edit, Paste)
    return edit


def test_authors_weights() -> None:
    assert PasteWeights() == PasteWeights(edit=4.0, content=6.0)


@pytest.mark.parametrize(("scale", "rotation"), [(1.0, 0.0), (2.0, 0.0), (0.5, 90.0), (1.3, -30.0)])
def test_the_transform_by_hand(scale: float, rotation: float) -> None:
    """T(p) = c + s R (p − c) + d: the centroid lands on the place, and clockwise is from right to down."""
    transform = pasted(scale=scale, rotation=rotation).transform
    right = transform.forward(torch.tensor([[16.0, 16.0], [20.0, 16.0]], dtype=torch.float64))
    angle = math.radians(rotation)
    torch.testing.assert_close(right[0], torch.tensor([40.0, 32.0], dtype=torch.float64))
    expected = torch.tensor([40 + 4 * scale * math.cos(angle), 32 + 4 * scale * math.sin(angle)], dtype=torch.float64)
    torch.testing.assert_close(right[1], expected)


def test_it_lands_where_it_is_put_and_vacates_nothing() -> None:
    regions = pasted().regions((6, 8))
    torch.testing.assert_close(regions.target, block((6, 8), 3, 5, 4, 6))
    assert not regions.source.any() and not regions.vacated.any()


def test_energies_by_loops() -> None:
    generation, source, second = (rand(2, 3, 12, 16, seed=1),), (rand(2, 3, 12, 16, seed=2),), (rand(2, 3, 10, 8, seed=3),)
    layout = Layout.of([pasted()], (12, 16))
    energies = evaluate(layout, Views(generation, source, second))
    for b in range(2):
        found = []
        for i in range(6, 10):
            for j in range(8, 12):
                x, y = generation[0][b, :, i, j].tolist(), second[0][b, :, i - 4, j - 6].tolist()
                cosine = sum(p * q for p, q in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))
                found.append((cosine + 1) / 2)
        assert float(energies.edit[b]) == pytest.approx(4 / (1 + 4 * sum(found) / len(found)), rel=1e-5)
    target = block((12, 16), 6, 10, 8, 12)
    torch.testing.assert_close(energies.content, content_energy(generation, source, 1 - target, 6.0), rtol=1e-5, atol=0)


def test_gradient() -> None:
    source, second = (rand(1, 3, 12, 16, seed=2),), (rand(1, 3, 10, 8, seed=3),)
    layout = Layout.of([pasted(scale=0.8)], (12, 16))

    def energy(generation: Tensor) -> Tensor:
        return evaluate(layout, Views((generation,), source, second)).total

    assert torch.autograd.gradcheck(energy, rand(1, 3, 12, 16, seed=1).requires_grad_(True))


def test_the_reference_replaces_the_source_cell_by_cell() -> None:
    """At every level, clean part and noise; the rest keeps every bit."""
    latents, second = rand(3, 2, 4, 6, 8, seed=4), rand(3, 1, 4, 5, 4, seed=5)
    path = edited_path([pasted()], latents, torch.tensor([2.0, 1.0, 0.0]), rand(2, 4, 6, 8, seed=6), second)
    for level in range(3):
        for i in range(6):
            for j in range(8):
                if 3 <= i < 5 and 4 <= j < 6:
                    expected = second[level, :, :, i - 2, j - 3].expand(2, -1)
                    torch.testing.assert_close(path[level, :, :, i, j], expected)
                else:
                    assert torch.equal(path[level, :, :, i, j], latents[level, :, :, i, j])


@pytest.mark.parametrize("scale", [0.5, 2.5])
def test_noise_stays_white_when_scaled(scale: float) -> None:
    """Unit variance, and neighbours that know nothing of each other."""
    clean, mask = torch.zeros(1, 64, 40, 40), block((320, 320), 80, 240, 80, 240)
    latents, second = (torch.stack([torch.randn(clean.shape, generator=torch.Generator().manual_seed(k)), clean]) for k in (1, 2))
    (edit,) = fitted([Paste(mask, (160.0, 160.0), scale)], (320, 320), 8, (320, 320))
    noise = edited_path([edit], latents, torch.tensor([1.0, 0.0]), torch.zeros_like(clean), second)[0]
    half = round(10 * scale)
    part = noise[0, :, 20 - min(half, 20) : 20 + min(half, 20), 20 - min(half, 20) : 20 + min(half, 20)]
    assert float(part.var()) == pytest.approx(1.0, abs=0.05)
    assert abs(float((part[:, 1:] * part[:, :-1]).mean())) < 0.05
    assert abs(float((part[:, :, 1:] * part[:, :, :-1]).mean())) < 0.05
    assert not torch.equal(noise, latents[0])


def test_what_is_borrowed() -> None:
    """Two pastes: their targets on the source's grid, their masks on the second's."""
    other = pasted(reference_mask=block(OTHER, 32, 40, 0, 8), place_at=(12.0, 12.0))
    covered, taken = reference_regions(reference_edits([pasted(), other]), (6, 8), (5, 4))
    expected = block((6, 8), 3, 5, 4, 6) + block((6, 8), 1, 2, 1, 2)
    torch.testing.assert_close(covered, expected)
    torch.testing.assert_close(taken, block((5, 4), 1, 3, 1, 3) + block((5, 4), 4, 5, 0, 1))


def test_refusals(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DragonError, match=r"outside the picture of 64×48 pixels: change x and y"):
        pasted(place_at=(400.0, 32.0))
    with pytest.raises(DragonError, match="second picture"):
        fitted([Paste(MASK, (40.0, 32.0))], SIZE, 8)
    with pytest.raises(DragonError, match=r"reference mask is 32×40 pixels but the reference picture is 64×48"):
        fitted([Paste(MASK, (40.0, 32.0))], SIZE, 8, SIZE)
    with pytest.raises(DragonError, match="scale must be above 0"):
        Paste(MASK, (40.0, 32.0), 0.0)
    with pytest.raises(DragonError, match="one, for all pictures"):
        Paste(MASK.repeat(2, 1, 1), (40.0, 32.0))
    with pytest.raises(DragonError, match="the reference mask is empty: paint over the object to paste"):
        Paste(torch.zeros_like(MASK), (40.0, 32.0))
    with pytest.raises(DragonError, match="smaller than one cell"):
        small = pasted(scale=0.05)
        edited_path([small], rand(2, 1, 4, 6, 8, seed=1), torch.tensor([1.0, 0.0]), rand(1, 4, 6, 8, seed=2), rand(2, 1, 4, 5, 4, seed=3))
    with caplog.at_level(logging.WARNING):
        pasted(place_at=(62.0, 32.0))
    assert "cropped" in caplog.text
