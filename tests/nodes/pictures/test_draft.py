"""DragonDraft edits pixels; DragonSampler starts from its latent where the edit changes something, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

#: A red block on a striped ground, 8 pixels to a stripe: what is under the block is known exactly.
SIDE, TOP, LEFT, SIZE = 96, 32, 16, 24
RED = torch.tensor([0.9, 0.1, 0.1])


def ground() -> torch.Tensor:
    image = torch.full((1, SIDE, SIDE, 3), 0.5)
    for column in range(0, SIDE, 16):
        image[:, :, column : column + 8] = torch.tensor([0.3, 0.6, 0.7])
    return image


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    image = ground()
    image[:, TOP : TOP + SIZE, LEFT : LEFT + SIZE] = RED
    return image


@pytest.fixture(scope="module")
def mask() -> torch.Tensor:
    block = torch.zeros(1, SIDE, SIDE)
    block[:, TOP : TOP + SIZE, LEFT : LEFT + SIZE] = 1
    return block


def test_object_moves_and_the_ground_goes_on(run: Any, picture: torch.Tensor, mask: torch.Tensor) -> None:
    (energy,) = run("DragonMoveLoss", mask=mask, dx=45, dy=-5)
    (draft,) = run("DragonDraft", image=picture, energy=energy)
    wanted = ground()
    wanted[:, TOP - 5 : TOP - 5 + SIZE, LEFT + 45 : LEFT + 45 + SIZE] = RED
    assert draft.shape == picture.shape
    assert float((draft - wanted).abs().max()) < 0.02


def test_untouched_pixels_are_the_pictures_own(run: Any, picture: torch.Tensor, mask: torch.Tensor) -> None:
    (energy,) = run("DragonMoveLoss", mask=mask, dx=45, dy=0)
    (draft,) = run("DragonDraft", image=picture, energy=energy)
    assert torch.equal(draft[:, 70:], picture[:, 70:])


def test_mask_of_another_size_is_refused(run: Any, picture: torch.Tensor) -> None:
    other = torch.zeros(1, 64, 64)
    other[:, 10:30, 10:30] = 1
    (energy,) = run("DragonMoveLoss", mask=other, dx=16, dy=0)
    with pytest.raises(ValueError, match="DragonDraft: the mask is 64×64 pixels but the picture is 96×96"):
        run("DragonDraft", image=picture, energy=energy)


def held(scene: Any, sample: Any, energy: Any, **given: Any) -> torch.Tensor:
    """An edit that follows its path to the end: what comes out is the path's clean latent."""
    return sample(scene, energy=energy, hold_object_until=1.0, hold_background=1.0, **given)


def test_sampler_starts_from_the_draft_in_the_edit_and_close_to_it_only(scene: Any, sample: Any, move: Any) -> None:
    energy = move(scene, dx=16, dy=0)
    plain = held(scene, sample, energy)
    source = scene.latent["samples"]
    drafted = held(scene, sample, energy, draft={"samples": torch.full_like(source, 0.25)})
    edited = ((plain - source).abs() > 1e-4).any(1, keepdim=True).expand_as(source)
    assert bool(edited.any()) and not bool(edited.all())
    torch.testing.assert_close(drafted[edited], torch.full_like(drafted[edited], 0.25), atol=1e-5, rtol=0)
    far = torch.nn.functional.max_pool2d(edited.float(), 5, stride=1, padding=2) == 0
    assert bool(far.any())
    assert torch.equal(drafted[far], plain[far])


def test_draft_of_another_size_is_refused(scene: Any, sample: Any, move: Any) -> None:
    with pytest.raises(ValueError, match="DragonSampler: the draft's latent is"):
        sample(scene, energy=move(scene, dx=16, dy=0), draft={"samples": torch.zeros(1, 4, 5, 5)})


def test_draft_that_is_no_number_is_refused(scene: Any, sample: Any, move: Any) -> None:
    broken = torch.full(scene.trajectory.latents.shape[1:], float("nan"))
    with pytest.raises(ValueError, match="not numbers"):
        sample(scene, energy=move(scene, dx=16, dy=0), draft={"samples": broken})


def test_draft_is_cancelled_between_its_stages(run: Any, picture: torch.Tensor, mask: torch.Tensor) -> None:
    import comfy.model_management

    (energy,) = run("DragonMoveLoss", mask=mask, dx=45, dy=0)
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run("DragonDraft", image=picture, energy=energy)
    run("DragonDraft", image=picture, energy=energy)
