"""Every mask of an edit is one for all pictures or one for each; and edits are checked, and warn, once."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

from dragon_core.edits import chain
from dragon_core.edits.appearance import Appearance
from dragon_core.edits.base import Edit
from dragon_core.edits.drag import drag
from dragon_core.edits.move import Move
from dragon_core.edits.paste import Paste
from dragon_core.edits.primitives import Content, ContentElsewhere, Contrast, Inpaint, LocalSimilarity, MeanSimilarity
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp

SIZE = (48, 64)


def block(masks: int = 1) -> Tensor:
    mask = torch.zeros(masks, *SIZE)
    mask[:, 8:16, 40:56] = 1
    return mask


def shift(dx: float = 4.0) -> AffineWarp:
    return AffineWarp(SIZE, shift=(dx, 0.0))


THREE_OF = {
    "move": lambda: Move(block(3), shift()),
    "fill of a move": lambda: Move(block(), shift(), fill=block(3).flip(1)),
    "drag": lambda: drag([((44.0, 10.0), (50.0, 12.0))], SIZE, block(3)),
    "appearance": lambda: Appearance(block(3), block()),
    "reference of an appearance": lambda: Appearance(block(), block(3)),
    "content": lambda: Content(block(3), 1.0),
    "contrast": lambda: Contrast(block(3), 1.0),
    "fill of an inpaint": lambda: Inpaint(block(), 1.0, block(3).flip(1)),
    "local similarity": lambda: LocalSimilarity(block(3), 1.0),
    "reference of a similarity": lambda: MeanSimilarity(block(), 1.0, block(3).flip(1)),
}


@pytest.mark.parametrize("name", THREE_OF)
def test_three_masks_are_for_three_pictures(name: str) -> None:
    edit = THREE_OF[name]()
    chain.check_counts([edit], 3)
    with pytest.raises(DragonError, match="there are 3 masks .*for 1 picture: use one mask, or one for each picture"):
        chain.check_counts([edit], 1)


@pytest.mark.parametrize("edit", [ContentElsewhere(1.0), Paste(block(), (30.0, 20.0)), Move(block(), shift())])
def test_one_mask_is_for_any_number(edit: Edit) -> None:
    for pictures in (1, 3):
        chain.check_counts([edit], pictures)


def test_what_leaves_the_picture_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not again when the edit goes to a device, is repeated for rows, or gets the paper's weights."""
    with caplog.at_level(logging.WARNING):
        move = Move(block(2), shift(16.0))
        beside = Appearance(block(), block())
        for edit in chain.with_kappa([move.on(torch.device("cpu"), 3), beside]):
            edit.on(torch.device("meta"), 1)
    assert [record.message for record in caplog.records] == ["part of the edited object leaves the picture and is cropped"]
