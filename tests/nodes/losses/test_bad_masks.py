"""Masks and shifts that cannot be used: what DragonMoveLoss and DragonSampler say."""

from __future__ import annotations

from typing import Any

import pytest
import torch


def test_empty_mask(scene: Any, move: Any, refused: Any) -> None:
    with refused("DragonMoveLoss", "mask is empty", "paint over the object"):
        move(scene, mask=torch.zeros(1, 64, 96))


def test_faint_mask(scene: Any, move: Any, refused: Any) -> None:
    """A mask that is nowhere more than half is as good as empty."""
    with refused("DragonMoveLoss", "mask is empty", "paint over the object"):
        move(scene, mask=torch.full((1, 64, 96), 0.4))


def test_full_mask(scene: Any, move: Any, refused: Any) -> None:
    with refused("DragonMoveLoss", "covers the whole picture", "paint only over the object"):
        move(scene, mask=torch.ones(1, 64, 96))


def test_one_empty_mask_of_two(scene: Any, move: Any, refused: Any) -> None:
    with refused("DragonMoveLoss", "mask is empty"):
        move(scene, mask=torch.cat((scene.mask, torch.zeros(1, 64, 96))))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_mask_with_nan(scene: Any, move: Any, refused: Any, value: float) -> None:
    mask = scene.mask.clone()
    mask[0, 0, 0] = value
    with refused("DragonMoveLoss", "mask", "not numbers"):
        move(scene, mask=mask)


@pytest.mark.parametrize("shape", [(1, 32, 48), (1, 96, 64), (1, 64, 104)])
def test_mask_of_another_size(scene: Any, sample: Any, move: Any, run: Any, mini: Any, refused: Any, shape: tuple[int, ...]) -> None:
    """Seen where picture and mask meet: both sizes are told, as width × height."""
    mask = torch.zeros(shape)
    mask[:, 8:24, 8:24] = 1
    energy = move(scene, mask=mask, dx=8)
    words = (f"mask is {shape[2]}×{shape[1]} pixels", "picture is 96×64", "use a mask of the picture's size")
    with refused("DragonSampler", *words):
        sample(scene, energy=energy)
    with refused("DragonGuider", *words):
        run("DragonGuider", model=mini.model, positive=scene.positive, negative=scene.negative, branch=scene.branch, energy=energy)


def test_another_number_of_masks(make_scene: Any, sample: Any, move: Any, refused: Any) -> None:
    """One mask serves all pictures, or each picture has its own."""
    pair = make_scene(batch=2)
    energy = move(pair, mask=pair.mask.repeat(3, 1, 1))
    with refused("DragonSampler", "3 masks", "2 pictures"):
        sample(pair, energy=energy)


def test_shift_partly_out_of_the_picture(scene: Any, sample: Any, move: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The object is cropped at the frame, and a warning says so; a shift that stays inside warns of nothing."""
    move(scene, dx=8, dy=0)
    assert not caplog.records
    energy = move(scene, dx=75, dy=0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "part of the edited object leaves the picture" in caplog.text
    assert torch.isfinite(sample(scene, energy=energy)).all()


@pytest.mark.parametrize("shift", [{"dx": 96}, {"dx": -96}, {"dy": 64, "dx": 0}, {"dy": -8192, "dx": 8192}])
def test_shift_wholly_out_of_the_picture(scene: Any, move: Any, refused: Any, shift: dict[str, int]) -> None:
    with refused("DragonMoveLoss", "whole object out of the picture", "use a smaller shift"):
        move(scene, **shift)


def test_no_shift(scene: Any, sample: Any, move: Any) -> None:
    """Moving by nothing is allowed: there is no vacated place."""
    assert torch.isfinite(sample(scene, energy=move(scene, dx=0, dy=0))).all()
