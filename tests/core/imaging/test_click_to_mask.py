"""A click becomes a mask: on pictures and features that are known."""

from __future__ import annotations

import pytest
import torch

from dragon_core.document.point_formats import parse_clicks
from dragon_core.errors import DragonError
from dragon_core.imaging.click_to_mask import NEIGHBOURS, disc, filled, flood, likely_cells, object_mask, walk

SIDE, CELLS = 128, 16


def scene(colours: bool = True) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Features (C, h, w) at two scales, the picture, the truth: a round thing of two colours between wall and floor."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    truth = (rows - 70).square() + (columns - 60).square() < 26**2
    floor = rows > 64
    generator = torch.Generator().manual_seed(3)
    kinds = torch.nn.functional.one_hot(torch.where(truth, 2, floor.long()), 3).movedim(-1, 0).float()
    features = []
    for cells in (CELLS // 2, CELLS):
        channels = torch.randn(24, 3, generator=generator) @ torch.nn.functional.adaptive_avg_pool2d(kinds, cells).flatten(1)
        features.append((channels + 0.3 * torch.randn(channels.shape, generator=generator)).unflatten(1, (cells, cells)))
    paint = torch.tensor([[0.3, 0.4, 0.8], [0.5, 0.4, 0.3], [0.9, 0.2, 0.2], [0.9, 0.8, 0.1]])
    which = torch.where(truth, 2 + (columns > 66).long(), floor.long()) if colours else torch.zeros_like(rows)
    return features, paint[which] + 0.02 * torch.randn(SIDE, SIDE, 3, generator=generator), truth


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("click", [(50, 70), (75, 80)])
def test_the_object_is_found_to_its_edge(click: tuple[float, float]) -> None:
    """Either of its two colours will do, and the edge is finer than the features' cells of 8 pixels."""
    features, picture, truth = scene()
    found = object_mask(features, [click], picture)
    assert overlap(found.mask, truth) > 0.93
    assert found.confidence > 0.8


def test_features_decide_where_colours_cannot() -> None:
    """A picture of one colour still has the object that the features see, a cell coarse."""
    features, picture, truth = scene(colours=False)
    assert overlap(object_mask(features, [(60, 70)], picture).mask, truth) > 0.6


def test_the_background_is_no_object() -> None:
    """It runs along the frame."""
    features, picture, _ = scene()
    assert object_mask(features, [(110, 20)], picture).confidence < 0.3


def test_threshold_takes_more_or_less() -> None:
    features, picture, _ = scene(colours=False)
    sizes = [int(object_mask(features, [(60, 70)], picture, threshold=t).mask.sum()) for t in (0.1, 0.5, 0.9)]
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_same_answer_every_time() -> None:
    features, picture, _ = scene()
    torch.manual_seed(1)
    first = object_mask(features, [(60, 70)], picture)
    torch.manual_seed(2)
    assert torch.equal(first.mask, object_mask(features, [(60, 70)], picture).mask)


def test_clicks_must_lie_on_the_picture() -> None:
    features, picture, _ = scene()
    with pytest.raises(DragonError, match="outside of the picture, which is 128×128"):
        object_mask(features, [(128, 5)], picture)
    with pytest.raises(DragonError, match="no point"):
        object_mask(features, [], picture)


def test_walk_solves_its_equation() -> None:
    """Conjugate gradients against a dense solve of (diag(pull) + Laplacian) u = pull · prior."""
    generator = torch.Generator().manual_seed(0)
    h, w = 5, 6
    prior, pull = torch.rand(h, w, generator=generator), 0.1 + torch.rand(h, w, generator=generator)
    flows = [torch.rand(h - dy, w - abs(dx), generator=generator) for dy, dx in NEIGHBOURS]
    matrix = torch.diag(pull.flatten())
    for (dy, dx), flow in zip(NEIGHBOURS, flows, strict=True):
        for y in range(h - dy):
            for x in range(w - abs(dx)):
                left = x + max(-dx, 0)
                i, j, amount = y * w + left, (y + dy) * w + left + dx, flow[y, x]
                matrix[i, i] += amount
                matrix[j, j] += amount
                matrix[i, j] -= amount
                matrix[j, i] -= amount
    expected = torch.linalg.solve(matrix, (pull * prior).flatten()).view(h, w)
    assert torch.allclose(walk(prior, pull, flows, 100), expected, atol=1e-4)


def test_flood_stays_within_its_part() -> None:
    picture = ["##...", "#..##", "##..#", ".##.#"]
    inside = torch.tensor([[c == "#" for c in row] for row in picture])
    start = torch.zeros_like(inside)
    start[0, 0] = True
    wanted = ["##...", "#....", "##...", ".##.."]
    assert torch.equal(flood(inside, start), torch.tensor([[c == "#" for c in row] for row in wanted]))


def test_flood_against_one_step_at_a_time() -> None:
    inside = torch.rand(40, 50, generator=torch.Generator().manual_seed(4)) > 0.4
    start = torch.zeros_like(inside)
    start[20, 25] = True
    reached, inside = start, inside | start
    while True:
        wider = reached.clone()
        wider[1:] |= reached[:-1]
        wider[:-1] |= reached[1:]
        wider[:, 1:] |= reached[:, :-1]
        wider[:, :-1] |= reached[:, 1:]
        wider &= inside
        if torch.equal(wider, reached):
            break
        reached = wider
    assert torch.equal(flood(inside, start), reached)


def test_holes_are_filled_and_bays_are_not() -> None:
    ring = torch.zeros(7, 7, dtype=torch.bool)
    ring[1:6, 1:6] = True
    ring[3, 3] = False
    assert filled(ring)[3, 3] and not filled(ring)[0, 0]
    ring[3, 3:] = False
    assert not filled(ring)[3, 3]


def test_disc_is_round_and_its_share() -> None:
    mask = disc([(30, 20)], (64, 128), 0.125)
    assert mask[20, 38] and not mask[20, 39] and mask[28, 30] and not mask[26, 36]


@pytest.mark.parametrize(
    ("text", "clicks"),
    [
        ("[[3, 4]]", [(3, 4)]),
        ("[[3, 4], [5, 6], [7, 8]]", [(3, 4), (5, 6), (7, 8)]),
        ("[[[3, 4], [9, 9]], [[5, 6], [9, 9]]]", [(3, 4), (5, 6)]),
        ("[[3, 4], [5, 6]]", [(3, 4), (5, 6)]),  # not a handle and its target: an even number is no other format
        ("[[3, 4], [9, 9], [5, 6], [9, 9]]", [(3, 4), (9, 9), (5, 6), (9, 9)]),
        ("[(3, 4), (5, 6)]", [(3, 4), (5, 6)]),
        ('[{"x": 3, "y": 4}, {"x": 5, "y": 6}]', [(3, 4), (5, 6)]),
        ('[{"x": 3, "y": 4}]', [(3, 4)]),
        ('[[{"x": 3, "y": 4}, {"x": 5, "y": 5}, {"x": 9, "y": 9}]]', [(3, 4)]),
        ('{"x": 1, "y": 2, "width": 4, "height": 4}', [(3, 4)]),
        ('[{"x": 1, "y": 2, "width": 4, "height": 4, "label": "a"}, {"x": 5, "y": 6, "width": 0, "height": 0}]', [(3, 4), (5, 6)]),
        ('[[{"x": 1, "y": 2, "width": 4, "height": 4, "score": 0.5}], [{"x": 9, "y": 9, "width": 4, "height": 4}]]', [(3, 4)]),
        ("", []),
    ],
)
def test_clicks_are_the_handles_of_any_form(text: str, clicks: list[tuple[float, float]]) -> None:
    assert parse_clicks(text) == tuple(clicks)


def test_a_point_off_the_object_takes_what_is_like_it_away() -> None:
    """Two like patches that touch: without a word they are one object; with a point off it the second is none of it."""
    vectors = torch.zeros(3, 16, 24)
    vectors[0], vectors[:, 5:11, 5:17] = 1, torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1)
    vectors[:, 5:11, 11:17] = torch.tensor([0.0, 0.95, 0.31]).view(3, 1, 1)
    seeds, off = (torch.zeros(16, 24, dtype=torch.bool) for _ in range(2))
    seeds[8, 7] = off[8, 14] = True
    both, one = likely_cells(vectors, seeds), likely_cells(vectors, seeds, off)
    assert both[7, 14] > 0.5 and one[7, 14] < 0.5 and one[7, 7] > 0.5
