"""Geometry is worked out in float64, which Apple's GPUs and some of Intel's do not have: none of it on the features' device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dragon_core.diffusion.energies.points import points_energy, repulsion_energy
from dragon_core.imaging import affine
from dragon_core.imaging.affine import AffineWarp, unrepeated, warp
from dragon_core.imaging.masks import moved_regions
from dragon_core.imaging.point_warp import displacement

#: Stands for an accelerator: operations on it are checked for shapes and types, and not done.
DEVICE = torch.device("meta")
SIZE = (64, 96)
TRANSFORMS = {
    "move": AffineWarp(SIZE, shift=(12.0, 4.0)),
    "drag": displacement([((20.0, 24.0), (44.0, 32.0))], SIZE, area=torch.ones(1, *SIZE)),
}


class NoDoubles(TorchDispatchMode):
    """Refuses float64 anywhere but on the CPU."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, result)):
            if isinstance(value, torch.Tensor) and value.device.type != "cpu":
                assert value.dtype != torch.float64, function
        return result


@pytest.fixture(autouse=True)
def no_doubles() -> Iterator[None]:
    with NoDoubles():
        yield


def features() -> tuple[torch.Tensor, ...]:
    return tuple(torch.zeros(1, channels, 16, 24, device=DEVICE) for channels in (8, 4))


def test_float64_would_be_found() -> None:
    with pytest.raises(AssertionError):
        torch.zeros(2, device=DEVICE).double()


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("mode", ["bilinear", "area", "nearest"])
def test_warp(transform: Any, mode: str) -> None:
    assert warp(torch.zeros(1, 4, 8, 12, device=DEVICE), transform, mode).device == DEVICE


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_regions(transform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Which part of the grid a mask reaches is read from its values, and these have none.
    monkeypatch.setattr(affine, "extent", lambda where, _: (slice(0, where.shape[-2]), slice(0, where.shape[-1])))
    assert moved_regions(torch.zeros(1, *SIZE, device=DEVICE), transform, (16, 24)).target.device == DEVICE
    assert unrepeated(transform, (8, 12), (8, 12), DEVICE).device == DEVICE


def test_points() -> None:
    handles, targets = torch.tensor([[20.0, 24.0]], dtype=torch.float64), torch.tensor([[44.0, 32.0]], dtype=torch.float64)
    for energy in (points_energy, repulsion_energy):
        assert energy(features(), features(), handles, targets, SIZE, 1.0).device == DEVICE
