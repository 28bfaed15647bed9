"""SharedAttention keys and values in transformers: where a token is seen from, by one evaluation of each family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.patcher_extension
import pytest
import random_transformers
import torch
from random_transformers import (
    FLUX_DEV,
    HUNYUAN_VIDEO,
    LUMINA_2,
    PICTURES,
    QWEN_IMAGE,
    SD35_MEDIUM,
    VIDEOS,
    WAN_VIDEO,
    WIDTH,
    Z_IMAGE,
    Z_IMAGE_LIKE,
    Transformer,
)

SIGMA = 0.7
#: Whole tokens.
DOWN, RIGHT = 2, 3
#: Of what attention compares, all heads together.
WIDTHS = {FLUX_DEV.name: WIDTH, QWEN_IMAGE.name: WIDTH, WAN_VIDEO.name: WIDTH, Z_IMAGE_LIKE.name: Z_IMAGE["dim"]}
#: Where another pack's attention function is kept.
OVERRIDE = "optimized_attention_override"


@pytest.fixture(scope="module")
def dit(pack: Any) -> Any:
    return pack.submodule("nodes.host.backbones.dit")


@pytest.fixture(scope="module")
def shared(pack: Any, dit: Any, made: Any) -> Callable[..., Any]:
    """`shared(family, mode=…)` → shared attention in all blocks at all steps, as for one run."""
    sharing, window = pack.submodule("dragon_core.diffusion.sharing").Sharing, pack.submodule("dragon_core.diffusion.schedule").Window

    def make(family: Transformer, mode: str = "replace", blocks: tuple[float, float] = (0.0, 1.0), edits: tuple[Any, ...] = ()) -> Any:
        network = made(family).model.diffusion_model
        return dit.KeySharing(network, sharing(mode, window(0.0, 1.0), window(*blocks)), edits)

    return make


@pytest.fixture(scope="module")
def token_map(pack: Any) -> Callable[..., Any]:
    """`token_map(n, down, right, places)` → every token of the source lent, brought so many tokens; seen at ``places`` or everywhere."""
    of = pack.submodule("dragon_core.edits.token_map").TokenMap

    def make(n: int, down: int, right: int, places: torch.Tensor | None = None) -> Any:
        lent = torch.ones(1, n, dtype=torch.bool) if places is None else places.unsqueeze(0)
        shift = torch.tensor([0, down, right]).expand(1, n, 3).contiguous()
        return of(torch.arange(n).unsqueeze(0), shift, lent, lent, torch.zeros_like(lent))

    return make


def with_prompt_unseen(shared: Any, x: torch.Tensor) -> dict[str, Any]:
    """Model options with another pack's attention in which nobody sees the prompt: what is left depends on nothing but the picture."""

    def attend(function: Any, query: Any, key: Any, value: Any, heads: int, *rest: Any, **named: Any) -> Any:
        places, along = shared._layout(x), 2 if named.get("skip_reshape") else 1
        length = query.shape[along]
        start = places.start(length) if key.shape[along] == length else None
        if start is None or length == places.tokens:
            return function(query, key, value, heads, *rest, **named)
        rest = (None, *rest[1:])
        named.pop("mask", None)
        key, value = (each.narrow(along, start, places.tokens) for each in (key, value))
        return function(query, key, value, heads, *rest, **named)

    return {"transformer_options": {OVERRIDE: attend}}


def seen(shared: Any, token_map: Any, x: torch.Tensor) -> None:
    """Have the run believe that this is what its edits do."""
    places = shared._layout(x)
    shared.map = (token_map, torch.stack([places.offsets(each) for each in token_map.shift]))


@pytest.mark.parametrize("family", [*PICTURES, *VIDEOS], ids=str)
def test_a_shift_by_whole_tokens_moves_the_output(
    family: Transformer, made: Any, evaluate: Any, shared: Any, token_map: Any, flat: Any
) -> None:
    """A periodic picture, shifted: with all tokens of the original seen at their new places, the output is the original's, shifted.

    It is, to rounding, if each key was turned by the very way it went; left as they were, keys give another output.
    """
    model, prompt = made(family), random_transformers.conditioning(family, 0)
    x = random_transformers.latent(family, 3)["samples"]
    down, right = DOWN * family.tokens, RIGHT * family.tokens
    run = shared(family)
    options = with_prompt_unseen(run, x)
    with flat(model, family):
        with run.collecting(options, x) as (collecting, tokens):
            original = evaluate(model, prompt, x, SIGMA, collecting)
        assert len(tokens) == run.calls >= 3
        seen(run, token_map(run._layout(x).tokens, DOWN, RIGHT), x)
        shifted = x.roll((down, right), (-2, -1))
        with run.sharing(options, x, tokens) as sharing:
            output = evaluate(model, prompt, shifted, SIGMA, sharing)
        run.map = (run.map[0], torch.zeros_like(run.map[1]))
        with run.sharing(options, x, tokens) as sharing:
            unturned = evaluate(model, prompt, shifted, SIGMA, sharing)
    expected = original.roll((down, right), (-2, -1))[..., down:, right:]
    size = float((original - x).std())
    assert float((output[..., down:, right:] - expected).abs().max()) < 1e-5 * size
    if family.rotary:
        assert float((unturned[..., down:, right:] - expected).abs().max()) > 1e-2 * size


@pytest.mark.parametrize("family", [*PICTURES, *VIDEOS], ids=str)
def test_its_own_tokens_change_nothing(family: Transformer, made: Any, evaluate: Any, shared: Any, pack: Any) -> None:
    """Keys and values in place of equal ones: bit for bit the same, in a batch of two as well, with another pack's attention in between."""
    model, prompt = made(family), random_transformers.conditioning(family, 0)
    x = random_transformers.latent(family, 3, batch=2)["samples"]
    asked = []

    def theirs(function: Any, *args: Any, **named: Any) -> Any:
        asked.append(args[0].shape)
        return function(*args, **named)

    options = {"transformer_options": {OVERRIDE: theirs}}
    plain = evaluate(model, prompt, x, SIGMA, options)
    calls, run = len(asked), shared(family)
    with run.collecting(options, x) as (collecting, tokens):
        assert torch.equal(evaluate(model, prompt, x, SIGMA, collecting), plain)
    with run.sharing(options, x, tokens) as sharing:
        assert torch.equal(evaluate(model, prompt, x, SIGMA, sharing), plain)
    assert len(asked) == 3 * calls
    other = random_transformers.latent(family, 4, batch=2)["samples"]
    with run.sharing(options, x, tokens) as sharing:
        assert not torch.equal(evaluate(model, prompt, other, SIGMA, sharing), evaluate(model, prompt, other, SIGMA, options))
    assert options == {"transformer_options": {OVERRIDE: theirs}}


@pytest.mark.parametrize("family", [FLUX_DEV, SD35_MEDIUM, Z_IMAGE_LIKE, QWEN_IMAGE, HUNYUAN_VIDEO], ids=str)
@pytest.mark.parametrize("mode", ["replace", "concat"])
def test_a_prompt_of_another_length(family: Transformer, mode: str, made: Any, evaluate: Any, shared: Any) -> None:
    """Keys come from an evaluation with 7 words and go to one with 40: places are the picture's, not the sequence's."""
    model, x = made(family), random_transformers.latent(family, 3)["samples"]
    run = shared(family, mode)
    long = random_transformers.conditioning(family, 1, words=40)
    with run.collecting({}, x) as (collecting, tokens):
        evaluate(model, long, x, SIGMA, collecting)
    short = shared(family, mode)
    with short.collecting({}, x) as (collecting, fewer):
        evaluate(model, random_transformers.conditioning(family, 0), x, SIGMA, collecting)
    with short.sharing({}, x, tokens) as sharing:
        output = evaluate(model, long, x, SIGMA, sharing)
    plain = evaluate(model, long, x, SIGMA, {})
    if mode == "replace":
        assert torch.equal(output, plain)
    else:
        assert 0 < float((output - plain).abs().max()) < float((plain - x).std())
    assert len(fewer) == len(tokens)


@pytest.mark.parametrize("family", PICTURES, ids=str)
def test_keys_made_beside_a_prompt_of_another_length(family: Transformer, made: Any, evaluate: Any, shared: Any) -> None:
    """Some models put the picture where the prompt ends (Lumina, Z-Image, LongCat), so its keys are turned by as much as prompts differ.

    Nobody sees the prompt here, so the picture's own keys from beside another one are those that it has, and change nothing.
    """
    model, x = made(family), random_transformers.latent(family, 3)["samples"]
    run = shared(family)
    options = with_prompt_unseen(run, x)
    with run.collecting(options, x) as (collecting, tokens):
        evaluate(model, random_transformers.conditioning(family, 0), x, SIGMA, collecting)
    long = random_transformers.conditioning(family, 0, words=40)
    with run.collecting(options, x) as (collecting, _):
        plain = evaluate(model, long, x, SIGMA, collecting)
    with run.sharing(options, x, tokens) as sharing:
        output = evaluate(model, long, x, SIGMA, sharing)
    assert float((output - plain).abs().max()) < 1e-5 * float((plain - x).std())


def test_fewer_heads_for_keys_than_for_queries(pack: Any) -> None:
    """Where all heads come in one dimension and keys have half as many (grouped queries), heads are as wide as the queries' are."""
    keys, sharing = pack.submodule("nodes.host.backbones.keys"), pack.submodule("dragon_core.diffusion.sharing").Sharing()
    layout = pack.submodule("nodes.host.backbones.token_layout").TokenLayout(1, (1, 2, 3), None)
    query, key, value = (torch.randn(1, 10, heads * 4) for heads in (4, 2, 2))
    collected: dict[int, Any] = {}
    exchange = keys.KeyExchange(layout, sharing, collected=collected)
    assert exchange(lambda q, k, v, heads, **named: k, query, key, value, 4, enable_gqa=True) is key
    assert torch.equal(collected[0].key, key[:, 4:].unflatten(-1, (2, 4)).transpose(1, 2))


@pytest.mark.parametrize("family", [FLUX_DEV, QWEN_IMAGE], ids=str)
def test_only_the_blocks_of_the_window(family: Transformer, made: Any, evaluate: Any, shared: Any) -> None:
    """Three attention calls, the last two thirds shared."""
    model, prompt = made(family), random_transformers.conditioning(family, 0)
    x = random_transformers.latent(family, 3)["samples"]
    run = shared(family, blocks=(1 / 3, 1.0))
    for _ in range(2):
        with run.collecting({}, x) as (collecting, tokens):
            evaluate(model, prompt, x, SIGMA, collecting)
        assert sorted(tokens) == [1, 2]


def test_a_vacated_place_does_not_see_the_object(made: Any, evaluate: Any, shared: Any, pack: Any) -> None:
    """Two columns of tokens are moved. Whatever the object's keys and values are, the first block's output where it was is the same."""
    family = FLUX_DEV
    model, prompt = made(family), random_transformers.conditioning(family, 0)
    x = random_transformers.latent(family, 3)["samples"]
    move, affine = pack.submodule("dragon_core.edits.move"), pack.submodule("dragon_core.imaging.affine")
    mask = torch.zeros(1, 128, 192)
    mask[:, 32:96, 32:64] = 1
    edits = (move.Move(mask, affine.AffineWarp((128, 192), (64.0, 0.0))),)
    outputs = []

    def last(function: Any, *args: Any, **named: Any) -> Any:
        out = function(*args, **named)
        outputs.append(out)
        return out

    def attended(change: float) -> torch.Tensor:
        run = shared(family, "concat", (0.0, 1.0), edits)
        with run.collecting({}, x) as (collecting, tokens):
            evaluate(model, prompt, x, SIGMA, collecting)
        first = {0: tokens[0]}
        first[0].value[:, :, objects] += change
        outputs.clear()
        options = {"transformer_options": {OVERRIDE: last}}
        with run.sharing(options, x, first) as sharing:
            evaluate(model, prompt, x, SIGMA, sharing)
        brought, vacated = run.map[0].moved[0], run.map[0].vacated[0]
        assert int(brought.sum()) == int(vacated.sum()) == 8
        assert outputs[0].shape[1] == 103 - 8 and outputs[1].shape[1] == 8
        return outputs[0], outputs[1]

    grid = torch.zeros(8, 12, dtype=torch.bool)
    grid[2:6, 2:4] = True
    objects = grid.flatten().nonzero().flatten()
    (others, vacated), (changed, still) = attended(0.0), attended(5.0)
    assert torch.equal(vacated, still)
    assert not torch.equal(others, changed)


@pytest.mark.parametrize("family", [FLUX_DEV, Z_IMAGE_LIKE, QWEN_IMAGE, WAN_VIDEO], ids=str)
def test_what_is_held_of_an_evaluation(family: Transformer, made: Any, evaluate: Any, shared: Any) -> None:
    """Keys and values of the picture's tokens in the chosen layers, and no more: what docs/families.md counts for true sizes."""
    model, x = made(family), random_transformers.latent(family, 3)["samples"]
    tokens = x[0, 0].numel() // family.tokens**2

    def held(blocks: tuple[float, float]) -> list[tuple[int, int]]:
        run = shared(family, blocks=blocks)
        for _ in range(2):  # how many layers there are is known from the first one on
            with run.collecting(model.model_options, x) as (collecting, calls):
                evaluate(model, random_transformers.conditioning(family, 0), x, SIGMA, collecting)
        return [(each.key.shape[2], each.key.untyped_storage().nbytes() + each.value.untyped_storage().nbytes()) for each in calls.values()]

    everything, late = held((0.0, 1.0)), held((0.5, 1.0))
    width = WIDTHS[family.name]
    assert everything == [(tokens, 2 * tokens * width * 4)] * len(everything)
    assert late == everything[len(everything) // 2 :]


@pytest.mark.parametrize("how", ["its node", "a patched object"])
@pytest.mark.parametrize("family", [FLUX_DEV, LUMINA_2, Z_IMAGE_LIKE, QWEN_IMAGE], ids=str)
def test_a_compiled_model(family: Transformer, how: str, made: Any, evaluate: Any, shared: Any, token_map: Any) -> None:
    """Compiled, the same is shared at the same positions, under prompts longer and shorter than the source's, one of them a second time."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    compiled = made(family).clone()
    if how == "its node":
        set_torch_compile_wrapper(compiled, backend="eager")
    else:
        compiled.add_object_patch("diffusion_model", torch.compile(compiled.get_model_object("diffusion_model"), backend="eager"))
    x, other = (random_transformers.latent(family, seed)["samples"] for seed in (3, 4))
    prompts = [random_transformers.conditioning(family, seed, words=words) for seed, words in enumerate((7, 40, 12, 100, 40))]
    outputs = []
    for model in (made(family), compiled):
        run, options = shared(family), {"transformer_options": {"wrappers": comfy.patcher_extension.copy_nested_dicts(model.wrappers)}}
        with run.collecting(options, x) as (collecting, tokens):
            evaluate(model, prompts[0], x, SIGMA, collecting)
        seen(run, token_map(run._layout(x).tokens, DOWN, RIGHT), x)
        outputs.append([])
        for prompt in prompts:
            with run.sharing(options, x, tokens) as sharing:
                outputs[-1].append(evaluate(model, prompt, other, SIGMA, sharing))
    for uncompiled, same in zip(*outputs, strict=True):
        torch.testing.assert_close(same, uncompiled, atol=1e-5, rtol=1e-5)
    assert not any(module._forward_pre_hooks for module in made(family).model.diffusion_model.modules())


@pytest.mark.parametrize("family", [FLUX_DEV, SD35_MEDIUM, LUMINA_2, Z_IMAGE_LIKE, QWEN_IMAGE, WAN_VIDEO], ids=str)
def test_prompts_that_are_evaluated_one_after_another(family: Transformer, made: Any, evaluate: Any, shared: Any) -> None:
    """Prompts of different lengths are not evaluated as one batch: what is shared is shown to the negative one, too."""
    model, x = made(family), random_transformers.latent(family, 3)["samples"]
    first, second = (random_transformers.conditioning(family, seed, words=words) for seed, words in ((1, 40), (2, 12)))
    other, run = random_transformers.latent(family, 4)["samples"], shared(family)
    with run.collecting({}, x) as (collecting, tokens):
        evaluate(model, random_transformers.conditioning(family, 0), x, SIGMA, collecting)
    with run.sharing({}, x, tokens) as sharing:
        alone = evaluate(model, second, other, SIGMA, sharing)
    with run.sharing({}, x, tokens) as sharing:
        evaluate(model, first, other, SIGMA, sharing)
        assert torch.equal(evaluate(model, second, other, SIGMA, sharing), alone)
    assert not torch.equal(alone, evaluate(model, second, other, SIGMA, {}))
