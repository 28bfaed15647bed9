"""The model's light on the draft's pixels: slow changes are taken over, and nothing of what a VAE loses."""

from __future__ import annotations

import torch

from dragon_core.imaging.light_transfer import RADIUS, RIM, SEEN, transfer_light

SIZE = (64, 96)
NOWHERE = torch.zeros(1, *SIZE)


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """A draft away from the ends of the range, and a blurred version of it, (1, 3, 64, 96)."""
    draft = 0.3 + 0.2 * torch.rand((1, 3, *SIZE), generator=torch.Generator().manual_seed(3))
    return draft, torch.nn.functional.avg_pool2d(draft, 5, stride=1, padding=2, count_include_pad=False)


def box(rows: slice, columns: slice) -> torch.Tensor:
    mask = torch.zeros(1, *SIZE)
    mask[:, rows, columns] = 1
    return mask


def test_an_edit_that_is_its_draft_becomes_the_draft_to_the_bit() -> None:
    draft, lossy = pictures()
    assert torch.equal(transfer_light(draft, lossy, lossy, box(slice(8, 24), slice(8, 40)), NOWHERE), draft)


def test_light_is_taken_over_and_detail_kept() -> None:
    draft, lossy = pictures()
    ramp = torch.linspace(-0.2, 0.2, SIZE[1]).expand(1, 3, *SIZE)
    result = transfer_light(draft, lossy + ramp, lossy, torch.ones(1, *SIZE), NOWHERE)
    inner = slice(2 * RADIUS, SIZE[1] - 2 * RADIUS)
    torch.testing.assert_close(result[..., inner], (draft + ramp)[..., inner], atol=1e-5, rtol=0)


def test_light_ends_at_an_outline() -> None:
    draft, lossy = pictures()
    object_ = box(slice(16, 48), slice(30, 60))
    edited = lossy + 0.2 * object_.unsqueeze(1)
    result = transfer_light(draft, edited, lossy, object_, NOWHERE)
    gained = (result - draft)[0, 0]
    assert float((gained[20:44, 34:56] - 0.2).abs().max()) < 1e-5
    assert float(gained[:, :28].abs().max()) == 0 and float(gained[:, 62:].abs().max()) == 0


def test_outside_what_nobody_sees_changes_nothing_and_a_shadow_is_taken_over() -> None:
    draft, lossy = pictures()
    faint = transfer_light(draft, lossy - 0.9 * SEEN, lossy, NOWHERE, NOWHERE)
    assert torch.equal(faint, draft)
    shadow = transfer_light(draft, lossy - 4 * SEEN, lossy, NOWHERE, NOWHERE)
    torch.testing.assert_close(shadow, draft - 4 * SEEN, atol=1e-5, rtol=0)


def test_what_the_draft_made_up_is_the_models_picture() -> None:
    draft, lossy = pictures()
    edited = 1 - lossy
    hole = box(slice(20, 44), slice(20, 70))
    result = transfer_light(draft, edited, lossy, NOWHERE, hole)
    inner = (..., slice(20 + RIM, 44 - RIM), slice(20 + RIM, 70 - RIM))
    torch.testing.assert_close(result[inner], edited[inner], atol=1e-5, rtol=0)


def test_one_draft_and_mask_serve_a_batch() -> None:
    draft, lossy = pictures()
    result = transfer_light(draft, lossy.expand(3, -1, -1, -1), lossy, NOWHERE, NOWHERE)
    assert torch.equal(result, draft.expand(3, -1, -1, -1))
