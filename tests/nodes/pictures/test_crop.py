"""DragonCrop and DragonUncrop around the usual graph: a large picture edited on a crop, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

#: A red block on a large picture of soft colours.
HEIGHT, WIDTH, SIDE = 300, 440, 96


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    soft = torch.rand(1, 3, 12, 18, generator=torch.Generator().manual_seed(4))
    image = torch.nn.functional.interpolate(soft, size=(HEIGHT, WIDTH), mode="bicubic").clamp(0, 1).movedim(1, -1).contiguous()
    image[:, 100:160, 120:180] = torch.tensor([0.9, 0.1, 0.1])
    return image


@pytest.fixture(scope="module")
def mask() -> torch.Tensor:
    block = torch.zeros(1, HEIGHT, WIDTH)
    block[:, 100:160, 120:180] = 1
    return block


@pytest.fixture(scope="module")
def energy(run: Any, mask: torch.Tensor) -> Any:
    return run("DragonMoveLoss", mask=mask, dx=80, dy=20)[0]


def test_around_the_usual_graph(run: Any, mini: Any, picture: torch.Tensor, energy: Any) -> None:
    image, edit, crop, _ = run("DragonCrop", image=picture, energy=energy, side=SIDE)
    assert image.shape == (1, *crop.window.size, 3) and edit[0].image_size == crop.window.size
    (positive,) = run("CLIPTextEncode", clip=mini.clip, text="a red apple")
    (latent,) = run("VAEEncode", vae=mini.vae, pixels=image)
    trajectory, *_ = run("DragonInvert", model=mini.model, positive=positive, latent=latent, steps=3)
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    (draft,) = run("DragonDraft", image=image, energy=edit)
    (started,) = run("VAEEncode", vae=mini.vae, pixels=draft)
    links = {"model": mini.model, "positive": positive, "negative": positive, "branch": branch, "energy": edit, "draft": started}
    samples, changed, _ = run("DragonSampler", **links, hold_object_until=1.0, hold_background=1.0)
    (decoded,) = run("VAEDecode", vae=mini.vae, samples=samples)
    (composed,) = run("DragonComposite", image=decoded, source=image, changed=changed, draft=draft, vae=mini.vae)
    (result,) = run("DragonUncrop", crop=crop, image=composed, changed=changed)
    assert result.shape == picture.shape and torch.isfinite(result).all()
    assert torch.equal(result[:, :30], picture[:, :30]) and torch.equal(result[:, :, -60:], picture[:, :, -60:])
    red = torch.tensor([0.9, 0.1, 0.1])
    assert float((result[:, 125:175, 205:255] - red).abs().mean()) < 0.15, "the block has arrived"
    assert float((result[:, 110:115, 125:175] - red).abs().mean()) > 0.1, "and is gone from where it was"


def test_an_edit_in_the_crop_that_is_right_is_right_in_the_picture(run: Any, picture: torch.Tensor, energy: Any) -> None:
    image, edit, crop, _ = run("DragonCrop", image=picture, energy=energy, side=SIDE)
    (small,) = run("DragonDraft", image=image, energy=edit)
    (large,) = run("DragonDraft", image=picture, energy=energy)
    (result,) = run("DragonUncrop", crop=crop, image=small)
    off = (result - large).abs().clone()
    assert float(off[:, 125:175, 205:255].max()) < 0.04
    off[:, 90:170, 110:190] = 0  # what is made up there is the crop's
    assert float(off.mean()) < 0.002


def test_a_picture_no_larger_than_the_model_goes_through(run: Any, picture: torch.Tensor, energy: Any) -> None:
    image, edit, crop, _ = run("DragonCrop", image=picture, energy=energy, side=512)
    assert torch.equal(image, picture)
    (plain,) = run("DragonDraft", image=picture, energy=energy)
    (drafted,) = run("DragonDraft", image=image, energy=edit)
    assert torch.equal(plain, drafted)
    (result,) = run("DragonUncrop", crop=crop, image=drafted)
    torch.testing.assert_close(result, drafted, atol=1e-6, rtol=0)


def test_paste_from_a_second_picture(run: Any, refused: Any, picture: torch.Tensor, mask: torch.Tensor) -> None:
    (energy,) = run("DragonPasteLoss", reference_mask=mask, x=300, y=200)
    image, edit, crop, _ = run("DragonCrop", image=picture, energy=energy, side=SIDE)
    (small,) = run("DragonDraft", image=image, energy=edit, reference=picture)
    (result,) = run("DragonUncrop", crop=crop, image=small, reference=picture)
    assert float((result[:, 175:225, 275:325] - torch.tensor([0.9, 0.1, 0.1])).abs().max()) < 0.02
    with refused("DragonUncrop", "second picture"):
        run("DragonUncrop", crop=crop, image=small)


@pytest.mark.parametrize("large", [True, False], ids=["both cropped", "only the second"])
def test_a_large_second_picture_is_cropped_too(run: Any, picture: torch.Tensor, mask: torch.Tensor, large: bool) -> None:
    """Whichever is larger than the model: the object arrives as from the full picture, with its own sharp pixels."""
    first = picture.flip(0, 2) if large else picture[:, :64, :96]
    goal = (300, 200) if large else (48, 32)
    given = {"reference_mask": mask, "x": goal[0], "y": goal[1], "scale": 0.5}
    (energy,) = run("DragonPasteLoss", **given)
    image, edit, crop, second = run("DragonCrop", image=first, energy=energy, side=SIDE, reference=picture)
    assert second.shape[1] * second.shape[2] <= 1.1 * SIDE**2 and second.shape[1] % 16 == second.shape[2] % 16 == 0
    assert image.shape[1] * image.shape[2] <= 1.1 * SIDE**2
    (small,) = run("DragonDraft", image=image, energy=edit, reference=second)
    (full,) = run("DragonDraft", image=first, energy=energy, reference=picture)
    (result,) = run("DragonUncrop", crop=crop, image=small)
    assert result.shape == first.shape
    assert float((result - full).abs().max()) < 0.06


def test_the_look_of_a_large_second_picture(run: Any, picture: torch.Tensor, mask: torch.Tensor) -> None:
    (energy,) = run("DragonAppearanceLoss", mask=mask.flip(1), reference_mask=mask)
    ground = picture.flip(2)
    image, edit, crop, second = run("DragonCrop", image=ground, energy=energy, side=SIDE, reference=picture)
    (small,) = run("DragonDraft", image=image, energy=edit, reference=second)
    (result,) = run("DragonUncrop", crop=crop, image=small)
    _, whole, alone, _ = run("DragonCrop", image=ground, energy=energy, side=SIDE)
    (uncropped,) = run("DragonDraft", image=image, energy=whole, reference=picture)
    (wanted,) = run("DragonUncrop", crop=alone, image=uncropped, reference=picture)
    assert float((wanted - ground).abs().max()) > 0.3, "the look has changed"
    assert float((result - wanted).abs().max()) < 0.01, "as much as with all of the second picture"


def test_a_second_picture_that_lies_over_the_first(run: Any, picture: torch.Tensor, mask: torch.Tensor) -> None:
    """Dragon Similarity Loss compares place by place: both are cropped alike, and what is pasted from it is in the window, too."""
    (similar,) = run("DragonSimilarityLoss", mask=mask.roll(100, 2), compare="local", picture="second picture")
    (energy,) = run("DragonPasteLoss", reference_mask=mask, x=300, y=200, energy=similar)
    image, edits, _, second = run("DragonCrop", image=picture.flip(1), energy=energy, side=SIDE, reference=picture)
    assert second.shape == image.shape
    assert edits[0].mask.shape[1:] == edits[1].reference_mask.shape[1:] == image.shape[1:3]
    red = (second[..., 0] > 0.8) & (second[..., 1:] < 0.2).all(-1)
    assert float((edits[1].reference_mask[red] > 0.5).float().mean()) > 0.9, "the mask lies on the block"


def test_a_second_picture_that_is_none(run: Any, picture: torch.Tensor, energy: Any, mask: torch.Tensor, refused: Any) -> None:
    """None given: said by what uses the output; none needed: through as it is; of another size than its mask: refused."""
    *_, missing = run("DragonCrop", image=picture, energy=energy, side=SIDE)
    assert "connect it to reference" in missing.message
    *_, unused = run("DragonCrop", image=picture, energy=energy, side=SIDE, reference=picture.flip(1))
    assert torch.equal(unused, picture.flip(1))
    (pasted,) = run("DragonPasteLoss", reference_mask=mask, x=300, y=200)
    with refused("DragonCrop", "the reference mask is"):
        run("DragonCrop", image=picture, energy=pasted, side=SIDE, reference=picture[:, :100])
    image, _, crop, _ = run("DragonCrop", image=picture, energy=pasted, side=SIDE)
    with refused("DragonUncrop", "the reference mask is"):
        run("DragonUncrop", crop=crop, image=image, reference=picture[:, :100])


def test_one_edit_for_a_batch(run: Any, refused: Any, picture: torch.Tensor, energy: Any) -> None:
    both = torch.cat([picture, picture.flip(1)])
    image, _, crop, _ = run("DragonCrop", image=both, energy=energy, side=SIDE)
    assert len(image) == 2
    assert run("DragonUncrop", crop=crop, image=image)[0].shape == both.shape
    with refused("DragonUncrop", "3 edited crops, 2 pictures cannot be put together"):
        run("DragonUncrop", crop=crop, image=torch.cat([image, image[:1]]))


def test_what_does_not_fit_is_refused(run: Any, refused: Any, picture: torch.Tensor, mask: torch.Tensor, energy: Any) -> None:
    image, _, crop, _ = run("DragonCrop", image=picture, energy=energy, side=SIDE)
    height, width = crop.window.size
    with refused("DragonUncrop", f"the edited crop is 32×16 pixels, the crop {width}×{height}"):
        run("DragonUncrop", crop=crop, image=torch.zeros(1, 16, 32, 3))
    with refused("DragonUncrop", f"changed is {WIDTH}×{HEIGHT} pixels, the crop {width}×{height}"):
        run("DragonUncrop", crop=crop, image=image, changed=mask)
    with refused("DragonUncrop", "changed has values that are not numbers"):
        run("DragonUncrop", crop=crop, image=image, changed=torch.full((1, height, width), torch.nan))
    with refused("DragonCrop", "there is no edit"):
        run("DragonCrop", image=picture, energy=())
    with refused("DragonCrop", f"the mask is {WIDTH}×{HEIGHT} pixels but the picture is {WIDTH}×100"):
        run("DragonCrop", image=picture[:, :100], energy=energy)
    (content,) = run("DragonContentLoss")
    with refused("DragonCrop", "no edit has a place"):
        run("DragonCrop", image=picture, energy=content)
