"""The generic terms: golden numbers by plain loops, gradients, what each declares, and a chain of them against a Move."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

import tensors
from dragon_core.diffusion.features import Features, Views
from dragon_core.diffusion.guidance import masked_gradient
from dragon_core.edits import chain
from dragon_core.edits.appearance import Appearance
from dragon_core.edits.base import Edit, ReferenceEdit
from dragon_core.edits.drag import DragWeights, drag
from dragon_core.edits.move import Move, MoveWeights
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
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp
from tensors import rand, s

#: A picture of 32 × 48 pixels: latent 4 × 6 (8 pixels a cell), features 8 × 12 (4 pixels a cell).
SIZE, LATENT, GRID = (32, 48), (4, 6), (8, 12)
Cells = set[tuple[int, int]]


block = partial(tensors.block, SIZE)


#: The mask that most tests use, and its cells on the features' grid.
MASK, CELLS = block(8, 16, 8, 24), {(i, j) for i in (2, 3) for j in range(2, 6)}
OTHER, OTHER_CELLS = block(20, 28, 32, 44), {(i, j) for i in (5, 6) for j in (8, 9, 10)}


features = partial(tensors.features, size=GRID)


def views() -> Views:
    return Views(features(1), features(2), features(3))


def at(features: Features, tap: int, b: int, i: int, j: int) -> list[float]:
    return [float(v) for v in features[tap][b, :, i, j]]


def local(a: Features, b: Features, picture: int, cells: Cells, up: int = 0, left: int = 0) -> float:
    """Mean over taps and cells of the similarity of a at (i, j) and b at (i − up, j − left)."""
    pairs = [(at(a, t, picture, i, j), at(b, t, picture, i - up, j - left)) for t in range(2) for i, j in cells]
    return sum(s(*pair) for pair in pairs) / len(pairs)


def average(a: Features, b: Features, picture: int, here: Cells, there: Cells) -> float:
    """Mean over taps of the similarity of two regions' mean features."""
    found = []
    for t in range(2):
        means = [
            [sum(column) / len(cells) for column in zip(*(at(f, t, picture, i, j) for i, j in cells), strict=True)]
            for f, cells in ((a, here), (b, there))
        ]
        found.append(s(*means))
    return sum(found) / 2


def parts(*edits: Edit) -> chain.Energies:
    return chain.evaluate(chain.Layout.of(edits, GRID), views())


@pytest.mark.parametrize("picture", [0, 1])
def test_golden_numbers(picture: int) -> None:
    """Each alone, by loops; what stands where is the part whose gradient acts there."""
    generation, source, second = (features(n) for n in (1, 2, 3))
    rest = {(i, j) for i in range(8) for j in range(12)} - CELLS
    beside = {(i, j) for i, j in rest if any(max(abs(i - k), abs(j - m)) == 1 for k, m in CELLS)}
    moved = {(i + 1, j + 2) for i, j in CELLS}
    expected: dict[str, tuple[Edit, float, float]] = {
        "content": (Content(MASK, 6.0), 0.0, 6 / (1 + 4 * local(generation, source, picture, CELLS))),
        "contrast": (Contrast(MASK, 0.3), 0.0, 0.3 * local(generation, source, picture, CELLS)),
        "inpaint": (Inpaint(MASK, 0.8), 0.0, 0.8 / (1 + 4 * average(generation, source, picture, CELLS, beside))),
        "from": (Inpaint(MASK, 0.8, OTHER), 0.0, 0.8 / (1 + 4 * average(generation, source, picture, CELLS, OTHER_CELLS))),
        "local": (LocalSimilarity(MASK, 4.0, (8, 4)), 4 / (1 + 4 * local(generation, source, picture, moved, 1, 2)), 0.0),
        "second": (LocalSimilarityToReference(MASK, 4.0, (8, 4)), 4 / (1 + 4 * local(generation, second, picture, moved, 1, 2)), 0.0),
        "mean": (MeanSimilarity(MASK, 3.5, OTHER), 3.5 / (1 + 4 * average(generation, source, picture, CELLS, OTHER_CELLS)), 0.0),
    }
    for name, (edit, edit_part, content_part) in expected.items():
        got = parts(edit)
        assert (float(got.edit[picture]), float(got.content[picture])) == pytest.approx((edit_part, content_part), rel=1e-5), name


@pytest.mark.parametrize(
    "edit",
    [
        Content(MASK, 6.0),
        ContentElsewhere(6.0),
        Inpaint(MASK, 0.8),
        Inpaint(MASK, 0.8, OTHER),
        LocalSimilarity(MASK, 4.0, (8, 4)),
        LocalSimilarityToReference(MASK, 4.0),
        MeanSimilarity(MASK, 3.5, OTHER),
        Move(MASK, AffineWarp(SIZE, (8, 4)), MoveWeights(contrast=0.0)),
        drag([((12.0, 12.0), (30.0, 20.0))], SIZE, weights=DragWeights(inpaint=0.0)),
        Appearance(MASK, OTHER),
        Paste(MASK, (32.0, 16.0)),
    ],
    ids=lambda edit: type(edit).__name__,
)
def test_the_least_is_what_is_left_when_all_is_alike(edit: Edit) -> None:
    """A picture without any difference satisfies every pull; other features leave more."""
    (edit,) = chain.fitted([edit], SIZE, 8, SIZE)
    even = tuple(torch.ones_like(f) for f in features(1))
    layout = chain.Layout.of([edit, Contrast(OTHER, 0.0)], GRID)
    got = chain.evaluate(layout, Views(even, even, even))
    torch.testing.assert_close(got.total, torch.full_like(got.total, got.least))
    assert float(chain.evaluate(layout, views()).left.min()) > 0.1 * got.least


def test_content_that_is_held_has_nothing_left_to_gain() -> None:
    """What is pushed away has: down to no likeness at all."""
    same = Views(features(1), features(1))
    assert float(chain.evaluate(chain.Layout.of([Content(MASK, 6.0)], GRID), same).left.max()) < 1e-12
    (edit,) = chain.fitted([Contrast(MASK, 0.3)], SIZE, 8)
    left = chain.evaluate(chain.Layout.of([edit], GRID), same).left
    torch.testing.assert_close(left, torch.full_like(left, 0.3))


def test_content_without_a_mask_is_what_a_move_holds() -> None:
    move = Move(MASK, AffineWarp(SIZE, (8, 4)), MoveWeights(content=6.0))
    without = Move(MASK, AffineWarp(SIZE, (8, 4)), MoveWeights(content=0.0))
    torch.testing.assert_close(parts(without, ContentElsewhere(6.0)).content, parts(move).content)
    torch.testing.assert_close(parts(without, ContentElsewhere(6.0)).edit, parts(move).edit)


def test_a_chain_of_terms_guides_as_a_move_does() -> None:
    """The four energies, their regions and m_e: put together by the user or by the task."""
    move = Move(MASK, AffineWarp(SIZE, (8, 4)), MoveWeights(4.0, 6.0, 0.2, 0.8))
    edits = (LocalSimilarity(MASK, 4.0, (8, 4)), Contrast(MASK, 0.2), Inpaint(MASK, 0.8), ContentElsewhere(6.0))
    one, many = chain.Layout.of([move], GRID), chain.Layout.of(edits, GRID)
    for name in ("edit_mask", "support"):
        torch.testing.assert_close(getattr(many, name), getattr(one, name))
    for name in ("edit", "content"):
        torch.testing.assert_close(getattr(chain.evaluate(many, views()), name), getattr(chain.evaluate(one, views()), name))


@pytest.mark.parametrize(
    "edit",
    [
        Content(MASK, 6.0),
        ContentElsewhere(6.0),
        Contrast(MASK, 0.3),
        Inpaint(MASK, 0.8, OTHER),
        LocalSimilarity(MASK, 4.0, (8, 4)),
        LocalSimilarityToReference(MASK, 4.0),
        MeanSimilarity(MASK, 3.5, OTHER),
    ],
    ids=lambda edit: type(edit).__name__,
)
def test_gradients(edit: Edit) -> None:
    """Against finite differences; and they act where the term says, alone in a chain too."""
    layout = chain.Layout.of([edit], GRID)
    source, second = features(2), features(3)

    def total(z: Tensor) -> Tensor:
        return chain.evaluate(layout, Views((z, z.flip(1)), (source[0], source[0]), (second[0], second[0]))).total

    z = features(1)[0].requires_grad_()
    assert torch.autograd.gradcheck(total, (z,), fast_mode=True)
    seen = (z.clone(), z.clone())
    energies = chain.evaluate(layout, Views(seen, (source[0], source[0]), (second[0], second[0])))
    gradient = masked_gradient(z, energies, layout.edit_mask, seen)
    acting = gradient.abs().sum((0, 1)) > 0
    assert acting.any()
    if float(layout.edit_mask.sum()):
        assert not acting[layout.edit_mask[0] == 0].any()


def test_what_terms_declare() -> None:
    """Nothing but Inpaint changes the trajectory; nothing but the second picture's asks for one; masks are their regions."""
    terms: list[Edit] = [
        Content(MASK, 6.0),
        ContentElsewhere(6.0),
        Contrast(MASK, 0.3),
        LocalSimilarity(MASK, 4.0, (8, 4)),
        MeanSimilarity(MASK, 3.5, OTHER),
        LocalSimilarityToReference(MASK, 4.0),
    ]
    path, noise, sigmas = rand(3, 1, 2, *LATENT, seed=4), rand(1, 2, *LATENT, seed=5), torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)
    assert torch.equal(chain.edited_path(terms, path, sigmas, noise), path)
    assert [term.edits_trajectory for term in terms] == [False] * 6
    assert [term.needs_reference for term in terms] == [False] * 5 + [True]
    assert [isinstance(term, ReferenceEdit) for term in terms] == [False] * 5 + [True]
    assert Inpaint(MASK, 0.8).edits_trajectory and not Inpaint(MASK, 0.8, start="keep").edits_trajectory
    support = [float(chain.Layout.of([term], GRID).support.sum()) for term in terms]
    assert support == pytest.approx([0, 0, 8, 8, 8, 8], abs=1e-4)


def test_a_hole_is_cleared() -> None:
    """Of the object's cells nothing is left: fresh noise, over what lies around it or over the fill's mean."""
    path, noise, sigmas = rand(2, 1, 2, *LATENT, seed=6), rand(1, 2, *LATENT, seed=7), torch.tensor([3.0, 0.0], dtype=torch.float64)
    other = path.clone()
    other[..., 1, 1:3] += 50
    for term in (Inpaint(MASK, 0.8), Inpaint(MASK, 0.8, block(0, 32, 40, 48))):
        got = chain.edited_path([term], path, sigmas, noise)
        torch.testing.assert_close(got[..., 1, 1:3], chain.edited_path([term], other, sigmas, noise)[..., 1, 1:3])
        torch.testing.assert_close((got[0] - got[1])[..., 1, 1:3], 3 * noise[..., 1, 1:3])
        torch.testing.assert_close(got[..., 5], path[..., 5])
    torch.testing.assert_close(got[-1][0, :, 1, 1], path[-1][0, :, :, 5].mean(-1))
    assert torch.equal(chain.edited_path([Inpaint(MASK, 0.8, start="keep")], path, sigmas, noise), path)


def test_what_one_term_empties_and_another_clears_is_led() -> None:
    """Contrast alone leaves its place to guidance; chained to Inpaint it must not give it up to the object again."""
    hole, kept = Inpaint(MASK, 0.8), Inpaint(MASK, 0.8, start="keep")

    def free(*edits: Edit) -> float:
        return float(chain.Layout.of(edits, LATENT).uninjected.sum())

    assert free(Contrast(MASK, 0.2)) == free(Contrast(MASK, 0.2), kept) > 0
    assert free(Contrast(MASK, 0.2), hole) == free(hole, Contrast(MASK, 0.2)) == free(hole, ContentElsewhere(6.0)) == 0
    assert free(hole, Contrast(OTHER, 0.2)) == pytest.approx(free(Contrast(OTHER, 0.2)))
    put = LocalSimilarity(OTHER, 4.0, (-20.0, -12.0))  # what is put into a place that another edit clears stays free for guidance
    assert free(hole, put) == pytest.approx(free(put)) != 0


def test_masks_of_a_batch_and_of_more_rows() -> None:
    both = torch.cat((MASK, OTHER))
    cpu = torch.device("cpu")
    for edit in (Contrast(both, 1.0), Inpaint(both, 1.0, both.flip(0)), MeanSimilarity(both, 1.0, both.flip(0))):
        more = edit.on(cpu, 2).regions(GRID)
        torch.testing.assert_close(more.source + more.target, (edit.regions(GRID).source + edit.regions(GRID).target).repeat(2, 1, 1))
    repeated = Inpaint(both, 1.0, both.flip(0)).on(cpu, 2)
    assert repeated.fill is not None and torch.equal(repeated.fill, both.flip(0).repeat(2, 1, 1))


def test_cropped_as_the_vae_crops() -> None:
    for edit in (Content(MASK, 1.0), Inpaint(MASK, 1.0, OTHER), MeanSimilarity(MASK, 1.0, OTHER), LocalSimilarity(MASK, 1.0, (8, 0))):
        cropped = edit.cropped((30, 44))
        assert cropped.image_size == (30, 44) and torch.equal(cropped.mask, MASK[:, 1:31, 2:46])


# Bad input

FULL, EMPTY = torch.ones(1, *SIZE), torch.zeros(1, *SIZE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Contrast(EMPTY, 1.0), "the mask is empty"),
        (lambda: Contrast(FULL, 1.0), "covers the whole picture"),
        (lambda: Content(EMPTY, 1.0), "the mask is empty"),
        (lambda: Inpaint(MASK, 1.0, EMPTY), "the mask of what to fill from is empty"),
        (lambda: Inpaint(MASK, 1.0, OTHER[:, 16:]), "48×16 pixels but the mask is 48×32"),
        (lambda: Inpaint(MASK, 1.0, start="off"), "unknown treatment"),  # type: ignore[arg-type]
        (lambda: MeanSimilarity(MASK, 1.0, EMPTY), "the reference mask is empty"),
        (lambda: LocalSimilarity(MASK, 1.0, (99, 0)), "out of the picture; use a smaller one"),
        (lambda: LocalSimilarityToReference(MASK, 1.0).cropped_reference((64, 64)), "second picture is 64×64"),
        (lambda: Contrast(MASK, -1.0), "cannot be negative; use 0"),
        (lambda: ContentElsewhere(-1.0), "cannot be negative; use 0"),
    ],
)
def test_refusals(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(DragonError, match=message):
        make()


def test_all_of_the_picture_may_be_held() -> None:
    assert Content(FULL, 1.0).image_size == SIZE
