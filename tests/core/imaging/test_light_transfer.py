"""The model's light on the draft's pixels: slow changes are taken over, and nothing of what a VAE loses."""

from __future__ import annotations

import pytest
import torch

from dragon_core.imaging.light_transfer import BESIDE, COLOUR, GAMMA, MOST_GAIN, NOTICED, RADIUS, RIM, SEEN, transfer_light
from dragon_core.imaging.windows import smoothed

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


@pytest.mark.parametrize("known", [False, True])
def test_an_edit_that_is_its_draft_becomes_the_draft_to_the_bit(known: bool) -> None:
    draft, lossy = pictures()
    object_ = box(slice(8, 24), slice(8, 40))
    assert torch.equal(transfer_light(draft, lossy, lossy, object_, NOWHERE, object_ * known), draft)


def test_light_is_taken_over_and_detail_kept() -> None:
    draft, lossy = pictures()
    ramp = torch.linspace(-0.2, 0.2, SIZE[1]).expand(1, 3, *SIZE)
    result = transfer_light(draft, lossy + ramp, lossy, torch.ones(1, *SIZE), NOWHERE, NOWHERE)
    inner = slice(2 * RADIUS, SIZE[1] - 2 * RADIUS)
    torch.testing.assert_close(result[..., inner], (draft + ramp)[..., inner], atol=1e-5, rtol=0)


def test_a_lamp_multiplies_an_objects_pattern() -> None:
    """Half the light is half of each stripe's, which a difference of means would not give."""
    stripes = torch.where(torch.arange(SIZE[1]) % 8 < 4, 0.8, 0.2).expand(1, 3, *SIZE)
    everywhere = torch.ones(1, *SIZE)
    dimmed = stripes * 0.5 ** (1 / GAMMA)
    result = transfer_light(stripes, dimmed, stripes, everywhere, NOWHERE, everywhere)
    torch.testing.assert_close(result, dimmed, atol=0.01, rtol=0)
    added = transfer_light(stripes, dimmed, stripes, everywhere, NOWHERE, NOWHERE)
    assert float((added - dimmed).abs().max()) > 0.05


def test_known_colours_are_lit_and_hardly_tinted_guessed_ones_are_the_models() -> None:
    grey = torch.full((1, 3, *SIZE), 0.5)
    tinted = grey * torch.tensor([1.3, 1.0, 0.7]).view(1, 3, 1, 1)
    everywhere = torch.ones(1, *SIZE)

    def tint(result: torch.Tensor) -> float:
        red, _, blue = result[0, :, SIZE[0] // 2, SIZE[1] // 2]
        return float((red / blue).log() / (tinted[0, 0, 0, 0] / tinted[0, 2, 0, 0]).log())

    assert tint(transfer_light(grey, tinted, grey, everywhere, NOWHERE, everywhere)) == pytest.approx(COLOUR, abs=0.02)
    assert tint(transfer_light(grey, tinted, grey, everywhere, NOWHERE, NOWHERE)) == pytest.approx(1, abs=0.02)


def test_where_the_model_shows_something_else_light_has_bounds() -> None:
    """A dark handle that the model left out, so that bright ground is seen in its place, is no handle in bright light."""
    dark, ground = torch.full((1, 3, *SIZE), 0.1), torch.full((1, 3, *SIZE), 0.9)
    everywhere = torch.ones(1, *SIZE)
    result = transfer_light(dark, ground, dark, everywhere, NOWHERE, everywhere)
    torch.testing.assert_close(result, dark * MOST_GAIN)


def test_of_each_thing_it_is_asked_whether_its_light_has_changed() -> None:
    """What changes by less than a model's own error keeps its pixels, beside one that is dimmed by a third."""
    draft, lossy = pictures()
    first, second = box(slice(16, 48), slice(4, 40)), box(slice(16, 48), slice(56, 92))
    both = first + second
    edited = lossy * (1 - 0.8 * NOTICED * first - 0.3 * second).unsqueeze(1)
    result = transfer_light(draft, edited, lossy, both, NOWHERE, both)
    inner = (..., slice(20, 44), slice(8, 36))
    assert torch.equal(result[inner], draft[inner])
    inner = (..., slice(20, 44), slice(60, 88))
    torch.testing.assert_close(result[inner], 0.7 * draft[inner], atol=0.01, rtol=0)
    batch = transfer_light(draft, torch.cat((edited, lossy)), lossy, both, NOWHERE, both)
    assert torch.equal(batch[:1], result) and torch.equal(batch[1:], draft)


def test_of_two_things_put_in_one_picture_each_has_its_own() -> None:
    """A moved object is lit beside one whose colours are new."""
    draft, lossy = pictures()
    moved, recoloured = box(slice(16, 48), slice(4, 40)), box(slice(16, 48), slice(56, 92))
    red = lossy + torch.tensor([0.2, 0, 0]).view(1, 3, 1, 1)
    gained = transfer_light(draft, red, lossy, moved + recoloured, NOWHERE, moved)[0] - draft[0]
    assert float(gained[1, 32, 74].abs()) < 1e-5 and float(gained[0, 32, 74] - 0.2) < 1e-5
    assert float(gained[1, 32, 22]) > 0.01


def test_light_ends_at_an_outline() -> None:
    """Also where a VAE's blur carries it a little further: no bright rim is left around what has become brighter."""
    draft, lossy = pictures()
    object_ = box(slice(16, 48), slice(30, 60))
    for light in (object_, smoothed(object_.unsqueeze(1), 1).squeeze(1)):
        bright = draft + 0.25 * object_.unsqueeze(1)  # so that its outline is seen
        gained = (transfer_light(bright, lossy + 0.2 * light.unsqueeze(1), lossy, object_, NOWHERE, NOWHERE) - bright)[0, 0]
        assert float((gained - 0.2)[object_[0] > 0].abs().max()) < 0.05
        assert float(gained[object_[0] == 0].abs().max()) < 1e-5


def test_of_a_wide_mask_the_pixels_between_object_and_ground_are_lit_as_the_ground() -> None:
    """They are part ground; brightened as the object is, they would be a bright line around it."""
    ground = torch.full((1, 3, *SIZE), 0.5)
    object_, mixed = box(slice(20, 44), slice(34, 56)), box(slice(19, 45), slice(33, 57))
    draft = ground - 0.3 * object_.unsqueeze(1) - 0.15 * (mixed - object_).unsqueeze(1)
    wide = box(slice(17, 47), slice(31, 59))
    result = transfer_light(draft, draft * (1 + 0.4 * object_.unsqueeze(1)), draft, wide, NOWHERE, wide)
    assert float((result - draft)[0, :, 26:38, 40:50].min()) > 0.02
    assert float((result - draft)[0, :, object_[0] == 0].abs().max()) < 1e-5


def test_a_shadow_reaches_the_object_that_casts_it() -> None:
    draft, lossy = pictures()
    object_, shadow = box(slice(16, 40), slice(30, 60)), box(slice(40, 56), slice(30, 60))
    result = transfer_light(draft, lossy - 0.1 * shadow.unsqueeze(1), lossy, object_, NOWHERE, object_)
    torch.testing.assert_close((result - draft)[..., 40:46, 40:50], torch.full((1, 3, 6, 10), -0.1), atol=0.01, rtol=0)


def test_an_object_that_the_model_draws_too_large_leaves_no_colour_beside_it() -> None:
    draft, lossy = pictures()
    object_ = box(slice(16, 48), slice(30, 60))
    larger = box(slice(16, 48), slice(30, 60 + BESIDE)).unsqueeze(1)
    red = torch.tensor([0.2, -0.1, -0.1]).view(1, 3, 1, 1)
    bright = draft + 0.25 * object_.unsqueeze(1)
    gained = (transfer_light(bright, lossy + red * larger, lossy, object_, NOWHERE, object_) - bright)[0, :, 24:40, 60 : 60 + BESIDE]
    assert 0 < float((gained[0] - gained[1]).max()) <= 0.3 * COLOUR + 1e-5


def test_outside_what_nobody_sees_changes_nothing_and_a_shadow_is_taken_over() -> None:
    draft, lossy = pictures()
    faint = transfer_light(draft, lossy - 0.9 * SEEN, lossy, NOWHERE, NOWHERE, NOWHERE)
    assert torch.equal(faint, draft)
    shadow = transfer_light(draft, lossy - 4 * SEEN, lossy, NOWHERE, NOWHERE, NOWHERE)
    torch.testing.assert_close(shadow, draft - 4 * SEEN, atol=1e-5, rtol=0)


def test_what_the_draft_made_up_is_the_models_picture() -> None:
    draft, lossy = pictures()
    edited = 1 - lossy
    hole = box(slice(20, 44), slice(20, 70))
    result = transfer_light(draft, edited, lossy, NOWHERE, hole, NOWHERE)
    inner = (..., slice(20 + RIM, 44 - RIM), slice(20 + RIM, 70 - RIM))
    torch.testing.assert_close(result[inner], edited[inner], atol=1e-5, rtol=0)


def test_one_draft_and_mask_serve_a_batch() -> None:
    draft, lossy = pictures()
    result = transfer_light(draft, lossy.expand(3, -1, -1, -1), lossy, NOWHERE, NOWHERE, NOWHERE)
    assert torch.equal(result, draft.expand(3, -1, -1, -1))
