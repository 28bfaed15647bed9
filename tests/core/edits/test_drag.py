"""Dragging: what a mask means, what follows the points, where the energies act, and what is refused."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.convention import AUTHORS
from dragon_core.diffusion.energies.points import points_energy, repulsion_energy
from dragon_core.diffusion.features import Views
from dragon_core.edits.chain import Layout, by, check_counts, edited_path, evaluate, fitted
from dragon_core.edits.drag import Drag, DragWeights, drag, drag_each
from dragon_core.edits.move import Move, MoveWeights
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp, Pair

SIZE = (64, 96)
HANDLE, INSIDE, OUTSIDE = (24.0, 28.0), (30.0, 30.0), (60.0, 36.0)
AWAY: tuple[Pair, ...] = ((HANDLE, OUTSIDE),)
WITHIN: tuple[Pair, ...] = ((HANDLE, INSIDE),)


def mask() -> Tensor:
    out = torch.zeros(1, *SIZE)
    out[:, 16:48, 8:48] = 1
    return out


def rand(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_target_off_the_mask_makes_it_an_object_that_goes_there() -> None:
    edit = drag(AWAY, SIZE, mask())
    assert edit.leaves
    regions = edit.regions(SIZE)
    torch.testing.assert_close(regions.source, mask())
    wanted = torch.zeros(1, *SIZE)
    wanted[:, 24:56, 44:84] = 1
    torch.testing.assert_close(regions.target, wanted, atol=1e-4, rtol=0)


def test_targets_on_the_mask_make_it_an_area_that_stays() -> None:
    edit = drag(WITHIN, SIZE, mask())
    assert not edit.leaves
    regions = edit.regions(SIZE)
    torch.testing.assert_close(regions.target, mask(), atol=1e-4, rtol=0)
    assert float(regions.vacated.max()) < 1e-4


def test_the_mask_can_be_said_to_be_an_object() -> None:
    edit = drag(WITHIN, SIZE, mask(), "object")
    assert edit.leaves
    assert float(edit.regions(SIZE).vacated.sum()) > 100


@pytest.mark.parametrize("painted", [None, torch.zeros(1, *SIZE)], ids=["none", "empty"])
def test_without_a_mask_the_area_lies_round_the_way(painted: Tensor | None) -> None:
    edit = drag(AWAY, SIZE, painted)
    assert not edit.leaves
    target = edit.regions(SIZE).target[0]
    assert float(target[28, 24]) == float(target[36, 60]) == float(target[32, 42]) == 1
    assert float(target[2, 90]) == float(target[62, 2]) == 0
    assert float(drag(AWAY, SIZE, painted, radius=6).regions(SIZE).target.sum()) > float(target.sum())


def test_an_object_with_one_pair_is_carried_as_a_move_carries_it() -> None:
    edit, move = drag(AWAY, SIZE, mask()), Move(mask(), AffineWarp(SIZE, shift=(36.0, 8.0)))
    latents, sigmas, noise = rand(4, 2, 4, 8, 12, seed=0), torch.tensor([9.0, 4.0, 1.0, 0.0]), rand(2, 4, 8, 12, seed=1)
    torch.testing.assert_close(
        edited_path([edit], latents, sigmas, noise), edited_path([move], latents, sigmas, noise), atol=1e-4, rtol=1e-4
    )


def test_an_area_keeps_the_spread_of_its_noise_and_everything_outside_of_it() -> None:
    edit = drag((((150.0, 250.0), (260.0, 260.0)),), (512, 512), torch.nn.functional.pad(torch.ones(1, 400, 400), (56, 56, 56, 56)))
    clean, noise = torch.zeros(1, 1, 4, 64, 64), rand(1, 1, 4, 64, 64, seed=2)
    path = edited_path([edit], torch.cat([noise, clean]), torch.tensor([1.0, 0.0]), rand(1, 4, 64, 64, seed=3))[0, 0]
    inside = edit.regions((64, 64)).target[0] > 0.99
    assert float((path[:, inside] - noise[0, 0, :, inside]).abs().mean()) > 0.3
    assert float(path[:, inside].std()) == pytest.approx(1, abs=0.03)
    neighbours = (path[:, :, 1:] * path[:, :, :-1])[:, inside[:, 1:] & inside[:, :-1]].mean()
    assert abs(float(neighbours)) < 0.05  # white: nothing is repeated
    outside = edit.regions((64, 64)).target[0] == 0
    torch.testing.assert_close(path[:, outside], noise[0, 0, :, outside], atol=0, rtol=0)


def test_what_was_at_the_handle_is_at_the_target_in_the_clean_part() -> None:
    y, x = torch.meshgrid(torch.arange(8.0) + 0.5, torch.arange(12.0) + 0.5, indexing="ij")
    clean = torch.stack([x, y])[None, None] * 8  # each cell knows where it is, in pixels
    for edit in (drag(WITHIN, SIZE, mask()), drag(AWAY, SIZE, mask()), drag(AWAY, SIZE)):
        path = edited_path([edit], clean.repeat(2, 1, 1, 1, 1), torch.tensor([1.0, 0.0]), torch.zeros(1, 2, 8, 12))[-1, 0]
        tx, ty = edit.sets[0][0][1]
        column, row = int(tx // 8), int(ty // 8)
        offset = torch.tensor([tx - (column + 0.5) * 8, ty - (row + 0.5) * 8])
        assert torch.dist(path[:, row, column] + offset, torch.tensor(HANDLE)) < 4


@pytest.mark.parametrize("painted", [None, mask()], ids=["without a mask", "an object"])
def test_by_the_authors_convention_3_by_3_cells_are_copied_and_nothing_is_warped(painted: Tensor | None) -> None:
    """By loops, for a pair whose patches lie in the frame and one whose reach beyond it; the later pair has its say where they meet."""
    pairs: tuple[Pair, ...] = (((28.0, 28.0), (60.0, 36.0)), ((3.0, 61.0), (70.0, 30.0)))
    latents, sigmas, noise = rand(3, 2, 4, 8, 12, seed=4), torch.tensor([9.0, 2.0, 0.0]), rand(2, 4, 8, 12, seed=5)
    expected, copied = latents.clone(), torch.zeros(8, 12, dtype=torch.bool)
    for (hx, hy), (tx, ty) in pairs:
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                (x, y), (to_x, to_y) = ((int(p // 8) + right, int(q // 8) + down) for p, q in ((hx, hy), (tx, ty)))
                if 0 <= x < 12 and 0 <= y < 8 and 0 <= to_x < 12 and 0 <= to_y < 8:
                    expected[..., to_y, to_x], copied[to_y, to_x] = latents[..., y, x], True
    path = edited_path(by(AUTHORS, [drag(pairs, SIZE, painted)]), latents, sigmas, noise)
    assert int(copied.sum()) == 9 + 4 - 1  # of the second patch four have a place in the frame, one of them in the first
    torch.testing.assert_close(path, expected, atol=1e-5, rtol=0)
    assert torch.equal(path[..., ~copied], latents[..., ~copied])


@pytest.mark.parametrize("leaves", [True, False], ids=["object", "area"])
def test_the_push_from_the_old_place_is_where_its_gradient_acts(leaves: bool) -> None:
    edit = drag(AWAY if leaves else WITHIN, SIZE, mask(), weights=DragWeights(4.0, 6.0, 0.5))
    views = Views((rand(2, 3, 16, 24, seed=4),), (rand(2, 3, 16, 24, seed=5),))
    layout = Layout.of([edit], (16, 24))
    handles, targets = (torch.tensor([pair[end] for pair in edit.sets[0]], dtype=torch.float64) for end in (0, 1))
    pull = points_energy(views.generation, views.source, handles, targets, SIZE, 4.0)
    push = repulsion_energy(views.generation, views.source, handles, targets, SIZE, 0.5)
    assert float(push.min()) > 0.05
    torch.testing.assert_close(edit.edit_energy(views, layout.own[0]), pull if leaves else pull + push)
    energies = evaluate(layout, views)
    torch.testing.assert_close(energies.edit, pull if leaves else pull + push)
    assert edit.content_weight == 6.0


def test_a_cropped_picture_takes_its_points_along() -> None:
    pairs = ((tuple(v + 2 for v in HANDLE), tuple(v + 2 for v in OUTSIDE)),)
    wide = torch.nn.functional.pad(mask(), (2, 1, 2, 1))
    (part,) = fitted([drag(pairs, (67, 99), wide)], SIZE, 8)
    assert isinstance(part, Drag)
    assert part.sets == (((tuple(v + 1 for v in HANDLE), tuple(v + 1 for v in OUTSIDE)),),)
    assert part.image_size == SIZE
    source = part.regions(SIZE).source
    torch.testing.assert_close(source, wide[:, 1:65, 1:97])


def test_several_masks_are_repeated_for_the_rows_of_a_batch() -> None:
    masks = torch.cat([mask(), mask().flip(1)])
    edit = drag(WITHIN, SIZE, masks).on(torch.device("cpu"), 2)
    assert edit.regions((8, 12)).target.shape == (4, 8, 12)
    views = Views((rand(4, 3, 16, 24, seed=4),), (rand(4, 3, 16, 24, seed=5),))
    assert edit.edit_energy(views, edit.regions((16, 24))).shape == (4,)


@pytest.mark.parametrize("painted", ["object", "area", "none"])
def test_each_picture_of_a_batch_has_pairs_of_its_own(painted: str) -> None:
    """Regions, latents and energies are those of each picture alone, in a batch of several rows as well."""
    sets = (WITHIN, ((HANDLE, (20.0, 36.0)), ((36.0, 40.0), (36.0, 40.0))))
    masks = {"object": mask(), "area": torch.cat([mask(), mask().roll(4, 1)]), "none": None}[painted]
    weights = DragWeights(4.0, 6.0, 0.5)
    both = drag_each(sets, SIZE, masks, "object" if painted == "object" else "auto", weights=weights)
    latents, sigmas, noise = rand(3, 2, 4, 8, 12, seed=0), torch.tensor([4.0, 1.0, 0.0]), rand(2, 4, 8, 12, seed=1)
    generation, source = rand(2, 3, 16, 24, seed=4), rand(2, 3, 16, 24, seed=5)
    path, regions = edited_path([both], latents, sigmas, noise), both.regions((16, 24))
    rows = both.on(torch.device("cpu"), 2)
    views = Views((generation.repeat(2, 1, 1, 1),), (source.repeat(2, 1, 1, 1),))
    energies = evaluate(Layout.of([rows], (16, 24)), views)
    for i, pairs in enumerate(sets):
        own = None if masks is None else masks[i % len(masks)].unsqueeze(0)
        alone = drag(pairs, SIZE, own, "object" if painted == "object" else "auto", weights=weights)
        row = slice(i, i + 1)
        torch.testing.assert_close(regions.target[row], alone.regions((16, 24)).target)
        torch.testing.assert_close(path[:, row], edited_path([alone], latents[:, row], sigmas, noise[row]))
        wanted = evaluate(Layout.of([alone], (16, 24)), Views((generation[row],), (source[row],)))
        torch.testing.assert_close(energies.edit[i::2], wanted.edit.expand(2))
        torch.testing.assert_close(energies.content[i::2], wanted.content.expand(2))
    assert not torch.allclose(energies.edit[0], energies.edit[1], rtol=1e-2)


def test_the_authors_patches_go_by_the_pairs_of_each_picture() -> None:
    both = by(AUTHORS, [drag_each((WITHIN, AWAY), SIZE)])
    latents, sigmas = rand(2, 2, 4, 8, 12, seed=0), torch.tensor([4.0, 0.0])
    path = edited_path(both, latents, sigmas, rand(2, 4, 8, 12, seed=1))
    for i, pairs in enumerate((WITHIN, AWAY)):
        alone = by(AUTHORS, [drag(pairs, SIZE)])
        assert torch.equal(path[:, i : i + 1], edited_path(alone, latents[:, i : i + 1], sigmas, rand(1, 4, 8, 12, seed=1)))


def test_what_is_wrong_in_a_frame_is_said_of_it() -> None:
    still = ((HANDLE, HANDLE),)
    for later, words in ((((HANDLE, (97.0, 10.0)),), "target of pair 1 in frame 2"), (still, "nothing would move")):
        with pytest.raises(DragonError, match=words):
            drag_each((still, later), SIZE, mask())
    with pytest.raises(DragonError, match="target of pair 1 in frame 2 lies off the mask"):
        drag_each((still, AWAY), SIZE, mask(), "area")
    with pytest.raises(DragonError, match="tracks have 2 points for 3 pictures"):
        check_counts([drag_each((still, WITHIN), SIZE)], 3)


def test_off_leaves_the_path_alone() -> None:
    latents, sigmas = rand(3, 1, 4, 8, 12, seed=0), torch.tensor([4.0, 1.0, 0.0])
    for edit in (drag(AWAY, SIZE, mask(), start="off"), drag(WITHIN, SIZE, mask(), start="off"), drag(AWAY, SIZE, start="off")):
        assert not edit.edits_trajectory
        assert torch.equal(edited_path([edit], latents, sigmas, rand(1, 4, 8, 12, seed=1)), latents)


def test_it_says_that_it_needs_no_second_picture_and_combines_with_others() -> None:
    edit = drag(AWAY, SIZE, mask())
    assert not edit.needs_reference
    other = Move(torch.nn.functional.pad(torch.ones(1, 8, 8), (4, 84, 52, 4)), AffineWarp(SIZE, shift=(16.0, 0.0)), MoveWeights())
    views = Views((rand(1, 3, 16, 24, seed=4),), (rand(1, 3, 16, 24, seed=5),))
    alone, both = evaluate(Layout.of([edit], (16, 24)), views), evaluate(Layout.of([edit, other], (16, 24)), views)
    assert float(both.edit) > float(alone.edit)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ((), "no points"),
        ((((10.0, 10.0), (97.0, 10.0)),), "target of pair 1"),
        ((((10.0, 10.0), (20.0, 10.0)), ((-1.0, 10.0), (20.0, 20.0))), "handle of pair 2"),
        ((((10.0, 10.0), (10.0, 10.0)), ((20.0, 10.0), (20.0, 10.0))), "nothing would move"),
        ((((10.0, 10.0), (20.0, 10.0)), ((30.0, 9.0), (30.0, 9.0)), ((10.0, 10.0), (10.0, 20.0))), "pairs 1 and 3"),
    ],
)
def test_points_that_mean_nothing_are_refused(pairs: tuple[Pair, ...], words: str) -> None:
    with pytest.raises(DragonError, match=words):
        drag(pairs, SIZE, mask())


@pytest.mark.parametrize("end", [0, 1])
def test_what_is_dragged_in_an_area_stays_in_it(end: int) -> None:
    pairs = (((70.0, 50.0), INSIDE),) if end == 0 else (((20.0, 20.0), INSIDE), (HANDLE, (70.0, 50.0)))
    with pytest.raises(DragonError, match=f"the {('handle', 'target')[end]} of pair {end + 1} lies off the mask"):
        drag(pairs, SIZE, mask(), "area")


def test_a_pair_that_is_dragged_out_of_the_frame_is_cropped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        drag(((HANDLE, (90.0, 28.0)),), SIZE, mask())
    assert "leaves the picture" in caplog.text


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(DragonError, match="negative"):
        replace(DragWeights(), inpaint=-0.1)


def test_a_mask_that_is_no_number_is_refused() -> None:
    with pytest.raises(DragonError, match="NaN"):
        drag(AWAY, SIZE, torch.where(mask() > 0, torch.nan, 1.0))
