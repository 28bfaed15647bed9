"""The browser's modules and the server's mean the same by the same drawing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from dragon_core.document.drawing import MAX_MOVE, DrawnObject, decode_runs, encode_runs, read_drawing
from dragon_core.edits.drag import drag
from dragon_core.errors import DragonError
from dragon_core.imaging.affine import AffineWarp

MODULES = "/extensions/dragon-diffusion/canvas"


def random_mask(seed: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    rows, columns = random.integers(1, 200, 2)
    return random.random((rows, columns)) < random.random()


@pytest.mark.parametrize("seed", range(4))
def test_runs(frontend: Any, seed: int) -> None:
    mask = random_mask(seed)
    item = {"size": [mask.shape[1], mask.shape[0]], "runs": encode_runs(mask)}
    script = f"async (item) => {{ const m = await import('{MODULES}/mask.js'); const mask = m.decodeRuns(item); "
    cells, again = frontend.js(script + "return [[...mask.cells], m.encodeRuns(mask)] }", item)
    assert np.array_equal(np.array(cells, bool).reshape(mask.shape), mask)
    assert again == item["runs"]


def test_the_centroid_and_the_place_of_every_point(frontend: Any) -> None:
    """`placement` in the browser is the AffineWarp that the node's values stand for, about the mask's centroid."""
    mask = np.zeros((40, 60), bool)
    mask[5:20, 10:18] = True
    mask[18:30, 10:40] = True
    thing = {"move": [0.1, -0.2], "scale": [1.5, 0.75], "rotation": 40.0}
    script = f"""async ([item, thing, size]) => {{
        const [m, g] = await Promise.all([import('{MODULES}/mask.js'), import('{MODULES}/geometry.js')])
        const {{ centre, box }} = m.extent(m.decodeRuns(item))
        const matrix = g.placement(thing, centre, size)
        return [centre, box, [[0, 0], [600, 0], [123, 345]].map((point) => g.apply(matrix, point))]
    }}"""
    (cx, cy), box, places = frontend.js(script, [{"size": [60, 40], "runs": encode_runs(mask)}, thing, [600, 400]])
    rows, columns = np.nonzero(mask)
    assert (cx, cy) == pytest.approx(((columns.mean() + 0.5) / 60, (rows.mean() + 0.5) / 40))
    assert box == pytest.approx({"left": 10 / 60, "top": 5 / 40, "right": 40 / 60, "bottom": 30 / 40})
    cos, sin = np.cos(np.radians(40)), np.sin(np.radians(40))
    matrix = ((cos * 1.5, -sin * 0.75), (sin * 1.5, cos * 0.75))
    warp = AffineWarp((400, 600), (60, -80), matrix, (cx * 600, cy * 400))
    import torch

    expected = warp.forward(torch.tensor([[0.0, 0.0], [600.0, 0.0], [123.0, 345.0]], dtype=torch.float64))
    assert np.abs(np.array(places) - expected.numpy()).max() < 1e-6


def test_what_one_writes_the_other_reads(frontend: Any) -> None:
    mask = random_mask(9)
    painted = {"size": [mask.shape[1], mask.shape[0]], "runs": encode_runs(mask)}
    document = {
        "version": 1,
        "size": [640, 400],
        "arrows": [[0.1, 0.2, 0.3, 0.4]],
        "objects": [{"mask": painted, "move": [0.1, 0], "scale": [1, 2], "rotation": 5}],
    }
    script = f"async (text) => {{ const d = await import('{MODULES}/drawing.js'); return d.serialise(d.parse(text, [640, 400])) }}"
    text = frontend.js(script, json.dumps(document))
    assert json.loads(text) == document
    assert np.array_equal(read_drawing(text, (400, 640)).object(1).mask, mask)


def documents(count: int) -> list[Any]:
    """Drawings and lists of points in which anything may be at its limit, beyond it, or something else."""
    random = np.random.default_rng(4)

    def one_of(*choices: Any) -> Any:
        return choices[random.integers(len(choices))]

    def number(low: float, high: float) -> Any:
        if random.random() < 0.02:
            return one_of(low - 1e-7, high + 1e-7, 1e300, None, True, "0", [0])
        return one_of(low, high, float(random.uniform(low, high)), 1)

    def several(count: int, low: float, high: float) -> Any:
        return [number(low, high) for _ in range(count if random.random() < 0.98 else count + 1)]

    def mask() -> Any:
        runs = encode_runs(random_mask(int(random.integers(1 << 30)))) if random.random() < 0.1 else "3 2 5"
        good = {"size": [5, 2], "runs": "3 2 5"}
        return one_of(good, good, good, None, None, 0, "", [], {}, {"size": [5, 2], "runs": runs}, {"size": [0, 2], "runs": ""})

    def thing() -> Any:
        full = {"mask": mask(), "move": several(2, -MAX_MOVE, MAX_MOVE), "scale": several(2, 0.02, 50), "rotation": number(-36000, 36000)}
        return {key: value for key, value in full.items() if random.random() < 0.9}

    def drawing() -> Any:
        some = int(one_of(0, 1, 3, 1000 if random.random() < 0.1 else 2, 1001 if random.random() < 0.1 else 2))
        full = {
            "version": 1 if random.random() < 0.95 else one_of(0, 2, 1.5, True, "1", None),
            "size": one_of([640, 400], [1, 1_000_000], None) if random.random() < 0.9 else one_of([640.5, 400], [0, 9], [640], 640, "640"),
            "arrows": [several(4, -2, 3)] * some if random.random() < 0.97 else one_of(None, {}, [None], [[]]),
            "objects": [thing() for _ in range(int(one_of(0, 1, 2, 16)))] if random.random() < 0.97 else one_of(None, {}, [None], [[]]),
        }
        return {key: value for key, value in full.items() if random.random() < 0.95}

    def point() -> Any:
        # A picture of 640×400 reaches from -1280 to 1920 and from -800 to 1200.
        x, y = number(-1280, 1920), number(-800, 1200)
        return one_of([x, y], [x, y], {"x": x, "y": y}, [x, y, 1] if random.random() < 0.1 else [x, y])

    def points() -> Any:
        plain = [point() for _ in range(int(random.integers(5)))]
        return one_of([[point() for _ in range(int(one_of(2, 2, 2, 1, 3)))] for _ in range(int(random.integers(4)))], plain)

    return [one_of(drawing, drawing, points)() for _ in range(count)]


@pytest.mark.parametrize("side", [512, 1024])
def test_a_mask_that_is_noise_becomes_one_that_can_be_kept(frontend: Any, side: int) -> None:
    """What is larger than specks keeps its place, and a mask without noise is left alone."""
    random = np.random.default_rng(side)
    y, x = np.mgrid[:side, :side] / side
    disc = np.hypot(x - 0.4, y - 0.5) < 0.25
    masks = {
        "disc": disc,
        "specks": disc ^ (random.random(disc.shape) < 0.1),
        "noise": random.random(disc.shape) < 0.5,
        "stripes": np.indices(disc.shape)[1] % 2 == 0,
        "squares": np.indices(disc.shape).sum(0) % 2 == 0,
    }
    script = f"""async (items) => {{
        const m = await import('{MODULES}/mask.js')
        return items.map(m.decodeRuns).map((mask) => {{
            const simple = m.withoutNoise(mask)
            return [simple === mask, m.rimLength(mask), {{ size: [simple.width, simple.height], runs: m.encodeRuns(simple) }}]
        }})
    }}"""
    items = [{"size": [side, side], "runs": encode_runs(mask)} for mask in masks.values()]
    found = dict(zip(masks, frontend.js(script, items), strict=True))
    for name, (same, rim, item) in found.items():
        cells = masks[name]
        assert rim == np.count_nonzero(cells[1:] != cells[:-1]) + np.count_nonzero(cells[:, 1:] != cells[:, :-1])
        assert same == (name == "disc")
        assert len(item["runs"]) < 60_000
        read_drawing({"version": 1, "objects": [{"mask": item}]}, (side, side))
    columns, rows = found["specks"][2]["size"]
    kept = decode_runs(found["specks"][2]["runs"], (columns, rows)).repeat(side // rows, 0).repeat(side // columns, 1)
    assert (kept & disc).sum() / (kept | disc).sum() > 0.97


def test_one_refuses_what_the_other_refuses_and_reads_again_what_it_wrote(frontend: Any) -> None:
    """A drawing that can be read stays one, whatever the editor makes of it."""
    texts = [json.dumps(document) for document in documents(3000)]
    script = f"""async (texts) => {{
        const {{ parse, serialise, UnreadableDrawing }} = await import('{MODULES}/drawing.js')
        return texts.map((text) => {{
            let drawing
            try {{ drawing = parse(text, [640, 400]) }}
            catch (error) {{ if (error instanceof UnreadableDrawing) return null; throw error }}
            const written = serialise(drawing)
            return serialise(parse(written, [640, 400])) === written ? written : 'changed'
        }})
    }}"""
    readable = 0
    for text, written in zip(texts, frontend.js(script, texts), strict=True):
        try:
            drawing = read_drawing(text, (400, 640))
        except DragonError as error:
            assert written is None, f"the browser reads what the server refuses ({error}): {text[:500]}"
            continue
        assert written is not None, f"the server reads what the browser refuses: {text[:500]}"
        readable += 1
        again = read_drawing(written, (400, 640))
        assert np.allclose(np.array(again.arrows), np.array(drawing.arrows), rtol=0, atol=1e-6), text[:500]
        for number, thing in enumerate(drawing.objects, 1):
            # What is neither painted nor moved is left out at the end.
            other = again.object(number) if number <= len(again.objects) else DrawnObject()
            numbers = [(*each.move, *each.scale, each.rotation % 360) for each in (thing, other)]
            assert np.allclose(*numbers, rtol=0, atol=1e-5), text[:500]
            assert (thing.mask is None) == (other.mask is None) and (thing.mask is None or np.array_equal(thing.mask, other.mask))
    assert 300 < readable < 2700


def test_a_hole_is_filled_with_what_is_around_it(frontend: Any) -> None:
    """A grey ramp with a hole: the fill must lie within what surrounds it, and keep what is known."""
    ramp = np.tile(np.linspace(50, 200, 48).astype(np.uint8)[None, :, None], (32, 1, 4))
    hole = np.zeros((32, 48), np.uint8)
    hole[10:22, 16:32] = 1
    broken = np.where(hole[..., None] > 0, 255, ramp)
    script = f"""async ([rgba, hole, width, height]) => {{
        const {{ fillHoles }} = await import('{MODULES}/fill.js')
        const pixels = Uint8ClampedArray.from(rgba)
        fillHoles(pixels, Uint8Array.from(hole), width, height)
        return [...pixels]
    }}"""
    filled = np.array(frontend.js(script, [broken.ravel().tolist(), hole.ravel().tolist(), 48, 32])).reshape(32, 48, 4)[..., 0]
    assert np.array_equal(filled[hole == 0], ramp[..., 0][hole == 0])
    inside = filled[hole > 0]
    assert inside.min() >= ramp[0, 12, 0] and inside.max() <= ramp[0, 36, 0]
    assert np.abs(filled[16, 16:32] - ramp[16, 16:32, 0].astype(int)).max() < 40


@pytest.mark.parametrize("masked", [False, True])
def test_what_arrows_drag_in_an_area_comes_from_where_the_node_has_it_from(frontend: Any, masked: bool) -> None:
    """The preview takes fewer nodes and hops: it is off by a small share of the arrows' length at most."""
    import torch

    pairs = (((200.0, 150.0), (260.0, 180.0)), ((330.0, 220.0), (300.0, 260.0)), ((240.0, 260.0), (240.0, 260.0)))
    cells = np.zeros((100, 160), bool)
    cells[15:85, 25:110] = True
    mask = torch.from_numpy(np.kron(cells, np.ones((4, 4))))[None] if masked else None
    move = drag(pairs, (400, 640), mask, "area").carried.transform
    script = f"""async ([item, pairs, size]) => {{
        const [m, w] = await Promise.all([import('{MODULES}/mask.js'), import('{MODULES}/warp.js')])
        const ways = pairs.map(([handle, target]) => ({{ handle, target }}))
        const depth = item ? w.depthIn(m.decodeRuns(item), size) : w.depthRound(ways, size)
        const {{ columns, rows, dx, dy }} = w.origins(ways, depth, size)
        return [columns, rows, [...dx], [...dy]]
    }}"""
    item = {"size": [160, 100], "runs": encode_runs(cells)} if masked else None
    columns, rows, dx, dy = frontend.js(script, [item, pairs, [640, 400]])
    y, x = np.meshgrid(np.arange(rows + 1) * 400 / rows, np.arange(columns + 1) * 640 / columns, indexing="ij")
    points = torch.from_numpy(np.stack([x, y], -1))
    expected = (move.inverse(points) - points).numpy()
    found = np.stack([dx, dy], -1).reshape(rows + 1, columns + 1, 2)
    off = np.linalg.norm(found - expected, axis=-1)
    moving = np.linalg.norm(expected, axis=-1) > 1
    assert moving.sum() > 100
    assert off[moving].mean() < 2 and off.max() < 12
