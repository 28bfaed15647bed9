"""Push-pull filling against its recursion written out with lists, and what any filling must do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dragon_core.fill import push_pull

Plane = list[list[float]]


def rand(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hole(height: int, width: int, rows: slice, columns: slice) -> Tensor:
    """1 where the picture is known."""
    known = torch.ones(1, 1, height, width, dtype=torch.float64)
    known[..., rows, columns] = 0
    return known


def enlarged(plane: Plane, h: int, w: int) -> Plane:
    """Bilinear between cell centres, edges repeated."""
    rows, columns = len(plane), len(plane[0])
    out = []
    for i in range(h):
        y = min(max((i + 0.5) * rows / h - 0.5, 0.0), rows - 1.0)
        line = []
        for j in range(w):
            x = min(max((j + 0.5) * columns / w - 0.5, 0.0), columns - 1.0)
            r, c = int(y), int(x)
            r1, c1 = min(r + 1, rows - 1), min(c + 1, columns - 1)
            u, v = y - r, x - c
            line.append((1 - u) * ((1 - v) * plane[r][c] + v * plane[r][c1]) + u * ((1 - v) * plane[r1][c] + v * plane[r1][c1]))
        out.append(line)
    return out


def by_hand(plane: Plane, known: list[list[bool]]) -> Plane:
    """Means of what is known in blocks of two by two, filled in turn, stand in for what is not."""
    h, w = len(plane), len(plane[0])
    if min(h, w) == 1 or all(map(all, known)):
        values = [plane[i][j] for i in range(h) for j in range(w) if known[i][j]]
        mean = sum(values) / len(values)
        return [[plane[i][j] if known[i][j] else mean for j in range(w)] for i in range(h)]
    coarse, coarse_known = [], []
    for i in range(0, h, 2):
        line, line_known = [], []
        for j in range(0, w, 2):
            values = [plane[r][c] for r in range(i, min(i + 2, h)) for c in range(j, min(j + 2, w)) if known[r][c]]
            line.append(sum(values) / len(values) if values else 0.0)
            line_known.append(bool(values))
        coarse.append(line)
        coarse_known.append(line_known)
    stand_in = enlarged(by_hand(coarse, coarse_known), h, w)
    return [[plane[i][j] if known[i][j] else stand_in[i][j] for j in range(w)] for i in range(h)]


HOLES = {
    "one cell": hole(8, 8, slice(3, 4), slice(4, 5)),
    "a block at the edge": hole(8, 12, slice(2, 8), slice(7, 12)),
    "odd sides": hole(7, 11, slice(1, 6), slice(2, 9)),
    "all but a corner": hole(9, 6, slice(1, 9), slice(0, 6)),
    "one row": hole(1, 6, slice(0, 1), slice(2, 5)),
}


@pytest.mark.parametrize("name", HOLES)
def test_by_hand(name: str) -> None:
    known = HOLES[name]
    image = rand(2, 3, *known.shape[-2:], seed=1)
    got = push_pull(image, known)
    for b in range(2):
        for c in range(3):
            expected = torch.tensor(by_hand(image[b, c].tolist(), (known[0, 0] > 0).tolist()), dtype=torch.float64)
            torch.testing.assert_close(got[b, c], expected)


@pytest.mark.parametrize("name", HOLES)
def test_known_stays_and_the_rest_lies_between_what_is_known(name: str) -> None:
    known = HOLES[name]
    image = rand(1, 1, *known.shape[-2:], seed=2)
    got, inside = push_pull(image, known), known > 0
    assert torch.equal(got[inside], image[inside])
    assert image[inside].min() - 1e-9 <= got.min() and got.max() <= image[inside].max() + 1e-9


@pytest.mark.parametrize("name", HOLES)
def test_what_is_in_the_hole_does_not_matter(name: str) -> None:
    known = HOLES[name]
    image = rand(1, 2, *known.shape[-2:], seed=3)
    other = torch.where(known > 0, image, 100 * rand(1, 2, *known.shape[-2:], seed=4))
    torch.testing.assert_close(push_pull(other, known), push_pull(image, known))


def test_an_even_picture_stays_even() -> None:
    for known in HOLES.values():
        even = torch.full((1, 1, *known.shape[-2:]), -3.0)
        torch.testing.assert_close(push_pull(even, known), even)


def test_nothing_unknown() -> None:
    image = rand(1, 2, 6, 6, seed=5)
    assert torch.equal(push_pull(image, torch.ones(1, 1, 6, 6)), image)


@pytest.mark.parametrize("size", [(1, 4), (2, 2), (6, 9)], ids=str)
def test_nothing_known_leaves_the_picture_as_it_is(size: tuple[int, int]) -> None:
    image = rand(1, 2, *size, seed=6)
    torch.testing.assert_close(push_pull(image, torch.zeros(1, 1, *size)), image)


def test_pictures_of_a_batch_do_not_mix() -> None:
    """Each with a hole of its own."""
    image = rand(2, 2, 8, 8, seed=7)
    known = torch.cat((hole(8, 8, slice(0, 4), slice(0, 4)), hole(8, 8, slice(3, 8), slice(2, 8))))
    both = push_pull(image, known)
    for b in range(2):
        torch.testing.assert_close(both[b : b + 1], push_pull(image[b : b + 1], known[b : b + 1]))
