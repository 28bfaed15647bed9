"""The appearance edit: its regions, its trajectory, and the input it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.energies.appearance import appearance_energy
from dragon_core.diffusion.energies.content import content_energy
from dragon_core.diffusion.features import Views
from dragon_core.edits.appearance import Appearance, AppearanceWeights
from dragon_core.edits.base import ReferenceEdit
from dragon_core.edits.chain import Layout, edited_path, evaluate, fitted
from dragon_core.edits.move import Move
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp
from dragon_core.imaging.colour_transfer import moments, transfer_colours
from tensors import block, rand

#: A picture of 32 × 48 and a reference of 40 × 24 pixels.
SIZE, OTHER = (32, 48), (40, 24)


MASK, WANTED = block(SIZE, 8, 24, 8, 32), block(OTHER, 8, 32, 8, 24)


def appearance(**given: object) -> Appearance:
    return Appearance(**{"mask": MASK, "reference_mask": WANTED, **given})  # type: ignore[arg-type]


def test_authors_weights() -> None:
    assert AppearanceWeights() == AppearanceWeights(edit=3.5, content=5.0)


def test_only_what_takes_from_a_second_picture_is_borrowing() -> None:
    assert isinstance(appearance(), ReferenceEdit)
    assert not isinstance(Move(MASK, AffineWarp(SIZE, shift=(8, 0))), ReferenceEdit)


def test_energies_are_the_regions_looks_and_the_rest() -> None:
    generation, source, second = (rand(2, 3, 8, 12, seed=1),), (rand(2, 3, 8, 12, seed=2),), (rand(2, 3, 10, 6, seed=3),)
    layout = Layout.of([appearance()], (8, 12))
    energies = evaluate(layout, Views(generation, source, second))
    own = block((8, 12), 2, 6, 2, 8)
    torch.testing.assert_close(energies.edit, appearance_energy(generation, second, own, block((10, 6), 2, 8, 2, 6), 3.5))
    torch.testing.assert_close(energies.content, content_energy(generation, source, 1 - own, 5.0))
    assert torch.equal(layout.edit_mask, own) and torch.equal(layout.support, own)


def path(edit: Appearance) -> tuple[Tensor, Tensor, Tensor]:
    latents, second = rand(3, 1, 4, 4, 6, seed=4), rand(3, 1, 4, 5, 3, seed=5) + 1
    return latents, second, edited_path([edit], latents, torch.tensor([2.0, 1.0, 0.0]), rand(1, 4, 4, 6, seed=6), second)


def test_every_level_takes_the_looks_statistics_and_keeps_its_noise() -> None:
    latents, second, edited = path(appearance())
    inside, wanted = block((4, 6), 1, 3, 1, 4).unsqueeze(1).double(), block((5, 3), 1, 4, 1, 3).unsqueeze(1).double()
    got, aim = moments(edited[-1], inside), moments(second[-1], wanted)
    torch.testing.assert_close(got[0], aim[0])
    torch.testing.assert_close(got[1], aim[1])
    for level in range(3):
        torch.testing.assert_close(edited[level] - edited[-1], latents[level] - latents[-1])
        outside = inside[0, 0] == 0
        assert torch.equal(edited[level][..., outside], latents[level][..., outside])


def test_transfer_of_nothing_is_the_source() -> None:
    latents, _, edited = path(appearance(transfer=0.0))
    assert torch.equal(edited, latents)
    assert not appearance(transfer=0.0).edits_trajectory and appearance().edits_trajectory


def test_half_the_transfer_is_half_the_way() -> None:
    latents, _, whole = path(appearance())
    half = path(appearance(transfer=0.5))[2]
    torch.testing.assert_close(half[-1], (latents[-1] + whole[-1]) / 2)


def test_strong_colours_of_a_picture_arrive_although_its_range_ends() -> None:
    """A linear map to a saturated look leaves the range; what is cut off there must not be missing from the mean."""
    g = torch.Generator().manual_seed(4)
    picture, reference = torch.rand((1, 3, *SIZE), generator=g), 0.1 * torch.rand((1, 3, *OTHER), generator=g)
    reference[:, 0] = 1 - (torch.rand(OTHER, generator=g) < 0.25).float()  # a bright channel with a few dark spots
    wanted = moments(reference, WANTED[None])[0]

    def off(edited: Tensor) -> float:
        return float((moments(edited.clamp(0, 1), MASK[None])[0] - wanted).abs().max())

    once = transfer_colours(picture, MASK[None], reference, WANTED[None])
    edited = appearance().place_pixels(picture, picture, reference)
    assert off(edited) < 0.7 * off(once)


@pytest.mark.parametrize("wider", [2, 3])
def test_masks_drawn_wide(wider: int) -> None:
    """Both masks take a ring of ground along, sand here and sea there: most of the ring stays sand, and the object comes much closer to the
    look that exact masks give it than by the colours under the masks as they are."""

    def square(half: int) -> Tensor:
        return block((80, 80), 40 - half, 40 + half, 40 - half, 40 + half)

    def picture(thing: Tensor, ground: tuple[float, float, float]) -> Tensor:
        return torch.where(square(10)[None] > 0, thing, torch.tensor(ground).view(1, 3, 1, 1))

    source = picture(0.2 * rand(1, 3, 80, 80, seed=5).sigmoid() + 0.5, (0.9, 0.8, 0.6))
    reference = picture(0.2 * rand(1, 3, 80, 80, seed=6).sigmoid() + torch.tensor([0.1, 0.6, 0.3]).view(1, 3, 1, 1), (0.2, 0.4, 0.9))
    wide = square(10 + wider)
    edited = Appearance(wide, wide).place_pixels(source, source, reference)
    exact = Appearance(square(10), square(10)).place_pixels(source, source, reference)
    naive = transfer_colours(source, wide[None], reference, wide[None])

    def off(result: Tensor, wanted: Tensor, region: Tensor) -> float:
        return float((result - wanted).abs().masked_select(region > 0).mean())

    assert off(edited, exact, square(8)) < 0.4 * off(naive, exact, square(8))
    ring = wide - square(10)
    assert off(edited, source, ring) < 0.35 * off(naive, source, ring)


def test_fitted_to_what_the_vae_keeps_of_both() -> None:
    edit = Appearance(block((35, 49), 9, 25, 8, 32), block((43, 24), 9, 33, 8, 24))
    (kept,) = fitted([edit], SIZE, 8, OTHER)
    assert isinstance(kept, Appearance)
    assert torch.equal(kept.mask, MASK) and torch.equal(kept.reference_mask, WANTED)


def test_refusals() -> None:
    with pytest.raises(DragonError, match="second picture"):
        fitted([appearance()], SIZE, 8)
    with pytest.raises(DragonError, match=r"reference mask is 24×40 pixels but the reference picture is 48×32"):
        fitted([appearance()], SIZE, 8, SIZE)
    with pytest.raises(DragonError, match="the reference mask is empty"):
        appearance(reference_mask=torch.zeros_like(WANTED))
    with pytest.raises(DragonError, match="the mask covers the whole"):
        appearance(mask=torch.ones_like(MASK))
    with pytest.raises(DragonError, match="transfer"):
        appearance(transfer=1.5)
    with pytest.raises(DragonError, match="negative"):
        AppearanceWeights(edit=-1)
