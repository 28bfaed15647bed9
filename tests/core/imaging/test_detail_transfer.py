"""Sharp pixels of a large draft, light of a small edit."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from dragon_core.imaging.crop_window import resampled
from dragon_core.imaging.detail_transfer import transfer_detail

LARGE, SMALL = (128, 192), (32, 48)


def noise(seed: int = 1) -> torch.Tensor:
    return 0.3 + 0.4 * torch.rand(1, 3, *LARGE, generator=torch.Generator().manual_seed(seed))


def object_() -> torch.Tensor:
    mask = torch.zeros(1, *LARGE)
    mask[:, 40:90, 60:120] = 1
    return mask


def test_where_the_model_changed_nothing_the_draft_stays_to_the_bit() -> None:
    draft = noise()
    assert torch.equal(transfer_detail(draft, resampled(draft, SMALL), object_()), draft)


def test_light_that_ends_at_the_outline_ends_there_in_the_large_picture() -> None:
    draft, mask = noise(), object_()
    wanted = draft * torch.where(mask[:, None] > 0, 0.6, 1.0)
    result = transfer_detail(draft, resampled(wanted, SMALL), mask)
    off = (result - wanted).abs().mean(1)
    assert float(off.mean()) < 0.02
    assert float(off[mask == 0].mean()) < 0.01
    inside = mask[0] > 0
    assert float(result[0, :, inside].std() / wanted[0, :, inside].std()) > 0.9, "texture is kept"


def test_a_shadow_on_the_ground_keeps_the_grounds_texture() -> None:
    draft = noise()
    shadow = 1 - 0.5 * F.interpolate(torch.ones(1, 1, 8, 12).index_fill(2, torch.tensor([0, 1, 2, 3]), 0.0), size=LARGE, mode="bilinear")
    wanted = draft * shadow
    result = transfer_detail(draft, resampled(wanted, SMALL), torch.zeros(1, *LARGE))
    without = (draft - wanted).abs().mean()
    assert float((result - wanted).abs().mean()) < 0.2 * float(without)


def test_what_the_model_replaced_is_the_models() -> None:
    """Nothing of the draft's object is left where the edit shows another one."""
    draft, mask = torch.full((1, 3, *LARGE), 0.5), object_()
    stripes = (torch.arange(LARGE[1]) // 8 % 2).float().expand(LARGE)
    draft = torch.where(mask[:, None] > 0, stripes, draft)
    other = torch.where(mask[:, None] > 0, 1 - stripes, torch.full((), 0.5)).expand_as(draft)
    result = transfer_detail(draft, resampled(other, SMALL), mask)
    core = result[0, :, 50:80, 72:108] - other[0, :, 50:80, 72:108]
    assert float(core.abs().mean()) < 0.15 < float((draft - other)[0, :, 50:80, 72:108].abs().mean())


def test_a_batch_of_edits_of_one_draft() -> None:
    draft = noise()
    edited = torch.cat([resampled(draft, SMALL), (resampled(draft, SMALL) + 0.1).clamp(0, 1)])
    result = transfer_detail(draft, edited, object_())
    assert result.shape == (2, 3, *LARGE)
    assert torch.equal(result[:1], draft) and float((result[1] - draft[0]).mean()) > 0.09
