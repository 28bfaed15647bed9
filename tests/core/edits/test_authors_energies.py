"""Every task's energies and guidance by the authors' convention are those of the authors' own code (tests/fixtures/authors)."""

from __future__ import annotations

import pytest
import torch
from authors_numbers import CELL, NUMBERS, pixels, relative_error, taps
from torch import Tensor

from dragon_core.diffusion.convention import AUTHORS, OURS, Convention
from dragon_core.diffusion.features import Views
from dragon_core.diffusion.guidance import Energies, GuidanceScale, masked_gradient
from dragon_core.edits import chain
from dragon_core.edits.appearance import Appearance
from dragon_core.edits.base import Edit
from dragon_core.edits.drag import drag
from dragon_core.edits.landmarks import landmarks
from dragon_core.edits.move import Move
from dragon_core.edits.paste import Paste
from dragon_core.imaging.affine import AffineWarp, Pair

SIZE, GRID, LATENT = (96, 128), (24, 32), (12, 16)
TASKS = ("move_apart", "move_overlap", "drag", "landmarks", "appearance", "paste")


def number(task: str, name: str) -> Tensor:
    return NUMBERS[f"{task}.{name}"]


def corner(mask: Tensor) -> tuple[int, int]:
    """First column and row of a mask of the grid."""
    rows, columns = torch.nonzero(mask[0, 0], as_tuple=True)
    return int(columns.min()), int(rows.min())


def pairs(task: str) -> list[Pair]:
    """The middles of the cells that are dragged, in pixels."""
    ends = zip(number(task, "handles").tolist(), number(task, "targets").tolist(), strict=True)
    middles = [tuple(((c + 0.5) * CELL, (r + 0.5) * CELL) for r, c in pair) for pair in ends]
    return [(handle, target) for handle, target in middles]


def edit(task: str) -> Edit:
    """The task as its node makes it."""
    if task.startswith("move"):
        (x, y), (to_x, to_y) = corner(number(task, "mask_source")), corner(number(task, "mask_target"))
        return Move(pixels(number(task, "mask_source")), AffineWarp(SIZE, shift=((to_x - x) * CELL, (to_y - y) * CELL)))
    if task == "drag":
        return drag(pairs(task), SIZE, pixels(number(task, "mask")), "area")
    if task == "landmarks":
        sources, targets = zip(*pairs(task), strict=True)
        return landmarks(sources, targets, SIZE)
    if task == "appearance":
        return Appearance(pixels(number(task, "mask")), pixels(number(task, "mask_ref2")))
    (x, y), half = corner(number(task, "mask_target")), 4  # cells from its corner to its middle
    return Paste(pixels(number(task, "mask_ref2")), ((x + half) * CELL, (y + half) * CELL)).cropped(SIZE)


def energies(task: str, convention: Convention = AUTHORS) -> tuple[Energies, Tensor, Views, Tensor]:
    """Energies, z, the features they come from, and m_e."""
    z = number(task, "z").requires_grad_()
    edits = chain.by(convention, chain.with_kappa([edit(task)]))
    second = convention.brought_to_grid(taps(number(task, "z_ref2"))) if f"{task}.z_ref2" in NUMBERS else None
    source = convention.brought_to_grid(taps(number(task, "z_ref")))
    views = Views(convention.brought_to_grid(taps(z)), source, second)
    return chain.evaluate(chain.Layout.of(edits, GRID), views), z, views, chain.Layout.of(edits, LATENT).edit_mask


@pytest.mark.parametrize("task", TASKS)
def test_energies(task: str) -> None:
    found, *_ = energies(task)
    assert relative_error(found.edit.detach()[0], number(task, "loss_edit")) < 1e-6
    if f"{task}.loss_content" in NUMBERS:
        assert relative_error(found.content.detach()[0], number(task, "loss_content")) < 1e-6
    else:
        assert float(found.content) == 0, "landmarks hold nothing"


@pytest.mark.parametrize("task", TASKS)
def test_guidance(task: str) -> None:
    found, z, views, mask = energies(task)
    gradient = masked_gradient(z, found, mask, views.generation)
    scale = GuidanceScale(1 / 1000, edit(task).kappa)
    guidance = scale(gradient, torch.zeros_like(gradient), mask)
    assert relative_error(guidance, number(task, "guidance")) < 1e-5


@pytest.mark.parametrize("task", TASKS)
def test_our_own_energies_are_others(task: str) -> None:
    """What is held here to the authors' numbers is what the preset chooses, not what the pack does anyway."""
    found, *_ = energies(task, OURS)
    assert relative_error(found.edit.detach()[0], number(task, "loss_edit")) > 0.01
