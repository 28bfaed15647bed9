"""DragonCanvas, DragonCanvasObject and DragonPreview inside a real ComfyUI."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch


def runs(mask: torch.Tensor) -> str:
    """Run lengths by hand."""
    lengths, value = [0], False
    for cell in mask.flatten().tolist():
        if bool(cell) != value:
            lengths.append(0)
            value = bool(cell)
        lengths[-1] += 1
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"

    def base36(number: int) -> str:
        return (base36(number // 36) if number >= 36 else "") + digits[number % 36]

    return " ".join(base36(length) for length in lengths)


@pytest.fixture
def masks() -> tuple[torch.Tensor, torch.Tensor]:
    first, second = torch.zeros(1, 48, 64), torch.zeros(1, 48, 64)
    first[:, 8:24, 8:24] = 1
    second[:, 30:40, 40:60] = 1
    return first, second


@pytest.fixture
def drawing(masks: tuple[torch.Tensor, torch.Tensor]) -> str:
    first, second = ({"size": [64, 48], "runs": runs(mask[0])} for mask in masks)
    return json.dumps(
        {
            "version": 1,
            "size": [64, 48],
            "arrows": [[0.25, 0.5, 0.5, 0.25]],
            "objects": [{"mask": first, "move": [0.25, 0.125]}, {"mask": second, "move": [-0.5, 0], "scale": [2, 0.5], "rotation": 90}],
        }
    )


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 48, 64, 3, generator=torch.Generator().manual_seed(1))


def test_outputs_are_what_was_drawn(run: Any, image: torch.Tensor, drawing: str, masks: Any) -> None:
    points, mask, dx, dy, scale_x, scale_y, rotation, same, preview, link, x, y = run("DragonCanvas", image=image, drawing=drawing)
    assert json.loads(points) == [[[16, 24], [32, 12]]]
    assert torch.equal(mask, masks[0])
    assert (dx, dy, scale_x, scale_y, rotation) == (16, 6, 1, 1, 0)
    assert isinstance(dx, int) and isinstance(dy, int)
    assert same is image
    assert preview.shape[0] == 1 and preview.shape[-1] == 3 and preview.shape[2] * 48 == preview.shape[1] * 64
    assert (x, y) == (16 + 16, 16 + 6)
    second = run("DragonCanvasObject", drawing=link, object=2)
    assert torch.equal(second[0], masks[1])
    assert second[1:] == (-32, 0, 2, 0.5, 90, 50 - 32, 35)


def test_two_objects_move_in_one_run(run: Any, scene: Any, masks: Any, drawing: str) -> None:
    """The scene's picture is 64×96: masks and shifts follow its size."""
    _, mask, dx, dy, *_, link, _x, _y = run("DragonCanvas", image=scene.image, drawing=drawing)
    (first,) = run("DragonMoveLoss", mask=mask, dx=dx, dy=dy)
    mask, dx, dy, *_ = run("DragonCanvasObject", drawing=link, object=2)
    assert mask.shape == (1, 64, 96)
    (both,) = run("DragonMoveLoss", mask=mask, dx=dx, dy=dy, energy=first)
    assert [edit.transform.shift for edit in both] == [(24, 8), (-48, 0)]


def test_an_outline_is_drawn_in_no_time_and_as_ever(run: Any, masks: Any) -> None:
    """Its rim is a square's reach wide. Of 2048 pixels it took a quarter of a minute; a larger picture's preview is of as many."""
    thing = {"mask": {"size": [64, 48], "runs": runs(masks[0][0])}}
    text = json.dumps({"version": 1, "size": [64, 48], "objects": [thing]})
    small = run("DragonCanvas", image=torch.full((1, 768, 1024, 3), 0.5), drawing=text)[8][0]
    # The mask is 128 to 384 each way; from outside: dark 2 px, light 2 px, colour 2 px and the one pixel inside, tint.
    colours = [tuple((small[200, x] * 255).round().int().tolist()) for x in (121, 122, 123, 124, 125, 126, 127, 128, 129)]
    dark, light, pink = (20, 20, 24), (255, 255, 255), (255, 64, 160)
    assert colours[:8] == [(128, 128, 128), dark, dark, light, light, pink, pink, pink]
    assert colours[8] == (163, 110, 137)
    start = time.process_time()
    large = run("DragonCanvas", image=torch.full((1, 1536, 2048, 3), 0.5), drawing=text)[8]
    huge = run("DragonCanvas", image=torch.full((1, 3000, 4000, 3), 0.5), drawing=text)[8]
    assert time.process_time() - start < 12
    assert large.shape == huge.shape == (1, 1536, 2048, 3)


def test_an_arrows_number_stays_in_the_picture(run: Any) -> None:
    """It is behind the arrow's start, and a start may be right at the edge."""
    dark = []
    for start in ((0.01, 0.5), (0.99, 0.5), (0.5, 0.01), (0.5, 0.99), (0, 0), (0.2, 0.5)):
        text = json.dumps({"version": 1, "size": [512, 512], "arrows": [[*start, 0.5, 0.5]]})
        preview = run("DragonCanvas", image=torch.full((1, 512, 512, 3), 0.5), drawing=text)[8][0]
        x, y = round(start[0] * 512), round(start[1] * 512)
        near = preview[max(0, y - 30) : y + 30, max(0, x - 30) : x + 30]
        dark.append(int((near.amax(-1) < 0.2).sum()))
    *at_edges, inside = dark
    assert min(at_edges) > 0.75 * inside, dark


def test_nothing_drawn_is_no_error(run: Any, image: torch.Tensor) -> None:
    points, mask, dx, dy, *_ = run("DragonCanvas", image=image, drawing="")
    assert points == "[]" and not mask.any() and (dx, dy) == (0, 0)


def test_another_nodes_mask_is_object_1s_unless_it_is_painted(run: Any, image: torch.Tensor, drawing: str, masks: Any) -> None:
    lent = masks[1]
    placed = '{"version": 1, "size": [64, 48], "objects": [{"mask": null, "move": [0.25, 0.125]}]}'
    for text, shift in (("", (0, 0)), (placed, (16, 6))):
        _, mask, dx, dy, *_, link, _x, _y = run("DragonCanvas", image=image, drawing=text, mask=lent)
        assert torch.equal(mask, lent) and (dx, dy) == shift
        assert torch.equal(run("DragonCanvasObject", drawing=link, object=1)[0], lent)
    assert torch.equal(run("DragonCanvas", image=image, drawing=drawing, mask=lent)[1], masks[0])
    assert run("DragonCanvas", image=image, drawing="", mask=torch.zeros(1, 64, 64))[1].sum() == 0  # as LoadImage has it without alpha


def test_another_nodes_mask_of_another_size_is_scaled(run: Any, image: torch.Tensor) -> None:
    lent = torch.zeros(1, 480, 640)
    lent[:, 80:240, 80:240] = 1
    mask = run("DragonCanvas", image=image, drawing="", mask=lent)[1]
    assert mask.shape == (1, 48, 64)
    assert mask[0, 9:23, 9:23].all() and mask.sum() == pytest.approx(16 * 16, rel=0.1)


def test_a_mask_of_another_shape_is_pointed_out(pack: Any, image: torch.Tensor) -> None:
    def warnings(*size: int, value: float = 1.0) -> Any:
        lent = torch.zeros(1, *size)
        lent[:, :2, :2] = value
        return pack.node_classes["DragonCanvas"].execute(image, "", lent).ui["dragon_warnings"]

    assert warnings(480, 640) == warnings(481, 640) == warnings(64, 64, value=0.0) == []
    (warning,) = warnings(64, 64)
    assert "64×64" in warning and "64×48" in warning and "stretched" in warning


@pytest.mark.parametrize("text", ["{", "[" * 99_999, '{"version": 9}', json.dumps([[0, 0]] * 100_001)])
def test_a_corrupt_drawing_is_refused_by_name(run: Any, refused: Any, image: torch.Tensor, text: str) -> None:
    with refused("DragonCanvas"):
        run("DragonCanvas", image=image, drawing=text)


def test_an_object_that_is_not_there(run: Any, refused: Any, image: torch.Tensor, drawing: str) -> None:
    link = run("DragonCanvas", image=image, drawing=drawing)[9]
    with refused("DragonCanvasObject", "object 3 is not on the canvas, which has 2"):
        run("DragonCanvasObject", drawing=link, object=3)


def test_the_preview_has_every_panel(run: Any, scene: Any, drawing: str) -> None:
    link = run("DragonCanvas", image=scene.image, drawing=drawing)[9]
    energy = run("DragonMoveLoss", mask=scene.mask, dx=24, dy=8)[0]
    numbers = {"edit": torch.tensor([2.0]), "content": torch.tensor([1.0]), "relative_size": torch.tensor([0.1])}
    reading = SimpleNamespace(step=0, steps=20, sigma=9.0, **numbers)
    after = scene.image.flip(1)
    widths = [
        run("DragonPreview", source=scene.image, result=after, **given)[0].shape[2]
        for given in ({}, {"energy": energy}, {"drawing": link}, {"drawing": link, "energy": energy, "readings": (reading, reading)})
    ]
    assert widths[0] < widths[1] == widths[2] < widths[3]


def test_a_panel_is_the_source_pixel_by_pixel(run: Any) -> None:
    source = (torch.rand(1, 512, 512, 3, generator=torch.Generator().manual_seed(3)) * 255).round() / 255
    (page,) = run("DragonPreview", source=source, result=source)
    found = page.unfold(1, 512, 1).shape[1]
    rows = [top for top in range(found) if torch.equal(page[0, top, 8:520], source[0, 0])]
    assert len(rows) == 1
    assert torch.equal(page[0, rows[0] : rows[0] + 512, 8:520], source[0])
    assert page[0, rows[0] : rows[0] + 512, -520:-8].max() == 0  # nothing differs


def test_preview_of_what_is_pasted(run: Any, scene: Any) -> None:
    """The edit learns only at the picture where to; the second picture may be of another size."""
    mask = torch.zeros(1, 48, 48)
    mask[:, 8:40, 8:40] = 1
    (pasted,) = run("DragonPasteLoss", reference_mask=mask, x=60.0, y=40.0, scale=0.5)
    (page,) = run("DragonPreview", source=scene.image, result=scene.image, energy=pasted)
    (plain,) = run("DragonPreview", source=scene.image, result=scene.image)
    assert page.shape[2] > plain.shape[2], "a panel of what was asked for"


def test_a_batch_has_a_row_each(run: Any, refused: Any, image: torch.Tensor) -> None:
    one = run("DragonPreview", source=image[:1], result=image[:1])[0]
    two = run("DragonPreview", source=image, result=image)[0]
    assert two.shape[1] == 2 * one.shape[1]
    with refused("DragonPreview", "3 source pictures but 2 results"):
        run("DragonPreview", source=image[[0, 0, 1]], result=image)


@pytest.fixture
def second_picture() -> torch.Tensor:
    """A red L on blue, 200×300 pixels."""
    picture = torch.tensor([0.1, 0.2, 0.9]).expand(1, 200, 300, 3).clone()
    picture[:, 60:110, 80:100] = picture[:, 90:110, 80:150] = torch.tensor([1.0, 0.0, 0.0])
    return picture


def pasting(second_picture: torch.Tensor, **place: Any) -> str:
    """The drawing that has its L as object 1."""
    mask = {"size": [300, 200], "runs": runs(second_picture[0, ..., 0] > 0.5)}
    return json.dumps({"version": 1, "size": [300, 200], "objects": [{"mask": mask, **place}]})


def test_what_is_pasted_lies_where_the_preview_shows_it(run: Any, pack: Any, second_picture: torch.Tensor) -> None:
    """The canvas' outputs wired to DragonPasteLoss: the same map, and the object on the same pixels."""
    onto = torch.full((1, 384, 512, 3), 0.6)
    drawing = pasting(second_picture, move=[0.5, 0.75], scale=[1.5, 1.5], rotation=30)
    _, mask, dx, dy, scale, _, rotation, _, preview, link, x, y = run("DragonCanvas", image=second_picture, drawing=drawing, onto=onto)
    assert (dx, dy) == (150, 150) and mask.shape == (1, 200, 300) and preview.shape == onto.shape
    (energy,) = run("DragonPasteLoss", reference_mask=mask, x=x, y=y, scale=scale, rotation=rotation)
    module = pack.submodule("nodes.canvas.canvas_drawing")
    points = torch.rand(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 200
    shown = module.placement(link.drawing.object(1), mask, link).forward(points)
    assert torch.allclose(energy[0].cropped((384, 512)).transform.forward(points), shown, atol=1e-9)

    (draft,) = run("DragonDraft", image=onto, energy=energy, reference=second_picture)

    def red(picture: torch.Tensor) -> torch.Tensor:
        return ((picture[..., 0] > 0.9) & (picture[..., 1:].amax(-1) < 0.1)).float()

    pasted, seen = red(draft), red(preview)
    core = 1 - torch.nn.functional.max_pool2d(1 - pasted, 9, 1, 4)  # without what the outline lies on
    assert core.sum() > 1000 and pasted.sum() < 6000
    assert (core > seen).sum() == 0 and (seen > pasted).sum() < 20


def test_a_second_object_is_pasted_through_a_node_of_its_own(run: Any, second_picture: torch.Tensor) -> None:
    thing = json.loads(pasting(second_picture))
    thing["objects"].append({**thing["objects"][0], "move": [3.0, 0.5]})  # ten times its picture's width is no place too far
    link = run("DragonCanvas", image=second_picture, drawing=json.dumps(thing), onto=torch.rand(1, 512, 1400, 3))[9]
    first, second = (run("DragonCanvasObject", drawing=link, object=number)[-2:] for number in (1, 2))
    assert (second[0] - first[0], second[1] - first[1]) == (900, 100)


def test_the_preview_of_a_paste_is_the_other_picture(run: Any, second_picture: torch.Tensor) -> None:
    onto = (torch.rand(2, 512, 256, 3, generator=torch.Generator().manual_seed(4)) * 127).round() / 255
    arrow = json.dumps({"version": 1, "size": [300, 200], "arrows": [[0.2, 0.2, 0.5, 0.5]]})
    preview = run("DragonCanvas", image=second_picture, drawing=arrow, onto=onto)[8]
    assert torch.equal(preview, onto[:1]), "an arrow leads from place to place in the picture that is drawn on"
    link = run("DragonCanvas", image=second_picture, drawing=pasting(second_picture, move=[0, 1]), onto=onto)[9]
    (page,) = run("DragonPreview", source=onto[:1], result=onto[:1], drawing=link)
    asked = page[0, -520:-8, 256 + 16 : 2 * 256 + 16]
    pink = (asked - torch.tensor([1.0, 64 / 255, 160 / 255])).abs().amax(-1) < 0.02
    rows, columns = torch.nonzero(pink, as_tuple=True)
    assert abs(int(rows.min()) - 260) < 6 and abs(int(rows.max()) - 310) < 6, "its outline, 200 pixels further down"
    assert abs(int(columns.min()) - 80) < 6 and abs(int(columns.max()) - 150) < 6


def test_what_a_paste_cannot_do_is_pointed_out(pack: Any, refused: Any, run: Any, second_picture: torch.Tensor) -> None:
    node, onto = pack.node_classes["DragonCanvas"], torch.rand(1, 128, 160, 3)
    said = node.execute(second_picture, pasting(second_picture, scale=[2, 1]), None, onto).ui
    assert "one scale" in said["dragon_warnings"][0] and len(said["dragon_onto"]) == 1
    said = node.execute(second_picture, pasting(second_picture, scale=[2, 2]), None, onto).ui
    assert said["dragon_warnings"] == []
    (warning,) = node.execute(second_picture, pasting(second_picture, scale=[2.5, 2.5]), None, onto).ui["dragon_warnings"]
    assert "object 1 is 175×125 pixels" in warning and "160×128" in warning and "press R" in warning
    assert node.execute(second_picture, pasting(second_picture, scale=[2, 1])).ui["dragon_onto"] == []
    with refused("DragonCanvas", "onto must have shape"):
        run("DragonCanvas", image=second_picture, drawing="", onto=onto[None])
