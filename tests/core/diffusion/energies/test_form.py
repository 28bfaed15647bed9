"""The base form w / (1 + 4 S)."""

from __future__ import annotations

import pytest
import torch

from dragon_core.diffusion.energies.form import attraction


@pytest.mark.parametrize(("s", "expected"), [(0.0, 5.0), (0.25, 2.5), (0.5, 5 / 3), (1.0, 1.0)])
def test_numbers(s: float, expected: float) -> None:
    assert float(attraction(5.0, torch.tensor(s))) == pytest.approx(expected)


def test_falls_over_all_of_its_range() -> None:
    """No pole and no flat piece in [0, 1]: the slope is −4 w / (1 + 4 S)², between −4 w and −4 w / 25."""
    s = torch.linspace(0, 1, 101, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(attraction(3.0, s).sum(), s)
    for at, found in zip(s.tolist(), slope.tolist(), strict=True):
        assert found == pytest.approx(-12 / (1 + 4 * at) ** 2)
    assert float(slope.min()) == pytest.approx(-12) and float(slope.max()) == pytest.approx(-12 / 25)
