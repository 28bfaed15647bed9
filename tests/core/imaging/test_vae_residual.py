"""Detail that the VAE lost comes back where the edit agrees with its draft, and only there."""

from __future__ import annotations

import torch

from dragon_core.imaging.vae_residual import TOLERANCE, WINDOW, add_vae_residual


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """A draft and a blurred version of it, (1, 3, 32, 48)."""
    draft = torch.rand((1, 3, 32, 48), generator=torch.Generator().manual_seed(3))
    return draft, torch.nn.functional.avg_pool2d(draft, 5, stride=1, padding=2, count_include_pad=False)


def test_an_edit_that_is_its_draft_becomes_the_draft() -> None:
    draft, lossy = pictures()
    torch.testing.assert_close(add_vae_residual(lossy, draft, lossy), draft)


def test_what_the_model_changed_is_left_as_it_is() -> None:
    draft, lossy = pictures()
    edited = lossy.clone()
    edited[..., :24] = 1 - edited[..., :24].round()  # far from the draft everywhere in the left half
    result = add_vae_residual(edited, draft, lossy)
    far = slice(0, 24 - WINDOW)
    assert float((result[..., far] - edited[..., far]).abs().max()) < 0.1 * float((draft - lossy).abs().max())
    torch.testing.assert_close(result[..., 24 + WINDOW :], draft[..., 24 + WINDOW :])


def test_trust_falls_with_the_difference() -> None:
    draft, lossy = pictures()
    given = []
    for shift in (0.0, 0.5 * TOLERANCE, TOLERANCE, 3 * TOLERANCE):
        middle = lossy * 0.1 + 0.4  # away from the ends of the range, so that nothing is cut off
        result = add_vae_residual(middle + shift, middle + 0.1 * (draft - lossy), middle)
        given.append(float((result - middle - shift).abs().mean()))
    assert given == sorted(given, reverse=True)
    assert abs(given[2] / given[0] - 0.3679) < 0.01
    assert given[3] < 1e-3 * given[0] + 1e-6


def test_strength_zero_is_the_edit_and_half_is_half() -> None:
    draft, lossy = pictures()
    edited = (lossy + 0.02).clamp(0, 1)
    assert torch.equal(add_vae_residual(edited, draft, lossy, strength=0), edited)
    middle = lossy * 0.1 + 0.4
    whole, half = (add_vae_residual(middle, middle + 0.1 * (draft - lossy), middle, strength=s) - middle for s in (1.0, 0.5))
    torch.testing.assert_close(half, 0.5 * whole, atol=1e-6, rtol=0)


def test_one_draft_serves_a_batch() -> None:
    draft, lossy = pictures()
    result = add_vae_residual(lossy.expand(3, -1, -1, -1), draft, lossy)
    torch.testing.assert_close(result, draft.expand(3, -1, -1, -1))
