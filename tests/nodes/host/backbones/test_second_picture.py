"""Keys and values of a second picture, for pasting and appearance: what is seen of each picture, and from where, in each family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import random_transformers
import torch
from random_transformers import PICTURES, VIDEOS, WAN_VIDEO, Transformer

SIGMA = 0.7
#: Rows and columns of tokens: the picture's, and the second one's, whose middle lies between tokens.
SIZE, THEIRS = (8, 12), (5, 7)
#: Where the second picture is put in the first.
DOWN, RIGHT = 2, 3
FAMILIES = (*PICTURES, *VIDEOS)
OVERRIDE = "optimized_attention_override"


@pytest.fixture(scope="module")
def sharing_of(pack: Any, made: Any) -> Callable[..., Any]:
    """`sharing_of(family, edits)` → shared attention in all blocks, as for one run."""
    dit, sharing = pack.submodule("nodes.host.backbones.dit"), pack.submodule("dragon_core.diffusion.sharing").Sharing
    every = pack.submodule("dragon_core.diffusion.schedule").Window(0.0, 1.0)

    def make(family: Transformer, edits: tuple[Any, ...] = (), mode: str = "replace") -> Any:
        return dit.KeySharing(made(family).model.diffusion_model, sharing(mode, every, every), edits)

    return make


@pytest.fixture(scope="module")
def taking(pack: Any) -> Callable[..., Any]:
    """`taking(kind, family, top, left, down, right)` → an edit that takes 3 × 4 tokens of the second picture, and puts them further on."""
    paste, appearance = (pack.submodule(f"dragon_core.edits.{name}") for name in ("paste", "appearance"))

    def make(kind: str, family: Transformer, grid: tuple[int, int], top: int, left: int, down: int = 0, right: int = 0) -> Any:
        side = family.tokens * family.cell
        image_size = (SIZE[0] * side, SIZE[1] * side)
        mask, target = torch.zeros(1, grid[0] * side, grid[1] * side), torch.zeros(1, *image_size)
        mask[:, top * side : (top + 3) * side, left * side : (left + 4) * side] = 1
        target[:, (top + down) * side : (top + down + 3) * side, (left + right) * side : (left + right + 4) * side] = 1
        if kind == "appearance":
            return appearance.Appearance(target, mask)
        middle = ((left + right + 2.0) * side, (top + down + 1.5) * side)
        return paste.Paste(mask, middle, image_size=image_size)

    return make


def collected(run: Any, evaluate: Any, model: Any, prompt: Any, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
    with run.collecting({}, x) as (options, tokens):
        out = evaluate(model, prompt, x, SIGMA, options)
    return out, tokens


@pytest.mark.parametrize("kind", ["paste", "appearance"])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_the_same_picture_changes_nothing(family: Transformer, kind: str, made: Any, evaluate: Any, sharing_of: Any, taking: Any) -> None:
    """The second picture is the first one, and lies over it: bit for bit the same, for two pictures as well."""
    model, prompt = made(family), random_transformers.conditioning(family, 0)
    x = random_transformers.latent(family, 3, *SIZE, batch=2)["samples"]
    run = sharing_of(family, (taking(kind, family, SIZE, 2, 3),))
    (plain, source), (_, second) = (collected(run, evaluate, model, prompt, x) for _ in range(2))
    for call in second:
        second[call].key[1:], second[call].value[1:] = source[call].key[:1], source[call].value[:1]  # nothing for the other one
    joined = run.joined(source, second, None)
    with run.sharing({}, x, joined) as options:
        output = evaluate(model, prompt, x, SIGMA, options)
    assert torch.equal(output[0], plain[0])
    assert not torch.equal(output[1], plain[1])
    assert int(run.map[0].moved.sum()) == 12 * max(1, family.frames)
    assert bool((run.map[0].origin[run.map[0].moved] >= 96 * max(1, family.frames)).all())


@pytest.mark.parametrize("kind", ["paste", "appearance"])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_what_is_seen_of_each(family: Transformer, kind: str, made: Any, evaluate: Any, sharing_of: Any, taking: Any) -> None:
    """Of the second picture what is inside its mask, of the first what is outside of the edit, and nothing else of either."""
    model, prompt = made(family), random_transformers.conditioning(family, 0)
    x, source, second = (random_transformers.latent(family, seed, *size)["samples"] for seed, size in ((3, SIZE), (4, SIZE), (5, THEIRS)))
    run = sharing_of(family, (taking(kind, family, THEIRS, 1, 1, DOWN, RIGHT),))
    (_, known), (_, theirs) = (collected(run, evaluate, model, prompt, each) for each in (source, second))
    frames = max(1, family.frames)
    taken, covered = torch.zeros(frames, *THEIRS, dtype=torch.bool), torch.zeros(frames, *SIZE, dtype=torch.bool)
    taken[:, 1:4, 1:5] = True
    covered[:, 1 + DOWN : 4 + DOWN, 1 + RIGHT : 5 + RIGHT] = True

    def seen(own: Any, other: Any) -> torch.Tensor:
        with run.sharing({}, x, run.joined(own, other, None)) as options:
            return evaluate(model, prompt, x, SIGMA, options)

    def changed(calls: Any, where: torch.Tensor) -> Any:
        return {call: replace(keys, value=keys.value + where.flatten().view(1, 1, -1, 1)) for call, keys in calls.items()}

    result = seen(known, theirs)
    assert torch.equal(seen(changed(known, covered), theirs), result)
    assert torch.equal(seen(known, changed(theirs, ~taken)), result)
    assert not torch.equal(seen(changed(known, ~covered), theirs), result)
    assert not torch.equal(seen(known, changed(theirs, taken)), result)


def prompts(family: Transformer) -> tuple[Any, Any]:
    """Of 7 words and of 100, with one pooled text. Neither is as long as a picture, which would be taken for the prompt then."""
    (text, pooled), *_ = random_transformers.conditioning(family, 1, words=100)
    return [[text[:, :7], pooled]], [[text, pooled]]


def only(shared: Any, x: torch.Tensor, places: torch.Tensor) -> dict[str, Any]:
    """Model options in which nothing is seen but the picture's tokens at ``places``: neither the prompt nor the other tokens."""

    def attend(function: Any, query: Any, key: Any, value: Any, heads: int, *rest: Any, **named: Any) -> Any:
        layout, along = shared._layout(x), 2 if named.get("skip_reshape") else 1
        start = layout.start(query.shape[along]) if key.shape[along] == query.shape[along] else None
        if start is None:
            return function(query, key, value, heads, *rest, **named)
        named.pop("mask", None)
        key, value = (each.index_select(along, start + places) for each in (key, value))
        return function(query, key, value, heads, *(None, *rest[1:])[: len(rest)], **named)

    return {"transformer_options": {OVERRIDE: attend}}


@pytest.mark.parametrize(("family", "still"), [*((each, False) for each in FAMILIES), *((each, True) for each in VIDEOS)], ids=str)
def test_a_picture_in_a_picture(family: Transformer, still: bool, made: Any, evaluate: Any, sharing_of: Any, pack: Any, flat: Any) -> None:
    """The second picture, smaller and under another prompt, lies in the first one: where it lies, the output is its own, to rounding.

    Each of its keys must be turned by the way to its place, and by how much further on the model's positions begin for one picture than
    for the other. Nothing but it is seen. A still is put into the last frame of a video.
    """
    model, (prompt, longer) = made(family), prompts(family)
    frames, theirs = max(1, family.frames), 1 if still else max(1, family.frames)
    x, second = (random_transformers.latent(family, seed, *size)["samples"] for seed, size in ((3, SIZE), (5, THEIRS)))
    second = second[:, :, :1] if still else second
    (h, w), cells = THEIRS, family.tokens
    into = x.clone()
    shown = into[:, :, -1:] if still else into
    shown[..., DOWN * cells : (DOWN + h) * cells, RIGHT * cells : (RIGHT + w) * cells] = second
    n = SIZE[0] * SIZE[1]
    frame, row, column = (each.flatten() for each in torch.meshgrid(torch.arange(theirs), torch.arange(h), torch.arange(w), indexing="ij"))
    places = (frame + frames - theirs) * n + (row + DOWN) * SIZE[1] + column + RIGHT
    shift = torch.zeros(1, frames * n, 3, dtype=torch.long)
    shift[0, places] = torch.tensor([frames - theirs, DOWN, RIGHT])
    origin, here = torch.arange(frames * n).unsqueeze(0), torch.zeros(1, frames * n, dtype=torch.bool)
    origin[0, places], here[0, places] = frames * n + torch.arange(len(places)), True
    token_map = pack.submodule("dragon_core.edits.token_map").TokenMap(origin, shift, here, here, torch.zeros_like(here))

    run = sharing_of(family)
    with flat(model, family):
        with run.collecting(only(run, second, torch.arange(len(places))), second) as (options, tokens):
            expected = evaluate(model, prompt if family is WAN_VIDEO else longer, second, SIGMA, options)  # which asks it elsewhere
        options = only(run, into, places)
        with run.collecting(options, into) as (collecting, own):
            evaluate(model, prompt, into, SIGMA, collecting)
        run.map = (token_map, run._layout(into).offsets(shift[0]).unsqueeze(0))
        with run.sharing(options, into, run.joined(own, tokens, None)) as sharing:
            output = evaluate(model, prompt, into, SIGMA, sharing)
    output = output[:, :, -1:] if still else output
    output = output[..., DOWN * cells : (DOWN + h) * cells, RIGHT * cells : (RIGHT + w) * cells]
    assert float((output - expected).abs().max()) < 1e-5 * float((expected - second).std())
