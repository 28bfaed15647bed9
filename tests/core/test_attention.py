"""Merging the reference's tokens into the generation's keys and values, row by row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dragon_core.attention import Sharing, merge_tokens
from dragon_core.errors import DragonError
from dragon_core.schedule import Window

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
    """i ≥ 5 of 50 (algorithm.md section 8)."""
    assert Sharing().mode == "replace"
    assert [i for i in range(50) if Sharing().window.contains(i, 50)] == list(range(5, 50))


def test_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DragonError, match=r"'blend'.*'replace', 'concat'"):
        Sharing("blend", Window(0, 1))  # type: ignore[arg-type]
