"""The one error type: what it is to a host, and that its messages tell the user something."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from dragon_core.diffusion.inversion import invert
from dragon_core.diffusion.schedule import EditSchedule, Window
from dragon_core.diffusion.sharing import Sharing
from dragon_core.diffusion.trajectory import Trajectory
from dragon_core.edits.chain import check_fit
from dragon_core.edits.move import Move, MoveWeights
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp


def spot(size: int = 16) -> torch.Tensor:
    mask = torch.zeros(1, size, size)
    mask[:, 4:8, 4:8] = 1
    return mask


def still(size: int = 16) -> AffineWarp:
    return AffineWarp((size, size))


#: Each mistake and the words that must stand in its message: what was wrong, and what to do or what is allowed.
MISTAKES: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "window": (lambda: Window(0.2, 7.5), ("window", "7.5", "within 0 and 1")),
    "passes": (lambda: EditSchedule(travel_passes=-2), ("time travel", "-2", "at least 1")),
    "sde": (lambda: EditSchedule(sde_inside=2.0), ("SDE strength", "within 0 and 1")),
    "attention": (lambda: Sharing("mix"), ("mix", "replace", "concat")),  # type: ignore[arg-type]
    "scale": (lambda: AffineWarp((8, 8), matrix=((0, 0), (0, 0))), ("nothing", "scale above 0")),
    "weights": (lambda: MoveWeights(edit=-1), ("negative", "0 to switch")),
    "start": (lambda: Move(spot(), still(), start="?"), ("start latent", "'?'", "noise", "off")),  # type: ignore[arg-type]
    "mask shape": (lambda: Move(spot()[0], still()), ("mask", "(masks, height, width)", "(16, 16)")),
    "mask numbers": (lambda: Move(spot() * torch.nan, still()), ("mask", "NaN")),
    "mask empty": (lambda: Move(spot() * 0, still()), ("mask", "empty", "paint over")),
    "mask full": (lambda: Move(spot() * 0 + 1, still()), ("mask", "whole picture", "paint only")),
    "out": (lambda: Move(spot(), AffineWarp((16, 16), (99, 0))), ("out of the picture", "smaller shift")),
    "fit": (lambda: check_fit([Move(spot(), still())], (64, 32), 8), ("16×16", "32×64", "picture's size")),
    "steps": (lambda: invert(torch.zeros(1, 1, 2, 2), torch.zeros(1), lambda x, _: x), ("at least one step", "sigma 0")),
    "refinement": (lambda: invert(torch.zeros(1, 1, 2, 2), torch.tensor([1.0, 0.0]), lambda x, _: x, -3), ("refinement", "-3")),
    "level": (
        lambda: Trajectory(torch.zeros(2, 1, 1, 1, 1), torch.tensor([1.0, 0.0]), None, "", "").along(torch.tensor([0.4, 0.8])),
        ("SIGMAS", "must fall", "DragonInvert"),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_every_message_says_what_was_wrong_and_what_to_do(name: str) -> None:
    mistake, words = MISTAKES[name]
    with pytest.raises(DragonError) as caught:
        mistake()
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "Tensor" not in message and "tensor(" not in message


def test_hosts_may_catch_it_as_a_value_error() -> None:
    assert issubclass(DragonError, ValueError)
