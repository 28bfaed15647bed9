"""Edits made directly in a picture, the draft of a path, and the mask of what may have changed."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest
import torch

from dragon_core.edits import chain
from dragon_core.edits.appearance import Appearance
from dragon_core.edits.move import Move
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp
from dragon_core.imaging.masks import feathered, grown

SIZE = (48, 64)


def block(top: int, left: int, size: int = 8) -> torch.Tensor:
    mask = torch.zeros(1, *SIZE)
    mask[0, top : top + size, left : left + size] = 1
    return mask


def test_two_objects_change_places_in_pixels() -> None:
    """Either is where the other was; the ground is one tone, so the filled rims are too."""
    picture = torch.full((1, 3, *SIZE), 0.5)
    picture[..., 16:24, 8:16], picture[..., 16:24, 40:48] = 0.9, 0.1
    edits = [Move(block(16, 8), AffineWarp(SIZE, shift=(32, 0))), Move(block(16, 40), AffineWarp(SIZE, shift=(-32, 0)))]
    wanted = picture.clone()
    wanted[..., 16:24, 8:16], wanted[..., 16:24, 40:48] = 0.1, 0.9
    torch.testing.assert_close(chain.edited_picture(edits, picture), wanted)


def test_no_edit_is_the_picture_itself() -> None:
    picture = torch.rand(1, 3, *SIZE)
    assert chain.edited_picture([], picture) is picture


def test_draft_takes_the_place_of_what_the_edit_changes_at_every_level() -> None:
    """And of the cells beside it, where an encoder leaves its traces."""
    edits = [Move(block(16, 8, 16), AffineWarp(SIZE, shift=(8, 0)))]
    path = torch.randn(3, 1, 4, 12, 16, generator=torch.Generator().manual_seed(1))
    sigmas, noise, draft = torch.tensor([4.0, 1.0, 0.0]), torch.randn(1, 4, 12, 16), torch.full((1, 4, 12, 16), 7.0)
    plain, drafted = (chain.edited_path(edits, path, sigmas, noise, draft=d) for d in (None, draft))
    edited = (plain[-1] != path[-1]).any(1)
    changed = (grown(edited.float(), chain.DRAFT_MARGIN) > 0).unsqueeze(1).expand_as(draft)
    assert 0 < int(edited.sum()) < int(changed[:, 0].sum()) < edited.numel()
    assert torch.equal(drafted[-1][changed], draft[changed])
    for with_draft, without, clean in zip(drafted, plain, (plain[-1],) * 3, strict=True):
        assert torch.equal(with_draft[~changed], without[~changed])
        torch.testing.assert_close(with_draft[changed], (without - clean + draft)[changed])


def test_feathered_by_counting_cells() -> None:
    mask = torch.zeros(1, 1, 24)
    mask[..., 12] = 1
    got = feathered(mask.expand(1, 24, 24), 8)[0, 0].tolist()
    wanted = [0.0] * 24
    for distance, value in enumerate([1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]):
        wanted[12 - distance] = wanted[min(23, 12 + distance)] = value
    torch.testing.assert_close(torch.tensor(got), torch.tensor(wanted))
    assert torch.equal(feathered(mask, 0), mask)


def test_a_wide_feather_costs_little_more_than_a_narrow_one() -> None:
    """Of a large picture it is wide: by squares it took a large part of the way back from a crop."""
    mask = torch.zeros(1, 600, 800)
    mask[:, 200:300, 300:400] = 1
    seconds = {}
    for margin in (8, 96):
        taken = []
        for _ in range(3):
            began = time.process_time()
            feathered(mask, margin)
            taken.append(time.process_time() - began)
        seconds[margin] = min(taken)
    assert seconds[96] < 8 * seconds[8], seconds
    across, down = feathered(mask, 96)[0, 250], feathered(mask, 96)[0, :, 350]
    assert across[300 - 96 - 1] == 0 and across[300 - 48] == 1 and torch.allclose(down[104:200], across[204:300], atol=1e-6)


def test_feather_does_not_fade_towards_the_frame() -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, :, :4] = 1
    assert torch.equal(feathered(mask, 4)[..., :4], mask[..., :4])


def test_changed_mask_covers_old_and_new_place() -> None:
    changed = chain.changed_mask([Move(block(16, 8), AffineWarp(SIZE, shift=(24, 0)))], SIZE, margin=4)
    for left in (8, 32):
        assert float(changed[0, 16:24, left : left + 8].min()) == 1
    assert float(changed[0, :8].max()) == 0 and float(changed[0, 16:24, 22:26].max()) == 0


def latents() -> torch.Tensor:
    return torch.randn(1, 4, 12, 16, generator=torch.Generator().manual_seed(3))


def two_moves() -> list[Move]:
    return [Move(block(16, 0, 16), AffineWarp(SIZE, shift=(8, 0))), Move(block(16, 40, 8), AffineWarp(SIZE, shift=(12, 8)))]


def test_draft_without_one_of_the_edits_is_refused() -> None:
    """Connected to the first of two chained moves only: the second object used to stay where it was."""
    clean, edits = latents(), two_moves()
    chain.check_draft(edits, clean, chain.edited_picture(edits, clean))
    with pytest.raises(DragonError, match="without edit 2 of the 2 in energy: connect the same energy to Dragon Draft"):
        chain.check_draft(edits, clean, chain.edited_picture(edits[:1], clean))


def test_draft_that_is_the_source_is_refused() -> None:
    """A bypassed Dragon Draft passes its picture through."""
    clean = latents()
    with pytest.raises(DragonError, match="without the edit: .* do not bypass"):
        chain.check_draft(two_moves()[:1], clean, clean + 1e-3)


def test_draft_of_more_than_is_asked_for_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    clean, edits = latents(), two_moves()
    with caplog.at_level(logging.WARNING):
        chain.check_draft(edits[:1], clean, chain.edited_picture(edits[:1], clean))
        assert not caplog.text
        chain.check_draft(edits[:1], clean, chain.edited_picture(edits, clean))
    assert "another energy" in caplog.text


def test_masks_are_counted() -> None:
    three = replace(two_moves()[0], mask=block(16, 0, 16).repeat(3, 1, 1))
    with pytest.raises(DragonError, match="3 masks for 1 picture: use one mask"):
        chain.fitted([three], SIZE, 1, pictures=1)
    assert chain.fitted([three], SIZE, 1, pictures=3)
    look = Appearance(block(16, 0), block(16, 8).repeat(2, 1, 1))
    with pytest.raises(DragonError, match=r"2 masks \(reference mask of edit 2\) for 3 pictures"):
        chain.fitted([three, look], SIZE, 1, SIZE, 3)


def test_a_run_that_needs_only_its_start_edits_no_other_level() -> None:
    edits = [Move(block(16, 8, 16), AffineWarp(SIZE, shift=(8, 0)))]
    path = torch.randn(4, 1, 4, 12, 16, generator=torch.Generator().manual_seed(1))
    sigmas, noise = torch.tensor([4.0, 2.0, 1.0, 0.0]), torch.randn(1, 4, 12, 16)
    whole, start = (chain.edited_path(edits, path, sigmas, noise, only_start=only) for only in (False, True))
    assert torch.equal(start[0], whole[0]) and torch.equal(start[-1], whole[-1])
    assert torch.equal(start[1:-1], path[1:-1]) and not torch.equal(whole[1:-1], path[1:-1])
