"""DragonPreview's plot: it can be read whatever the number of guided steps and the picture's shape."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

#: Of the three curves, and of what is written.
COLOURS = {"edit": (0, 200, 255), "content": (255, 190, 0), "guidance": (255, 64, 160)}
INK = (226, 226, 232)


def reading(step: int, edit: float, content: float, size: float, steps: int = 20) -> SimpleNamespace:
    values = {"edit": torch.tensor([edit]), "content": torch.tensor([content]), "relative_size": torch.tensor([size])}
    return SimpleNamespace(step=step, steps=steps, sigma=1.0, **values)


def panel(run: Any, readings: Any, height: int = 512, width: int = 512) -> torch.Tensor:
    """The last panel with its title (h, w, 3), and the gap beside it."""
    flat = torch.full((1, height, width, 3), 0.5)
    (page,) = run("DragonPreview", source=flat, result=flat, readings=readings)
    (without,) = run("DragonPreview", source=flat, result=flat)
    return page[0, :, without.shape[2] :]


def rows_of(picture: torch.Tensor, colour: tuple[int, int, int]) -> torch.Tensor:
    """How many pixels of about this colour each row has."""
    return ((picture - torch.tensor(colour) / 255).abs().amax(-1) < 0.12).sum(1)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_every_curve_is_seen(run: Any, count: int) -> None:
    """All of them begin at their largest value: none may hide the others."""
    found = panel(run, [reading(20 - count + i, 3.0 - 0.1 * i, 1.0 - 0.1 * i, 0.2 - 0.01 * i) for i in range(count)])
    below_the_legend = found[found.shape[0] // 4 :]
    for name, colour in COLOURS.items():
        assert rows_of(below_the_legend, colour).sum() > 10, name


def test_values_have_dots(run: Any) -> None:
    """Two values at their largest are a flat line, and a dot at either end."""
    found = rows_of(panel(run, [reading(18, 3.0, 0.0, 0.0), reading(19, 3.0, 0.0, 0.0)]), COLOURS["edit"])
    assert int((found[found.shape[0] // 4 :] > 3).sum()) >= 8


@pytest.mark.parametrize(("height", "width"), [(512, 512), (512, 200), (200, 512)])
def test_words_stay_in_the_panel(run: Any, height: int, width: int) -> None:
    found = panel(run, [reading(18, 1234.5678, 1234.5678, 1234.5678), reading(19, 0.00012345, 0.00012345, 0.00012345)], height, width)
    written = rows_of(found.transpose(0, 1), INK)
    assert written.sum() > 100
    assert written[-8:].sum() == 0, "the legend runs into the panel's edge"


def test_the_title_counts_steps_not_evaluations(run: Any) -> None:
    """Time travel evaluates a step more than once."""
    once, again, other = (
        [reading(18, 1.0, 1.0, 1.0)] * n + [reading(19, 1.0, 1.0, 1.0, steps)] for n, steps in ((1, 20), (3, 20), (1, 50))
    )
    titles = [panel(run, readings)[:24] for readings in (once, again, other)]
    assert torch.equal(titles[0], titles[1])
    assert not torch.equal(titles[0], titles[2])


def test_where_nothing_was_guided_there_is_no_plot(run: Any) -> None:
    assert panel(run, ()).shape[1] == 0


def test_what_is_not_finite_is_left_out(run: Any) -> None:
    found = panel(run, [reading(18, float("nan"), 1.0, float("inf")), reading(19, float("nan"), 1.0, 0.5)])
    assert rows_of(found[found.shape[0] // 4 :], COLOURS["content"]).sum() > 10


def test_a_run_counts_its_steps(run: Any, scene: Any, mini: Any) -> None:
    (energy,) = run("DragonMoveLoss", mask=scene.mask, dx=24, dy=8)
    given = {"positive": scene.positive, "negative": scene.negative, "branch": scene.branch, "energy": energy}
    readings = run("DragonSampler", model=mini.model, hold_object_until=0.5, guide_every_until=1.0, **given)[2]
    assert [(reading.step, reading.steps) for reading in readings] == [(2, 4), (3, 4)]
