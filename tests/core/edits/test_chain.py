"""Several edits in one run: regions as sets, energies as sums of loops over plain numbers, and the start latent of a chain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor

import tensors
from dragon_core.diffusion.features import Features, Views
from dragon_core.diffusion.guidance import Energies
from dragon_core.edits import chain
from dragon_core.edits.appearance import Appearance
from dragon_core.edits.base import Edit
from dragon_core.edits.chain import Layout
from dragon_core.edits.drag import drag
from dragon_core.edits.move import Move, MoveWeights, StartLatent
from dragon_core.edits.resize import resize
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp
from tensors import rand, s

#: A picture of 24 × 40 pixels; features of 6 × 10, 4 pixels a cell.
SIZE, GRID, CELL = (24, 40), (6, 10), 4
Cells = set[tuple[int, int]]


def block_mask(rows: range, columns: range, cell: int = CELL, size: tuple[int, int] = SIZE) -> Tensor:
    mask = torch.zeros(1, *size)
    mask[0, rows.start * cell : rows.stop * cell, columns.start * cell : columns.stop * cell] = 1
    return mask


features = partial(tensors.features, size=GRID)


def evaluate(edits: Sequence[Edit], generation: Features, reference: Features) -> Energies:
    size = (generation[0].shape[-2], generation[0].shape[-1])
    return chain.evaluate(Layout.of(edits, size), Views(generation, reference))


#: Towards each other: the left one goes 3 cells right and 1 down, the right one 4 left; each takes a part of the other's place.
LEFT: Cells = {(i, j) for i in range(1, 4) for j in range(1, 4)}
RIGHT: Cells = {(i, j) for i in range(2, 4) for j in range(6, 9)}
LEFT_BY, RIGHT_BY = (1, 3), (0, -4)
LEFT_WEIGHTS, RIGHT_WEIGHTS = MoveWeights(4.0, 6.0, 0.2, 0.8), MoveWeights(3.0, 7.0, 0.5, 0.4)


def moved(cells: Cells, by: tuple[int, int]) -> Cells:
    return {(i + by[0], j + by[1]) for i, j in cells}


def two_moves() -> list[Move]:
    return [
        Move(block_mask(range(1, 4), range(1, 4)), AffineWarp(SIZE, shift=(3 * CELL, CELL)), LEFT_WEIGHTS),
        Move(block_mask(range(2, 4), range(6, 9)), AffineWarp(SIZE, shift=(-4 * CELL, 0)), RIGHT_WEIGHTS),
    ]


def covered(mask: Tensor) -> Cells:
    assert float((mask - mask.round()).abs().max()) < 1e-4, "whole cells"
    return {(i, j) for i in range(mask.shape[-2]) for j in range(mask.shape[-1]) if float(mask[0, i, j]) > 0.5}


def mean_similarity(generation: Features, reference: Features, b: int, cells: Cells, by: tuple[int, int] = (0, 0)) -> float:
    pairs = list(zip(generation, reference, strict=True))
    found = [s(g[b, :, i, j].tolist(), r[b, :, i - by[0], j - by[1]].tolist()) for g, r in pairs for i, j in cells]
    return sum(found) / len(found)


def mean_vector(tap: Tensor, b: int, cells: Cells) -> list[float]:
    return [sum(float(tap[b, c, i, j]) for i, j in cells) / len(cells) for c in range(tap.shape[1])]


def test_masks_of_two_moves_towards_each_other() -> None:
    """Guided as an edit: both targets. Noised by SDE: both sources and both targets."""
    moves = two_moves()
    targets = moved(LEFT, LEFT_BY) | moved(RIGHT, RIGHT_BY)
    assert covered(Layout.of(moves, GRID).edit_mask) == targets
    assert covered(Layout.of(moves, GRID).support) == LEFT | RIGHT | targets
    assert covered(Layout.of(moves[:1], GRID).edit_mask) == moved(LEFT, LEFT_BY)


def test_energies_of_two_moves_towards_each_other_by_loops() -> None:
    """Edit: one term each. Content: what neither touches, at the larger weight. Repair: each its own place less *both* targets,
    filled from what neither touches, one cell around.
    """
    generation, reference = features(1), features(2)
    got = evaluate(two_moves(), generation, reference)
    targets = moved(LEFT, LEFT_BY) | moved(RIGHT, RIGHT_BY)
    rest = {(i, j) for i in range(GRID[0]) for j in range(GRID[1])} - LEFT - RIGHT - targets
    assert LEFT & moved(RIGHT, RIGHT_BY), "one takes a part of the other's place"
    for b in range(2):
        edit = content = 0.0
        for source, by, weights in ((LEFT, LEFT_BY, LEFT_WEIGHTS), (RIGHT, RIGHT_BY, RIGHT_WEIGHTS)):
            edit += weights.edit / (1 + 4 * mean_similarity(generation, reference, b, moved(source, by), by))
            vacated = source - targets
            content += weights.contrast * mean_similarity(generation, reference, b, vacated)
            fill = {(i, j) for i, j in rest if any(max(abs(i - k), abs(j - m)) == 1 for k, m in vacated)}
            looks = [s(mean_vector(g, b, vacated), mean_vector(r, b, fill)) for g, r in zip(generation, reference, strict=True)]
            content += weights.inpaint / (1 + 4 * sum(looks) / 2)
        content += 7.0 / (1 + 4 * mean_similarity(generation, reference, b, rest))
        assert float(got.edit[b]) == pytest.approx(edit, rel=1e-5)
        assert float(got.content[b]) == pytest.approx(content, rel=1e-5)
        assert float(got.total[b]) == pytest.approx(edit + content, rel=1e-5)


def test_order_of_the_chain_does_not_matter_to_the_energies() -> None:
    generation, reference, moves = features(3), features(4), two_moves()
    one, other = evaluate(moves, generation, reference), evaluate(moves[::-1], generation, reference)
    torch.testing.assert_close(one.edit, other.edit)
    torch.testing.assert_close(one.content, other.content)


def test_what_weighs_nothing_costs_no_backward_pass() -> None:
    """A gradient of zeros would take a second way back through the model at every guided step."""
    generation = tuple(f.requires_grad_() for f in features(1))
    for weights, content in ((MoveWeights(4.0, 0.0, 0.0, 0.0), False), (MoveWeights(4.0, 0.0, 0.2, 0.0), True)):
        energies = evaluate([Move(block_mask(range(1, 4), range(1, 4)), AffineWarp(SIZE, shift=(12, 4)), weights)], generation, features(2))
        assert energies.edit.requires_grad
        assert energies.content.requires_grad is content


def test_pictures_of_a_batch_do_not_mix() -> None:
    generation, reference = features(5), features(6)
    both = evaluate(two_moves(), generation, reference)
    for b in range(2):
        alone = evaluate(two_moves(), tuple(f[b : b + 1] for f in generation), tuple(f[b : b + 1] for f in reference))
        torch.testing.assert_close(both.edit[b : b + 1], alone.edit)
        torch.testing.assert_close(both.content[b : b + 1], alone.content)


@pytest.mark.parametrize("count", [1, 2])
def test_gradcheck(count: int) -> None:
    """Both parts, with respect to the generation's features, through regions, warp and all four energies; soft cells of 8 pixels."""
    generation, reference = ((rand(1, 2, 3, 5, seed=seed), rand(1, 3, 3, 5, seed=seed + 100)) for seed in (7, 8))

    def energies(*taps: Tensor) -> tuple[Tensor, Tensor]:
        got = evaluate(two_moves()[:count], taps, reference)
        return got.edit, got.content

    assert torch.autograd.gradcheck(energies, tuple(f.requires_grad_() for f in generation))


def test_where_each_part_pulls() -> None:
    """The edit part acts on target cells alone, the content part on everything but the targets, for sharp masks."""
    generation = tuple(f.requires_grad_() for f in features(9))
    got = evaluate(two_moves(), generation, features(10))
    targets = moved(LEFT, LEFT_BY) | moved(RIGHT, RIGHT_BY)
    everywhere = {(i, j) for i in range(GRID[0]) for j in range(GRID[1])}
    for part, acting in ((got.edit, targets), (got.content, everywhere - targets)):
        for slope in torch.autograd.grad(part.sum(), generation, retain_graph=True):
            size = slope.abs().sum((0, 1))
            quietest = min(float(size[i, j]) for i, j in acting)
            loudest = max(float(size[i, j]) for i, j in everywhere - acting)
            assert loudest < 1e-3 * quietest


# Start latent. One cell of 8 pixels: latent 3 × 5.


def latents() -> tuple[Tensor, Tensor]:
    return rand(1, 2, 3, 5, seed=11), rand(1, 2, 3, 5, seed=12)


def start_latent(edits: list[Move], latent: Tensor, noise: Tensor) -> Tensor:
    """The path's noisiest level over an empty picture, at sigma 1: all of it is noise."""
    return chain.edited_path(edits, torch.stack((latent, torch.zeros_like(latent))), torch.tensor([1.0, 0.0]), noise)[0]


def test_start_latent_of_moves_apart_from_each_other() -> None:
    """Down from the top left, up from the bottom right; both vacated cells noise, both objects at their places."""
    moves = [
        Move(block_mask(range(1), range(1), 8), AffineWarp(SIZE, shift=(0, 16)), start="noise"),
        Move(block_mask(range(2, 3), range(4, 5), 8), AffineWarp(SIZE, shift=(0, -16)), start="noise"),
    ]
    latent, noise = latents()
    expected = latent.clone()
    expected[:, :, 2, 0], expected[:, :, 0, 4] = latent[:, :, 0, 0], latent[:, :, 2, 4]
    expected[:, :, 0, 0], expected[:, :, 2, 4] = noise[:, :, 0, 0], noise[:, :, 2, 4]
    assert torch.equal(start_latent(moves, latent, noise), expected)


@pytest.mark.parametrize("how", ["noise", "swap", "keep"])
def test_start_latent_of_two_objects_that_change_places(how: StartLatent) -> None:
    """Both must arrive: filling the second one's old place may not wipe out the first, which has just come there."""
    left, right = block_mask(range(1, 2), range(1), 8), block_mask(range(1, 2), range(3, 4), 8)
    moves = [Move(left, AffineWarp(SIZE, shift=(24, 0)), start=how), Move(right, AffineWarp(SIZE, shift=(-24, 0)), start=how)]
    latent, noise = latents()
    expected = latent.clone()
    expected[:, :, 1, 0], expected[:, :, 1, 3] = latent[:, :, 1, 3], latent[:, :, 1, 0]
    assert torch.equal(start_latent(moves, latent, noise), expected)
    assert torch.equal(start_latent(moves[::-1], latent, noise), expected)


def test_start_latent_of_no_edits_is_the_latent() -> None:
    latent, noise = latents()
    assert torch.equal(start_latent([], latent, noise), latent)


#: With room round the objects for what they stand before: 96 × 128 pixels, a latent of 12 × 16 cells.
WIDE, WIDE_LATENT = (96, 128), (12, 16)


def wide_move(cells: Cells, by: tuple[int, int], how: StartLatent) -> Move:
    """A block of cells of the wide latent goes ``by`` (down, right) cells."""
    rows, columns = ({cell[axis] for cell in cells} for axis in (0, 1))
    mask = block_mask(range(min(rows), max(rows) + 1), range(min(columns), max(columns) + 1), 8, WIDE)
    return Move(mask, AffineWarp(WIDE, shift=(8 * by[1], 8 * by[0])), start=how)


def coloured(cells: Cells) -> Cells:
    """The cells of the wide latent that an object fills, and those beside them, which an encoder has coloured with it."""
    near = {(i + di, j + dj) for i, j in cells for di in (-1, 0, 1) for dj in (-1, 0, 1)}
    return {(i, j) for i, j in near if 0 <= i < WIDE_LATENT[0] and 0 <= j < WIDE_LATENT[1]}


def before_stripes(objects: Sequence[Cells], levels: int, seed: int) -> tuple[Tensor, Tensor]:
    """A path (levels, B, 2, 12, 16) whose clean end shows upright stripes (B, 2, 12, 16), and what each picture's objects colour."""
    path = rand(levels, len(objects), 2, *WIDE_LATENT, seed=seed)
    stripes = rand(len(objects), 2, 1, WIDE_LATENT[1], seed=seed + 50).expand(path.shape[1:])
    for b, own in enumerate(objects):
        for i, j in {(i, j) for i in range(WIDE_LATENT[0]) for j in range(WIDE_LATENT[1])} - coloured(own):
            path[-1, b, :, i, j] = stripes[b, :, i, j]
    return path, stripes


def test_edited_path_moves_every_level() -> None:
    """By whole cells: the object's cells of each level lie at the target; its old place is what it stood before, under fresh noise of
    the level's strength; so is what it coloured beside, under the trajectory's own noise; all else is the trajectory.
    """
    path, stripes = before_stripes([{(5, 6)}] * 3, 4, seed=13)
    sigmas, noise = torch.tensor([5.0, 2.0, 0.5, 0.0], dtype=torch.float64), rand(*path.shape[1:], seed=14)
    got = chain.edited_path([wide_move({(5, 6)}, (2, 4), "noise")], path, sigmas, noise)
    assert got.shape == path.shape
    for k, sigma in enumerate(sigmas.tolist()):
        expected = path[k].clone()
        for i, j in coloured({(5, 6)}):
            expected[:, :, i, j] = stripes[:, :, i, j] + path[k][:, :, i, j] - path[-1][:, :, i, j]
        expected[:, :, 7, 10] = path[k][:, :, 5, 6]
        expected[:, :, 5, 6] = stripes[:, :, 5, 6] + sigma * noise[:, :, 5, 6]
        torch.testing.assert_close(got[k], expected)
        still = torch.ones(WIDE_LATENT, dtype=torch.bool)
        still[4:7, 5:8] = still[7, 10] = False
        assert torch.equal(got[k][:, :, still], path[k][:, :, still])


@pytest.mark.parametrize("how", get_args(StartLatent))
def test_residual_goes_with_what_is_moved(how: StartLatent) -> None:
    """By whole cells; nothing stays where it was, unless the path keeps it there; where the path is not edited, none of either place."""
    move, missing = wide_move({(5, 6)}, (2, 4), how), rand(3, 2, *WIDE_LATENT, seed=60)
    got = chain.edited_residual(Layout.of([move], WIDE_LATENT), missing)
    expected = missing.clone()
    if how == "off":
        expected[:, :, 5, 6] = expected[:, :, 7, 10] = 0
    else:
        expected[:, :, 7, 10] = missing[:, :, 5, 6]
        expected[:, :, 5, 6] = missing[:, :, 5, 6] if how == "keep" else 0
    torch.testing.assert_close(got, expected)


def test_residual_of_an_enlarged_object_stays_white() -> None:
    """Each value of it is there at most once, and none beside another of the same: repeated, it would show as blocks."""
    mask = block_mask(range(2, 6), range(2, 6), 8, (96, 128))
    move = Move(mask, AffineWarp((96, 128), matrix=((2.0, 0.0), (0.0, 2.0)), centre=(32.0, 32.0)), start="noise")
    missing = rand(1, 1, 12, 16, seed=61)
    got = chain.edited_residual(Layout.of([move], (12, 16)), missing)
    values = got[got != 0].tolist()
    assert len(values) == len(set(values)) > 100


def test_edited_path_between_cells_keeps_the_spread_of_the_noise() -> None:
    """Half a cell: the clean part is interpolated, the noise on it carried over cell by cell, at one level as at another."""
    moves = [Move(block_mask(range(1, 2), range(1, 3), 8), AffineWarp(SIZE, shift=(4, 0)), start="keep")]
    clean, noise = rand(1, 2, 3, 5, seed=15), rand(1, 2, 3, 5, seed=16)
    sigmas = torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64)
    path = torch.stack([clean + sigma * noise for sigma in sigmas.tolist()])
    got = chain.edited_path(moves, path, sigmas, rand(1, 2, 3, 5, seed=17))
    torch.testing.assert_close(got[-1][:, :, 1, 2], (clean[:, :, 1, 1] + clean[:, :, 1, 2]) / 2)
    for k, sigma in enumerate(sigmas[:-1].tolist()):
        carried = ((got[k] - got[-1]) / sigma)[0]
        for c in range(2):
            for i in range(3):
                for j in range(5):
                    assert min(abs(float(carried[c, i, j]) - value) for value in noise[0, c].flatten().tolist()) < 1e-9


def test_edited_path_of_an_edit_that_leaves_the_start_alone_is_the_trajectory() -> None:
    moves = [Move(block_mask(range(1, 2), range(1, 2), 8), AffineWarp(SIZE, shift=(16, 8)), start="off")]
    path = rand(3, 1, 2, 3, 5, seed=18)
    got = chain.edited_path(moves, path, torch.tensor([5.0, 2.0, 0.0], dtype=torch.float64), rand(1, 2, 3, 5, seed=19))
    torch.testing.assert_close(got, path)


@pytest.mark.parametrize("how", ["noise", "swap"])
def test_edited_path_of_two_that_change_places_has_both_at_every_level(how: StartLatent) -> None:
    """What the second one clears is not what the first has just put there: clean part and noise, from the first level to the last."""
    left, right = {(5, 3)}, {(5, 11)}
    moves = [wide_move(left, (0, 8), how), wide_move(right, (0, -8), how)]
    sigmas = torch.tensor([5.0, 2.0, 0.0], dtype=torch.float64)
    path, stripes = before_stripes([left | right], 3, seed=20)
    noise = rand(*path.shape[1:], seed=21)
    expected = path.clone()
    for i, j in coloured(left | right):
        expected[..., i, j] = stripes[..., i, j] + path[..., i, j] - path[-1, ..., i, j]
    expected[..., 5, 3], expected[..., 5, 11] = path[..., 5, 11], path[..., 5, 3]
    torch.testing.assert_close(chain.edited_path(moves, path, sigmas, noise), expected)
    torch.testing.assert_close(chain.edited_path(moves[::-1], path, sigmas, noise), expected)


@pytest.mark.parametrize("how", ["noise", "swap"])
def test_edited_path_of_two_in_a_row_has_both_at_every_level(how: StartLatent) -> None:
    """The first goes where the second was, and the second on: only the first one's old place is filled, whatever was in it."""
    first, second = {(5, 3)}, {(5, 8)}
    moves = [wide_move(cells, (0, 5), how) for cells in (first, second)]
    sigmas = torch.tensor([3.0, 0.0], dtype=torch.float64)
    path, stripes = before_stripes([first | second], 2, seed=22)
    noise = rand(*path.shape[1:], seed=23)
    for edits in (moves, moves[::-1]):
        got = chain.edited_path(edits, path, sigmas, noise)
        torch.testing.assert_close(got[..., 5, 8], path[..., 5, 3])
        torch.testing.assert_close(got[..., 5, 13], path[..., 5, 8])
        torch.testing.assert_close(got[-1][..., 5, 3], stripes[..., 5, 3])
        if how == "noise":
            torch.testing.assert_close(got[0][..., 5, 3], stripes[..., 5, 3] + 3 * noise[..., 5, 3])
        beside = coloured(first | second) - first - second
        for i, j in beside:
            torch.testing.assert_close(got[..., i, j], stripes[..., i, j] + path[..., i, j] - path[-1, ..., i, j])
        still = torch.ones(WIDE_LATENT, dtype=torch.bool)
        for i, j in beside | {(5, 3), (5, 8), (5, 13)}:
            still[i, j] = False
        assert torch.equal(got[..., still], path[..., still])
    other = path.clone()
    other[..., 5, 3] += 50
    changed = chain.edited_path(moves, other, sigmas, noise)
    torch.testing.assert_close(changed[-1][..., 5, 3], chain.edited_path(moves, path, sigmas, noise)[-1][..., 5, 3])


@pytest.mark.parametrize("how", get_args(StartLatent))
def test_edited_path_of_an_enlarged_and_turned_object_is_whole_at_the_frame(how: StartLatent) -> None:
    """Cells whose origin lies beyond the frame stay: a picture of one tone under noise of one size stays that, to the edge."""
    turn = math.pi / 4
    matrix = ((1.5 * math.cos(turn), -1.5 * math.sin(turn)), (1.5 * math.sin(turn), 1.5 * math.cos(turn)))
    move = Move(block_mask(range(3), range(4), 8), AffineWarp(SIZE, matrix=matrix, centre=(4.0, 20.0)), start=how)
    sigmas = torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)
    signs = rand(1, 2, 3, 5, seed=24).sign()
    path = torch.stack([2 + sigma * signs for sigma in sigmas.tolist()])
    got = chain.edited_path([move], path, sigmas, rand(1, 2, 3, 5, seed=25).sign())
    for k, sigma in enumerate(sigmas.tolist()):
        torch.testing.assert_close((got[k] - 2).abs(), torch.full_like(got[k], sigma))


@pytest.mark.parametrize("how", get_args(StartLatent))
def test_edited_path_by_loops(how: StartLatent) -> None:
    """A shift by whole cells, with old and new place overlapping, partly out of the frame, two pictures with a mask each."""
    objects: list[Cells] = [{(i, j) for i in (0, 1) for j in (12, 13, 14)}, {(i, j) for i in (5, 6) for j in (6, 7, 8)}]
    masks = torch.cat([wide_move(own, (0, 0), how).mask for own in objects])
    sigmas = torch.tensor([4.0, 1.5, 0.0], dtype=torch.float64)
    path, stripes = before_stripes(objects, 3, seed=26)
    noise = rand(*path.shape[1:], seed=27)
    got = chain.edited_path([Move(masks, AffineWarp(WIDE, shift=(16, 8)), start=how)], path, sigmas, noise)
    h, w = WIDE_LATENT
    for b, own in enumerate(objects):
        assert own & moved(own, (1, 2)), "the places overlap"
        for k, sigma in enumerate(sigmas.tolist()):
            for i in range(h):
                for j in range(w):
                    expected = path[k, b, :, i, j]
                    if how != "off" and (i - 1, j - 2) in own:
                        expected = path[k, b, :, i - 1, j - 2]
                    elif how in ("noise", "swap") and (i, j) in own:
                        on_top = sigma * noise[b, :, i, j]
                        beyond = [(i + n, j + 2 * n) for n in range(1, 9) if i + n < h and j + 2 * n < w and (i + n, j + 2 * n) not in own]
                        if how == "swap" and beyond:
                            on_top = path[k, b, :, beyond[0][0], beyond[0][1]] - path[-1, b, :, beyond[0][0], beyond[0][1]]
                        expected = stripes[b, :, i, j] + on_top
                    elif how in ("noise", "swap") and (i, j) in coloured(own):
                        expected = stripes[b, :, i, j] + path[k, b, :, i, j] - path[-1, b, :, i, j]
                    torch.testing.assert_close(got[k, b, :, i, j], expected)


# Fit


@pytest.mark.parametrize(("image_size", "cell"), [((24, 40), 8), ((24, 40), 4), ((16, 32), 16)])
def test_edit_of_the_pictures_size_fits(image_size: tuple[int, int], cell: int) -> None:
    """Pixels beyond the last whole cell were cropped by the VAE."""
    chain.check_fit(two_moves(), image_size, cell)


def test_edit_for_another_picture_is_refused_with_both_sizes() -> None:
    for size in ((40, 24), (24, 48), (32, 40), (48, 80)):
        said = rf"mask is 40×24 pixels but the picture is {size[1]}×{size[0]}: use a mask of the picture's size"
        with pytest.raises(DragonError, match=said):
            chain.check_fit(two_moves(), size, 8)


def test_every_edit_of_the_chain_is_checked() -> None:
    other = torch.zeros(1, 64, 64)
    other[:, 8:16, 8:16] = 1
    with pytest.raises(DragonError, match="64×64"):
        chain.check_fit([*two_moves(), Move(other, AffineWarp((64, 64), shift=(8, 0)))], (24, 40), 8)


def test_colours_are_known_where_the_last_edit_to_put_something_knows_them() -> None:
    left, right = (s_.target for s_ in Layout.of(two_moves(), GRID).own)
    recolour = Appearance(block_mask(range(2, 4), range(5, 7)), block_mask(range(2), range(2)))
    new = recolour.regions(GRID).target
    assert bool((new * torch.maximum(left, right)).any())
    expected = torch.maximum(left, right)
    torch.testing.assert_close(Layout.of(two_moves(), GRID).coloured, expected)
    torch.testing.assert_close(Layout.of([*two_moves(), recolour], GRID).coloured, expected * (1 - new))
    torch.testing.assert_close(Layout.of([recolour, *two_moves()], GRID).coloured, expected)
    assert not bool(Layout.of([recolour], GRID).coloured.any())


def test_what_shrinks_in_its_place() -> None:
    """Not what grows, moves away as it shrinks, or moves as it is."""
    mask = block_mask(range(1, 5), range(2, 6))
    shrinks = {
        "smaller": resize(mask, (0.6, 0.6)),
        "a little smaller": resize(mask, (0.95, 0.95)),
        "larger": resize(mask, (1.4, 1.4)),
        "smaller, elsewhere": resize(mask, (0.6, 0.6), shift=(16, 0)),
        "moved": Move(mask, AffineWarp(SIZE, shift=(4, 0))),
        "dragged together": drag([((8, 12), (12, 12)), ((24, 12), (20, 12))], SIZE, mask, "object"),
        "dragged": drag([((16, 12), (20, 12))], SIZE, mask, "object"),
        "recoloured": Appearance(mask, mask),
    }
    assert [name for name, edit in shrinks.items() if edit.shrinks] == ["smaller", "dragged together"]
