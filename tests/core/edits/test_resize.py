"""Resizing: where points go, what is uncovered, one centre for each mask, and noise that stays white."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

import tensors
from dragon_core.edits import chain
from dragon_core.edits.move import Move
from dragon_core.edits.resize import resize
from dragon_core.errors import DragonError
from tensors import rand

#: A picture of 96 × 128 pixels: latent 12 × 16, features 24 × 32.
SIZE, LATENT, GRID = (96, 128), (12, 16), (24, 32)
SCALES = [(0.3, 0.3), (0.5, 0.5), (0.7, 0.7), (1.0, 1.0), (1.4, 1.4), (2.0, 2.0), (3.0, 1.5)]


block = partial(tensors.block, SIZE)


@pytest.mark.parametrize("rotation", [0.0, 90.0, -30.0])
@pytest.mark.parametrize("scale", [(2.0, 2.0), (0.5, 1.5)])
def test_where_a_point_goes(scale: tuple[float, float], rotation: float) -> None:
    """Scaled along x and y, then turned clockwise on the screen, about the centroid (48, 36), then moved."""
    edit = resize(block(32, 40, 40, 56), scale, rotation, (8, -4))
    x, y = 10 * scale[0], -2 * scale[1]  # of the point (58, 34)
    angle = math.radians(rotation)
    expected = (48 + x * math.cos(angle) - y * math.sin(angle) + 8, 36 + x * math.sin(angle) + y * math.cos(angle) - 4)
    got = edit.transform.forward(torch.tensor([58.0, 34.0], dtype=torch.float64))
    assert got.tolist() == pytest.approx(expected)
    if rotation == 90:
        below = edit.transform.forward(torch.tensor([60.0, 36.0], dtype=torch.float64))
        assert below.tolist() == pytest.approx([48 + 8, 36 + 12 * scale[0] - 4])  # what was right of it is below it now


def test_a_larger_object_uncovers_nothing_and_a_smaller_one_its_rim() -> None:
    mask = block(32, 64, 40, 88)
    grown, shrunk = resize(mask, (1.5, 1.5)).regions(GRID), resize(mask, (0.5, 0.5)).regions(GRID)
    assert float(grown.vacated.sum()) == pytest.approx(0, abs=1e-3)
    assert float(shrunk.target.sum()) == pytest.approx(float(shrunk.source.sum()) / 4)
    for i in range(GRID[0]):
        for j in range(GRID[1]):
            inside, inner = 8 <= i < 16 and 10 <= j < 22, 10 <= i < 14 and 13 <= j < 19
            assert float(shrunk.vacated[0, i, j]) == pytest.approx(float(inside and not inner), abs=1e-4)


def test_each_mask_of_a_batch_has_its_own_middle() -> None:
    """As if each picture were alone, also for more rows, and in the whole trajectory."""
    masks = torch.cat((block(16, 40, 16, 40), block(48, 80, 72, 112)))
    both = resize(masks, (0.6, 0.6), 20.0, (4, 3))
    path, noise = rand(3, 2, 4, *LATENT, seed=1), rand(2, 4, *LATENT, seed=2)
    sigmas = torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64)
    got = chain.edited_path([both], path, sigmas, noise)
    for i in range(2):
        alone = resize(masks[i : i + 1], (0.6, 0.6), 20.0, (4, 3))
        torch.testing.assert_close(both.regions(GRID).target[i], alone.regions(GRID).target[0])
        torch.testing.assert_close(both.on(masks.device, 2).regions(GRID).target[2 + i], alone.regions(GRID).target[0])
        torch.testing.assert_close(got[:, i : i + 1], chain.edited_path([alone], path[:, i : i + 1], sigmas, noise[i : i + 1]))


@pytest.mark.parametrize("rotation", [0.0, 30.0])
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_noise_stays_white(scale: tuple[float, float], rotation: float) -> None:
    """Over many draws every cell keeps unit variance, and no two cells have anything in common: each value occurs once."""
    edit = resize(block(32, 64, 40, 88), scale, rotation)
    draws = 400
    own, fresh = rand(1, draws, *LATENT, seed=3), rand(1, draws, *LATENT, seed=4)
    got = edit.place_noise(edit.fill_noise(own, own, fresh), own, None)[0].flatten(1)
    assert all(len(set(draw.tolist())) == draw.numel() for draw in got[:5])
    covariance = got.T @ got / draws
    assert float((covariance.diagonal() - 1).abs().max()) < 0.35
    off = covariance - covariance.diagonal().diag()
    assert float(off.abs().max()) < 0.3 and float(off.pow(2).mean().sqrt()) == pytest.approx(draws**-0.5, rel=0.05)


@pytest.mark.parametrize("scale", [0.5, 0.3])
def test_a_smaller_object_is_the_mean_of_what_it_was(scale: float) -> None:
    """Fine stripes go grey; sampled at single points they would come out as one of their colours."""
    edit = resize(block(24, 72, 40, 88), (scale, scale))
    stripes = torch.where(torch.arange(LATENT[1]) % 2 == 0, 1.0, -1.0).expand(1, 1, *LATENT)
    got = edit.place_latent(torch.full_like(stripes, 9.0), stripes, None)
    placed = got[got != 9.0]
    assert placed.numel() >= 1 and float(placed.abs().max()) < 0.5


def test_what_an_object_uncovers_is_filled() -> None:
    edit = resize(block(24, 72, 32, 96), (0.5, 0.5))
    clean = torch.zeros(1, 1, *LATENT)
    clean[..., 3:9, 4:12] = 1
    got = edit.place_latent(edit.fill_clean(clean), clean, None)
    assert (
        float(got[0, 0, 5:7, 6:10].min()) == 1 and float(got[0, 0, :4].abs().max()) < 1e-5 and float(got[0, 0, 3:9, 4].abs().max()) < 1e-5
    )


def test_swap_is_for_shifts() -> None:
    """Only a shift exchanges cells one by one; otherwise the old place gets fresh noise."""
    own, fresh = rand(1, 2, *LATENT, seed=5), rand(1, 2, *LATENT, seed=6)
    mask = block(32, 64, 40, 88)
    swap, noise = (resize(mask, (1.5, 1.5), start=start) for start in ("swap", "noise"))
    assert torch.equal(swap.fill_noise(own, own, fresh), noise.fill_noise(own, own, fresh))


def test_scale_1_is_a_move() -> None:
    own, fresh = rand(1, 2, *LATENT, seed=7), rand(1, 2, *LATENT, seed=8)
    mask = block(32, 64, 40, 88)
    still = resize(mask, (1.0, 1.0), shift=(16, 8))
    move = Move(mask, type(still.transform)(SIZE, (16, 8)), start="noise")
    torch.testing.assert_close(still.place_noise(own, fresh, None), move.place_noise(own, fresh, None))
    torch.testing.assert_close(still.place_latent(own, fresh, None), move.place_latent(own, fresh, None))


# Bad input


@pytest.mark.parametrize("scale", [(0.0, 1.0), (-1.0, -1.0), (1.0, -0.5)])
def test_scale_0_or_less(scale: tuple[float, float]) -> None:
    with pytest.raises(DragonError, match="use a scale above 0"):
        resize(block(32, 64, 40, 88), scale)


def test_empty_mask() -> None:
    with pytest.raises(DragonError, match="mask is empty"):
        resize(torch.zeros(1, *SIZE), (2.0, 2.0))


def test_smaller_than_a_cell() -> None:
    """It would vanish, silently."""
    edit = resize(block(32, 48, 40, 56), (0.1, 0.1))
    with pytest.raises(DragonError, match="less of the object than one cell of the latent: use a larger scale"):
        edit.place_latent(rand(1, 1, *LATENT, seed=9), rand(1, 1, *LATENT, seed=10), None)


def test_masks_and_centres_must_fit() -> None:
    one = resize(block(32, 64, 40, 88), (0.5, 0.5))
    with pytest.raises(DragonError, match="2 transforms for 1 masks"):
        Move(one.mask, type(one.transform)(SIZE, matrix=one.transform.matrix, centre=((1.0, 2.0), (3.0, 4.0))))
