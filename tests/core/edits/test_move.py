"""The move edit: its regions and energies put together, its start latent cell by cell, and the input it refuses."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor

import tensors
from dragon_core.diffusion.features import Views
from dragon_core.edits.move import Move, MoveWeights, StartLatent
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp
from dragon_core.imaging.masks import Regions
from dragon_core.imaging.patch_fill import patch_fill
from tensors import rand, s

#: A picture of 32 × 48 pixels: latent 4 × 6 (8 pixels a cell), features 8 × 12 (4 pixels a cell).
SIZE, LATENT, GRID = (32, 48), (4, 6), (8, 12)
#: Room round an object for what it stands before: a picture of 96 × 128 pixels, latent 12 × 16.
WIDE, WIDE_LATENT = (96, 128), (12, 16)


def block(top: int, bottom: int, left: int, right: int, size: tuple[int, int] = SIZE) -> Tensor:
    mask = torch.zeros(1, *size)
    mask[0, top:bottom, left:right] = 1
    return mask


def shift(dx: float, dy: float) -> AffineWarp:
    return AffineWarp(SIZE, shift=(dx, dy))


features = partial(tensors.features, size=GRID)


def mean(vectors: list[list[float]]) -> list[float]:
    return [sum(column) / len(column) for column in zip(*vectors, strict=True)]


# Regions and energies


def test_regions_of_a_whole_cell_move() -> None:
    regions = Move(block(8, 16, 8, 24), shift(8, 4)).regions(GRID)
    source = {(i, j) for i in (2, 3) for j in range(2, 6)}
    for i in range(8):
        for j in range(12):
            assert float(regions.source[0, i, j]) == float((i, j) in source)
            assert float(regions.target[0, i, j]) == pytest.approx(float((i - 1, j - 2) in source), abs=1e-5)


def test_the_four_energies_by_loops() -> None:
    """Edit over the target; contrast and inpaint over what is vacated and not taken by any edit; fill from the common rest beside it."""
    move = Move(block(8, 16, 8, 24), shift(8, 4), MoveWeights(edit=4.0, content=6.0, contrast=0.3, inpaint=0.9))
    generation, reference, own = features(1), features(2), move.regions(GRID)
    other = Regions(torch.zeros(1, *GRID), torch.zeros(1, *GRID))
    other.source[:, 6:8, 6:8], other.target[:, 2, 2] = 1, 1
    combined = own.union(other)
    source = {(i, j) for i in (2, 3) for j in range(2, 6)}
    target = {(i + 1, j + 2) for i, j in source}
    vacated = source - target - {(2, 2)}
    rest = {(i, j) for i in range(8) for j in range(12)} - source - target - {(i, j) for i in (6, 7) for j in (6, 7)} - {(2, 2)}
    fill = {(i, j) for i, j in rest if any(max(abs(i - k), abs(j - m)) == 1 for k, m in vacated)}
    assert fill < rest
    edit = move.edit_energy(Views(generation, reference), own)
    repair = move.background_energy(Views(generation, reference), own, combined)
    for b in range(2):
        pairs = list(zip(generation, reference, strict=True))
        pull = sum(s(g[b, :, i, j].tolist(), r[b, :, i - 1, j - 2].tolist()) for g, r in pairs for i, j in target) / (2 * len(target))
        assert float(edit[b]) == pytest.approx(4 / (1 + 4 * pull), rel=1e-5)
        stay = sum(s(g[b, :, i, j].tolist(), r[b, :, i, j].tolist()) for g, r in pairs for i, j in vacated) / (2 * len(vacated))
        look = [s(mean([g[b, :, i, j].tolist() for i, j in vacated]), mean([r[b, :, i, j].tolist() for i, j in fill])) for g, r in pairs]
        assert float(repair[b]) == pytest.approx(0.3 * stay + 0.9 / (1 + 4 * sum(look) / 2), rel=1e-5)


def test_weight_0_switches_each_term_off() -> None:
    generation, reference = features(3), features(4)
    move = Move(block(8, 16, 8, 24), shift(8, 4), MoveWeights(edit=0, content=0, contrast=0, inpaint=0))
    own = move.regions(GRID)
    assert move.edit_energy(Views(generation, reference), own).tolist() == [0, 0]
    assert move.background_energy(Views(generation, reference), own, own).tolist() == [0, 0]
    assert move.content_weight == 0


def test_what_an_edit_says_of_itself() -> None:
    move = Move(block(8, 16, 8, 24), shift(8, 4), MoveWeights(content=7.0))
    assert move.image_size == SIZE
    assert move.content_weight == 7.0
    assert (MoveWeights().edit, MoveWeights().content, MoveWeights().contrast, MoveWeights().inpaint) == (4.0, 6.0, 0.2, 0.8)


def test_an_unmoved_object_vacates_nothing() -> None:
    move = Move(block(8, 16, 8, 24), shift(0, 0))
    own = move.regions(GRID)
    torch.testing.assert_close(own.source, own.target)
    assert move.background_energy(Views(features(5), features(6)), own, own).abs().max() < 1e-4


# Edited latents: the noise part, then the clean part


def noise_of(move: Move, original: Tensor, fresh: Tensor) -> Tensor:
    return move.place_noise(move.fill_noise(original, original, fresh), original, None)


def clean_of(move: Move, clean: Tensor) -> Tensor:
    return move.place_latent(move.fill_clean(clean), clean, None)


def start_by_hand(mask: Tensor, dx: int, dy: int, how: str, original: Tensor, noise: Tensor) -> list[list[float]]:
    """One channel, shift of whole cells: a cell counts as covered when more than 0.4 of its pixels are.

    "swap" takes what lies one shift on, or two, or more: the first place in the picture that is not the object's.
    """
    covered = [
        [sum(float(mask[0, 8 * i + y, 8 * j + x]) for y in range(8) for x in range(8)) > 0.4 * 64 for j in range(6)] for i in range(4)
    ]
    right, down = dx // 8, dy // 8
    out = [[0.0] * 6 for _ in range(4)]
    for i in range(4):
        for j in range(6):
            out[i][j] = float(original[i, j])
            if how == "off":
                continue
            if covered[i][j] and how != "keep":
                out[i][j] = float(noise[i, j])
                hops = [(i + n * down, j + n * right) for n in range(1, 9)] if how == "swap" else []
                free = [(k, m) for k, m in hops if 0 <= k < 4 and 0 <= m < 6 and not covered[k][m]]
                if free:
                    out[i][j] = float(original[free[0]])
            if 0 <= i - down < 4 and 0 <= j - right < 6 and covered[i - down][j - right]:
                out[i][j] = float(original[i - down, j - right])
    return out


@pytest.mark.parametrize("how", get_args(StartLatent))
@pytest.mark.parametrize(("dx", "dy"), [(16, 0), (8, 0), (-8, 0), (8, 8), (-8, 16), (24, -8)])
def test_start_latent_cell_by_cell(how: StartLatent, dx: int, dy: int) -> None:
    """The mask's edges lie inside cells, on both sides of the 0.4; the targets overlap the source or lie apart from it."""
    mask = block(10, 19, 8, 21)
    original, noise = rand(2, 3, *LATENT, seed=1), rand(2, 3, *LATENT, seed=2)
    before = original.clone()
    got = noise_of(Move(mask, shift(dx, dy), start=how), original, noise)
    for b in range(2):
        for c in range(3):
            assert got[b, c].tolist() == start_by_hand(mask, dx, dy, how, original[b, c], noise[b, c])
    assert torch.equal(original, before)


def test_start_latent_off_is_the_latent_itself() -> None:
    latent, other = rand(1, 2, *LATENT, seed=3), rand(1, 2, *LATENT, seed=4)
    move = Move(block(8, 16, 8, 24), shift(8, 4), start="off")
    assert move.fill_noise(latent, other, other) is latent and move.fill_clean(latent) is latent
    assert move.place_noise(latent, other, None) is latent


def test_a_cell_joins_the_edit_from_two_fifths_on() -> None:
    """Three of eight pixel columns are too few, four are enough."""
    original, noise = rand(1, 1, *LATENT, seed=5), rand(1, 1, *LATENT, seed=6)
    for columns, joined in ((3, False), (4, True)):
        got = noise_of(Move(block(8, 16, 8, 16 + columns), shift(0, 8), start="noise"), original, noise)
        assert (float(got[0, 0, 1, 2]) == float(noise[0, 0, 1, 2])) is joined


EDGES = {
    "right edge, half a cell left": (block(8, 24, 32, 48), -4, 0),
    "left edge, half a cell right": (block(8, 24, 0, 16), 4, 0),
    "bottom edge, half a cell up": (block(16, 32, 8, 24), 0, -4),
    "top edge, half a cell down": (block(0, 16, 8, 24), 0, 4),
    "partly out to the right": (block(8, 24, 8, 40), 20, 0),
    "partly out at the bottom": (block(0, 24, 16, 32), 0, 20),
}


@pytest.mark.parametrize("how", get_args(StartLatent))
@pytest.mark.parametrize("name", EDGES)
def test_no_cell_of_the_start_is_left_without_noise(name: str, how: StartLatent) -> None:
    """Sampling starts at the noisiest level: a cell of zeros there is no sample of anything. Every cell must hold a cell of the
    trajectory's latent or of the fresh noise, also where the transform looks outside the frame.
    """
    mask, dx, dy = EDGES[name]
    original, noise = rand(1, 1, *LATENT, seed=7), rand(1, 1, *LATENT, seed=8)
    got = noise_of(Move(mask, shift(dx, dy), start=how), original, noise)
    allowed = set(original.flatten().tolist()) | set(noise.flatten().tolist())
    empty = [(i, j) for i in range(4) for j in range(6) if float(got[0, 0, i, j]) not in allowed]
    assert empty == []


@pytest.mark.parametrize("how", get_args(StartLatent))
@pytest.mark.parametrize("name", EDGES)
def test_an_even_picture_stays_even_when_moved_between_cells(name: str, how: StartLatent) -> None:
    """Interpolated, as the clean part is: the emptiness outside the frame may not bleed in."""
    mask, dx, dy = EDGES[name]
    even = torch.full((1, 1, *LATENT), 3.0)
    got = clean_of(Move(mask, shift(dx, dy), start=how), even)
    assert (got[0, 0] - even[0, 0]).abs().max() < 1e-4


def before_stripes(rows: range, columns: range, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A clean latent of upright stripes with something else in those cells; the stripes without it; 1 where it is not."""
    stripes = rand(1, 2, 1, WIDE_LATENT[1], seed=seed).expand(1, 2, *WIDE_LATENT)
    free = torch.ones(1, 1, *WIDE_LATENT, dtype=torch.float64)
    free[..., rows.start : rows.stop, columns.start : columns.stop] = 0
    return torch.where(free > 0, stripes, rand(1, 2, *WIDE_LATENT, seed=seed + 50)), stripes, free


@pytest.mark.parametrize("how", ["swap", "noise", "keep"])
def test_clean_part_moves_by_half_a_cell(how: StartLatent) -> None:
    """Cells 6 and 7 of row 5 move 4 pixels right: each covered cell gets the mean of itself and its left neighbour. The stripes behind
    go on through the other cells that the object fills or colours, unless these are to stay.
    """
    clean, stripes, free = before_stripes(range(4, 7), range(5, 9), seed=9)
    got = clean_of(Move(block(40, 48, 48, 64, WIDE), AffineWarp(WIDE, shift=(4, 0)), start=how), clean)
    placed = torch.zeros(1, 1, *WIDE_LATENT, dtype=torch.bool)
    placed[..., 5, 6:9] = True
    for j in (6, 7, 8):
        torch.testing.assert_close(got[..., 5, j], (clean[..., 5, j - 1] + clean[..., 5, j]) / 2)
    cleared = ((free == 0) & ~placed).expand_as(got)
    assert torch.equal(got[(free > 0).expand_as(got)], clean[(free > 0).expand_as(got)])
    if how == "keep":
        assert torch.equal(got[cleared], clean[cleared])
    else:
        torch.testing.assert_close(got[cleared], stripes[cleared])


@pytest.mark.parametrize("how", ["swap", "noise"])
def test_every_cell_the_object_touches_and_those_beside_are_filled_from_the_others(how: StartLatent) -> None:
    """Also cells too little covered to move, and those that the object's edge has coloured: a rim of it would be left. What the
    object was does not show: what it stood before goes on.
    """
    move = Move(block(46, 58, 48, 57, WIDE), AffineWarp(WIDE, shift=(24, 0)), start=how)
    clean, stripes, known = before_stripes(range(4, 9), range(5, 9), seed=11)  # touched: rows 5 to 7, columns 6 and 7
    got = move.fill_clean(clean)
    torch.testing.assert_close(got, stripes)
    assert torch.equal(got, patch_fill(clean, known))
    assert torch.equal(got[known.expand_as(got) > 0], clean[known.expand_as(got) > 0])
    other = torch.where(known > 0, clean, 50 + clean)
    assert torch.equal(move.fill_clean(other), got)


@pytest.mark.parametrize("how", ["swap", "noise"])
def test_what_is_filled_is_those_cells_and_no_others(how: StartLatent) -> None:
    """Nothing but noise around: no cell is by chance what would be filled in."""
    clean = rand(1, 2, *WIDE_LATENT, seed=13)
    got = Move(block(46, 58, 48, 57, WIDE), AffineWarp(WIDE, shift=(24, 0)), start=how).fill_clean(clean)
    changed = {tuple(cell) for cell in (got != clean).any(1)[0].nonzero().tolist()}
    assert changed == {(i, j) for i in range(4, 9) for j in range(5, 9)}


def test_at_the_frame_there_are_no_cells_beside() -> None:
    """The corner's own cell and its three neighbours."""
    clean = rand(1, 2, *WIDE_LATENT, seed=14)
    got = Move(block(88, 96, 120, 128, WIDE), AffineWarp(WIDE, shift=(-24, 0)), start="noise").fill_clean(clean)
    changed = {tuple(cell) for cell in (got != clean).any(1)[0].nonzero().tolist()}
    assert changed == {(i, j) for i in (10, 11) for j in (14, 15)}


def test_in_a_picture_of_pixels_the_soft_edge_is_cleared() -> None:
    """Three pixels beside the object go with it."""
    picture = torch.rand(1, 3, *WIDE, generator=torch.Generator().manual_seed(15))
    got = Move(block(40, 52, 48, 60, WIDE), AffineWarp(WIDE, shift=(24, 0)), start="noise").fill_clean(picture)
    changed = (got != picture).any(1)[0].nonzero()
    assert changed.min(0).values.tolist() == [37, 45] and changed.max(0).values.tolist() == [54, 62] and len(changed) == 18 * 18


def test_a_faint_tone_all_over_the_mask_does_not_wipe_the_picture() -> None:
    """A mask from a blur or a JPEG is seldom exactly black: 1/255 everywhere is no object."""
    clean = rand(1, 2, *LATENT, seed=12)
    got = Move(block(8, 16, 8, 24).clamp(min=1 / 255), shift(24, 0)).fill_clean(clean)
    torch.testing.assert_close(got[:, :, 3], clean[:, :, 3])


def test_an_edit_for_more_rows_repeats_its_masks() -> None:
    """Rows are [row 0's pictures, row 1's pictures]; a single mask serves all."""
    first, second = block(8, 16, 8, 24), block(16, 24, 8, 24)
    cpu = torch.device("cpu")
    for masks, repeats, expected in (
        ([first], 2, [first]),
        ([first, second], 1, [first, second]),
        ([first, second], 2, [first, second, first, second]),
    ):
        got = Move(torch.cat(masks), shift(8, 0)).on(cpu, repeats)
        assert torch.equal(got.mask, torch.cat(expected)) and got.transform == shift(8, 0)


# Bad input


def test_empty_mask() -> None:
    with pytest.raises(DragonError, match="mask is empty: paint over the object"):
        Move(torch.zeros(1, *SIZE), shift(8, 0))


def test_one_empty_mask_of_a_batch() -> None:
    with pytest.raises(DragonError, match="mask is empty"):
        Move(torch.cat((block(8, 16, 8, 24), torch.zeros(1, *SIZE))), shift(8, 0))


def test_full_mask() -> None:
    with pytest.raises(DragonError, match="covers the whole picture: paint only over the object"):
        Move(torch.ones(1, *SIZE), shift(8, 0))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_mask_that_is_not_numbers(value: float) -> None:
    mask = block(8, 16, 8, 24)
    mask[0, 0, 0] = value
    with pytest.raises(DragonError, match="not numbers"):
        Move(mask, shift(8, 0))


@pytest.mark.parametrize("shape", [(32, 48), (1, 1, 32, 48)])
def test_mask_of_wrong_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(DragonError, match=rf"\(masks, height, width\), got \({shape[0]}, "):
        Move(torch.ones(shape), shift(8, 0))


@pytest.mark.parametrize(("dx", "dy"), [(48, 0), (-24, 0), (0, 24), (0, -16), (9999, 9999)])
def test_wholly_out_of_the_picture(dx: int, dy: int) -> None:
    with pytest.raises(DragonError, match="whole object out of the picture; use a smaller shift"):
        Move(block(8, 16, 8, 24), shift(dx, dy))


def test_one_object_of_a_batch_wholly_out_of_the_picture() -> None:
    """That picture would come back unedited, silently."""
    with pytest.raises(DragonError, match="out of the picture"):
        Move(torch.cat((block(8, 16, 0, 8), block(8, 16, 32, 40))), shift(24, 0))


@pytest.mark.parametrize(("dx", "dy"), [(32, 0), (-12, 0), (0, 20), (0, -12), (39, 23)])
def test_partly_out_warns_and_crops(dx: int, dy: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        move = Move(block(8, 16, 8, 24), shift(dx, dy))
    assert [(r.levelname, "cropped" in r.getMessage()) for r in caplog.records] == [("WARNING", True)]
    left = sum(8 <= i - dy < 16 and 8 <= j - dx < 24 for i in range(32) for j in range(48))
    assert float(move.regions(SIZE).target.sum()) == pytest.approx(left, abs=0.01)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (24, 0), (-8, 0), (0, 16), (0, -8), (24, 16)])
def test_up_to_the_edge_does_not_warn(dx: int, dy: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Move(block(8, 16, 8, 24), shift(dx, dy))
    assert caplog.records == []


def test_enlarged_over_the_edge_warns(caplog: pytest.LogCaptureFixture) -> None:
    """The area that is due goes with the scale: an eighth of the enlarged copy is out, yet more is left than there was. A copy
    that stays in the frame is fine, also a smaller one.
    """
    for scale, x, warnings in ((2.0, 16.0, 0), (2.0, 20.0, 1), (0.5, 16.0, 0)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            Move(block(8, 16, 8, 24), AffineWarp(SIZE, matrix=((scale, 0.0), (0.0, scale)), centre=(x, 12.0)))
        assert len(caplog.records) == warnings, (scale, x)


@pytest.mark.parametrize("name", ["edit", "content", "contrast", "inpaint"])
def test_negative_weight(name: str) -> None:
    with pytest.raises(DragonError, match="cannot be negative; use 0"):
        MoveWeights(**{name: -0.1})


def test_unknown_start_latent() -> None:
    with pytest.raises(DragonError, match="'swop'") as caught:
        Move(block(8, 16, 8, 24), shift(8, 0), start="swop")  # type: ignore[arg-type]
    assert all(repr(known) in str(caught.value) for known in get_args(StartLatent))


def test_soft_mask_is_taken() -> None:
    """A painted mask has soft edges; its share counts."""
    mask = 0.8 * block(8, 16, 8, 24)
    regions = Move(mask, shift(8, 0)).regions(GRID)
    assert float(regions.source.max()) == pytest.approx(0.8) and float(regions.target.max()) == pytest.approx(0.8, abs=1e-5)


def test_a_picture_that_the_vae_crops_is_cropped_in_the_middle() -> None:
    """67×45 pixels become 64×40: the mask loses 1 and 2 pixels at left and top, and the transform turns about the same spot."""
    mask = torch.zeros(1, 45, 67)
    mask[:, 10:20, 30:44] = 1
    half = AffineWarp((45, 67), shift=(8.0, 0.0), matrix=((0.5, 0.0), (0.0, 0.5)), centre=(37.0, 15.0))
    cropped = Move(mask, half).cropped((40, 64))
    assert cropped.image_size == cropped.transform.image_size == (40, 64)
    assert torch.equal(cropped.mask[:, 8:18, 29:43], torch.ones(1, 10, 14)) and float(cropped.mask.sum()) == 140
    assert cropped.transform.centre == ((36.0, 13.0),) and cropped.transform.shift == (8.0, 0.0)


def fills(mask: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A thing of noise before an even ground, 8 pixels a cell or one, and the same with the thing taken away."""
    known = torch.nn.functional.adaptive_avg_pool2d(mask[:, None], grid) == 0
    clean = torch.where(known, torch.full((1, 2, *grid), 3.0), 50 + rand(1, 2, *grid, seed=16).float())
    move = Move(mask, AffineWarp(SIZE, shift=(-1, 0)), start="noise")
    return clean, move.fill_clean(clean)


@pytest.mark.parametrize("grid", [LATENT, SIZE], ids=["cells", "pixels"])
@pytest.mark.parametrize(
    "mask",
    [block(8, 24, 8, 40), block(0, 32, 8, 48), block(0, 24, 0, 48), block(8, 32, 0, 40), 1 - block(0, 8, 40, 48)],
    ids=["margin", "left", "below", "above and right", "a corner"],
)
def test_a_margin_of_one_cell_is_enough_to_fill_from(mask: Tensor, grid: tuple[int, int]) -> None:
    """All round, on some sides, or one cell: the rim that else would go with the object is what there is."""
    clean, got = fills(mask, grid)
    torch.testing.assert_close(got, torch.full_like(clean, 3.0))


@pytest.mark.parametrize("mask", [block(1, 31, 1, 47), block(0, 32, 1, 48), 1 - block(31, 32, 47, 48)], ids=["margin", "left", "a corner"])
def test_one_pixel_is_enough_to_fill_from(mask: Tensor) -> None:
    clean, got = fills(mask, SIZE)
    torch.testing.assert_close(got, torch.full_like(clean, 3.0))


@pytest.mark.parametrize("how", ["swap", "noise"])
def test_a_mask_that_touches_every_cell_leaves_those_it_covers_least(how: StartLatent) -> None:
    """Latents have no purer cells than the corners, of which the mask covers 49 of 64 pixels."""
    clean = rand(1, 2, *LATENT, seed=17)
    got = Move(block(1, 31, 1, 47), shift(-1, 0), start=how).fill_clean(clean)
    changed = {tuple(cell) for cell in (got != clean).any(1)[0].nonzero().tolist()}
    assert changed == {(i, j) for i in range(4) for j in range(6)} - {(0, 0), (0, 5), (3, 0), (3, 5)}


def test_a_little_that_lies_beyond_the_rim_is_not_all_there_is_to_fill_from() -> None:
    """A margin with one free cell more in its corner: the hole is filled from all round, not from that cell."""
    mask = block(8, 88, 8, 120, WIDE)
    mask[:, 8:16, 8:16] = 0
    clean = rand(1, 2, *WIDE_LATENT, seed=18)
    got = Move(mask, AffineWarp(WIDE, shift=(-1, 0)), start="noise").fill_clean(clean)
    kept = torch.nn.functional.adaptive_avg_pool2d(mask[:, None], WIDE_LATENT) == 0
    assert torch.equal((got == clean).all(1, keepdim=True), kept)


def test_each_mask_of_a_batch_has_its_own_rim() -> None:
    near, far = block(8, 24, 8, 40), block(8, 16, 16, 24)
    clean = rand(2, 2, *LATENT, seed=19)
    both = Move(torch.cat((near, far)), shift(-1, 0), start="noise").fill_clean(clean)
    for b, mask in enumerate((near, far)):
        assert torch.equal(both[b : b + 1], Move(mask, shift(-1, 0), start="noise").fill_clean(clean[b : b + 1]))
