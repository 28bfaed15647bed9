"""Merging the reference's tokens into the generation's keys and values, row by row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dragon_core.diffusion.schedule import Window
from dragon_core.diffusion.sharing import Sharing, TokenSelection, merge_tokens
from dragon_core.errors import DragonError

#: Rows as ComfyUI batches them: the negative prompt's pictures, then the positive one's.
ROWS, BATCH, LENGTH, CHANNELS = 2, 3, 4, 5


def tokens() -> tuple[Tensor, Tensor]:
    """Every token of the generation and of the reference has a number of its own."""
    own = torch.arange(ROWS * BATCH * LENGTH * CHANNELS, dtype=torch.float32).view(ROWS * BATCH, LENGTH, CHANNELS)
    return own, -1 - torch.arange(BATCH * LENGTH * CHANNELS, dtype=torch.float32).view(BATCH, LENGTH, CHANNELS)


def test_replace_shows_each_picture_its_own_reference_in_every_row() -> None:
    own, reference = tokens()
    merged = merge_tokens(own, reference, "replace")
    assert merged.shape == own.shape
    for row in range(ROWS):
        for b in range(BATCH):
            assert torch.equal(merged[row * BATCH + b], reference[b])


def test_concat_shows_its_own_tokens_first_then_the_reference() -> None:
    own, reference = tokens()
    merged = merge_tokens(own, reference, "concat")
    assert merged.shape == (ROWS * BATCH, 2 * LENGTH, CHANNELS)
    for row in range(ROWS):
        for b in range(BATCH):
            assert torch.equal(merged[row * BATCH + b, :LENGTH], own[row * BATCH + b])
            assert torch.equal(merged[row * BATCH + b, LENGTH:], reference[b])


def test_reference_of_another_length_is_concatenated() -> None:
    own, reference = tokens()
    assert merge_tokens(own, reference[:, :2], "concat").shape == (ROWS * BATCH, LENGTH + 2, CHANNELS)


def test_attention_over_a_replaced_reference_is_attention_within_it() -> None:
    """With the reference's queries, the generation computes exactly what the reference does."""
    own, reference = (t / 50 for t in tokens())
    merged = merge_tokens(own, reference, "replace")
    queries = reference.repeat(ROWS, 1, 1)
    got = torch.nn.functional.scaled_dot_product_attention(queries, merged, merged)
    expected = torch.nn.functional.scaled_dot_product_attention(reference, reference, reference)
    torch.testing.assert_close(got, expected.repeat(ROWS, 1, 1))


def test_reference_takes_the_precision_of_the_generation() -> None:
    own, reference = tokens()
    for mode in ("replace", "concat"):
        assert merge_tokens(own.half(), reference.double(), mode).dtype == torch.float16  # type: ignore[arg-type]


def test_inputs_are_left_alone() -> None:
    own, reference = tokens()
    before = own.clone(), reference.clone()
    for mode in ("replace", "concat"):
        merge_tokens(own, reference, mode).zero_()  # type: ignore[arg-type]
    assert torch.equal(own, before[0]) and torch.equal(reference, before[1])


def test_sharing_starts_after_a_tenth_by_default() -> None:
    """i ≥ 5 of 50 (docs/method.md, section 8)."""
    assert Sharing().mode == "replace"
    assert [i for i in range(50) if Sharing().window.contains(i / 49)] == list(range(5, 50))


def test_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DragonError, match=r"'blend'.*'replace', 'concat'"):
        Sharing("blend", Window(0, 1))  # type: ignore[arg-type]


def test_two_pictures_are_seen_outside_and_inside_their_masks() -> None:
    """The source's tokens outside what is covered, then the second picture's inside what is taken, by their numbers."""
    covered, taken = torch.zeros(1, 2, 3), torch.zeros(1, 3, 2)
    covered[0, 0, 1], covered[0, 1, 2], covered[0, 0, 0] = 1.0, 0.6, 0.4
    taken[0, 2, 0], taken[0, 0, 1], taken[0, 1, 1] = 0.5, 0.9, 0.3
    source = torch.arange(2 * 6 * 4, dtype=torch.float32).view(2, 6, 4)
    reference = -1 - torch.arange(2 * 6 * 4, dtype=torch.float32).view(2, 6, 4)
    seen = TokenSelection.of(covered, taken).joined(source, reference)
    for b in range(2):
        expected = [source[b, k] for k in (0, 2, 3, 4)] + [reference[b, k] for k in (1, 4)]
        assert torch.equal(seen[b], torch.stack(expected))


def test_a_small_object_is_seen_on_a_coarse_grid() -> None:
    taken = torch.zeros(1, 2, 2)
    taken[0, 1, 0], taken[0, 1, 1] = 0.2, 0.1
    assert TokenSelection.of(torch.zeros(1, 2, 2), taken).reference.tolist() == [2]


def test_masks_of_a_batch_are_refused_for_two_pictures() -> None:
    with pytest.raises(DragonError, match="one mask for all pictures"):
        TokenSelection.of(torch.zeros(2, 2, 2), torch.zeros(1, 2, 2))
