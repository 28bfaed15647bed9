"""The look of one region given to another: its statistics arrive, what is alike stays, and faint cells hardly count."""

from __future__ import annotations

import torch

from dragon_core.imaging.colour_transfer import moments, transfer_colours
from tensors import rand

LATENT, REFERENCE = rand(2, 4, 9, 7, seed=1), 0.3 * rand(2, 4, 6, 8, seed=2) + 2
INSIDE, WANTED = torch.zeros(1, 1, 9, 7, dtype=torch.float64), torch.zeros(1, 1, 6, 8, dtype=torch.float64)
INSIDE[..., 2:7, 1:6], WANTED[..., 1:5, 2:7] = 1, 1


def test_moments_by_loops() -> None:
    mean, spread = moments(LATENT, INSIDE)
    for b in range(2):
        cells = [LATENT[b, :, i, j] for i in range(2, 7) for j in range(1, 6)]
        expected = sum(cells) / len(cells)
        torch.testing.assert_close(mean[b], expected)
        torch.testing.assert_close(spread[b], sum(torch.outer(c - expected, c - expected) for c in cells) / len(cells))


def test_mean_and_covariance_arrive() -> None:
    got, wanted = moments(transfer_colours(LATENT, INSIDE, REFERENCE, WANTED), INSIDE), moments(REFERENCE, WANTED)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_look_given_to_itself_changes_nothing() -> None:
    torch.testing.assert_close(transfer_colours(LATENT, INSIDE, LATENT, INSIDE), LATENT)


def test_one_reference_for_a_batch() -> None:
    both = transfer_colours(LATENT, INSIDE, REFERENCE[:1], WANTED)
    torch.testing.assert_close(both[1:], transfer_colours(LATENT[1:], INSIDE, REFERENCE[:1], WANTED))


def test_a_flat_region_takes_the_colour() -> None:
    flat = torch.ones(1, 4, 9, 7, dtype=torch.float64)
    out = transfer_colours(flat, INSIDE, REFERENCE[:1], WANTED)
    torch.testing.assert_close(out[0, :, 4, 4], moments(REFERENCE[:1], WANTED)[0][0])
    assert torch.isfinite(out).all()


def test_cells_covered_in_part_hardly_count() -> None:
    """A quarter of a cell weighs 1/256."""
    edge, odd = WANTED.clone(), REFERENCE.clone()
    edge[..., 0, 2:7] = 0.25
    odd[..., 0, 2:7] += 5
    plain, touched = transfer_colours(LATENT, INSIDE, REFERENCE, WANTED), transfer_colours(LATENT, INSIDE, odd, edge)
    assert float((plain - touched).abs().max()) < 0.2
