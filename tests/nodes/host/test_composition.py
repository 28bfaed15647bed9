"""What other nodes have put on the MODEL keeps acting in guided runs, in whatever order the nodes were connected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from comfy.controlnet import ControlBase
from comfy.patcher_extension import WrappersMP
from node_helpers import conditioning_set_values

GUIDED = {"guide_every_until": 0.5, "guide_until": 1.0}


def changed(a: torch.Tensor, b: torch.Tensor) -> bool:
    assert torch.isfinite(a).all()
    return float((a - b).abs().max()) > 1e-4 * float(b.abs().max())


def attn1(model: Any, scale_query: float, scale_key: float, scale_value: float) -> Any:
    """A self-attention patch of another pack: pointwise, as regional or temperature patches are."""
    clone = model.clone()
    clone.set_model_attn1_patch(lambda q, k, v, options: (q * scale_query, k * scale_key, v * scale_value))
    return clone


def attn2_replace(model: Any, weight: torch.Tensor) -> Any:
    """Cross-attention replaced as IP-Adapter does, in every block, with a weight that was loaded in inference mode."""
    clone = model.clone()
    blocks = [("input", i) for i in range(12)] + [("middle", 0)] + [("output", i) for i in range(12)]
    for name, number in blocks:
        clone.set_model_attn2_replace(lambda q, k, v, options: q * weight, name, number)
    return clone


def rescale(model: Any) -> Any:
    clone = model.clone()
    clone.set_model_sampler_cfg_function(lambda args: args["uncond"] + 0.5 * (args["cond"] - args["uncond"]))
    return clone


def post_cfg(model: Any) -> Any:
    clone = model.clone()
    clone.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * 0.9)
    return clone


def pre_cfg(model: Any) -> Any:
    clone = model.clone()
    clone.set_model_sampler_pre_cfg_function(lambda args: [each * 0.9 for each in args["conds_out"]])
    return clone


def lora(model: Any, strength: float = 1.0) -> Any:
    """Weights patched as LoRA does it, in the decoder and in the encoder."""
    clone = model.clone()
    names = ["diffusion_model.input_blocks.1.0.in_layers.2.weight", "diffusion_model.output_blocks.4.0.in_layers.2.weight"]
    shapes = {name: model.model.state_dict()[name].shape for name in names}
    weights = {name: (0.02 * torch.randn(shape, generator=torch.Generator().manual_seed(1)),) for name, shape in shapes.items()}
    assert len(clone.add_patches(weights, strength)) == 2
    return clone


def inference_weight() -> torch.Tensor:
    with torch.inference_mode():
        return torch.tensor(0.5)


@pytest.fixture(params=["FreeU", "FreeU_V2", "PerturbedAttentionGuidance", "RescaleCFG"])
def stock_patch(request: pytest.FixtureRequest, run: Any) -> Callable[[Any], Any]:
    """ComfyUI's own model patches."""
    return lambda model: run(request.param, model=model)[0]


def test_stock_nodes(make_scene: Any, sample: Any, move: Any, run: Any, mini: Any, stock_patch: Any) -> None:
    """Before and after DragonCrossAttnPatch they change the guided result, and the guidance still acts."""
    scene = make_scene(steps=2)
    energy = move(scene)
    (shared,) = run("DragonCrossAttnPatch", model=mini.model, branch=scene.branch)
    plain = sample(scene, model=shared, energy=energy, **GUIDED)
    after = stock_patch(shared)
    (before,) = run("DragonCrossAttnPatch", model=stock_patch(mini.model), branch=scene.branch)
    for model in (after, before):
        guided = sample(scene, model=model, energy=energy, **GUIDED)
        assert changed(guided, plain)
        assert changed(guided, sample(scene, model=model, energy=energy, energy_scale=0.0))


@pytest.mark.parametrize(
    "patch",
    [
        lambda model: attn1(model, 0.5, 1.0, 1.0),
        lambda model: attn1(model, 1.0, 0.5, 1.0),
        lambda model: attn1(model, 1.0, 1.0, 0.5),
        lambda model: attn2_replace(model, inference_weight()),
        rescale,
        post_cfg,
        pre_cfg,
        lora,
    ],
    ids=["query", "key", "value", "attn2_replace", "sampler_cfg", "post_cfg", "pre_cfg", "lora"],
)
def test_order_does_not_matter(make_scene: Any, sample: Any, move: Any, run: Any, mini: Any, patch: Callable[[Any], Any]) -> None:
    """A patch before DragonCrossAttnPatch and the same patch after it give the same edit, which the patch has changed."""
    scene = make_scene(steps=2)
    energy = move(scene)

    def share(model: Any) -> Any:
        return run("DragonCrossAttnPatch", model=model, branch=scene.branch, mode="concat")[0]

    plain = sample(scene, model=share(mini.model), energy=energy, **GUIDED)
    after = sample(scene, model=patch(share(mini.model)), energy=energy, **GUIDED)
    before = sample(scene, model=share(patch(mini.model)), energy=energy, **GUIDED)
    assert changed(after, plain)
    assert not changed(before, after)
    assert torch.equal(sample(scene, model=share(mini.model), energy=energy, **GUIDED), plain), "nothing of the patch stays"


def test_patches_act_alike_without_sharing(scene: Any, sample: Any, move: Any, mini: Any) -> None:
    """Zero strength with another pack's patches is stock sampling with them."""
    model = post_cfg(lora(attn1(mini.model, 0.7, 1.1, 0.9)))
    assert changed(sample(scene, model=model, energy=move(scene), **GUIDED), sample(scene, energy=move(scene), **GUIDED))


def test_zero_strength_with_patches(scene: Any, sample: Any, euler: Any, mini: Any) -> None:
    """Bit for bit what stock sampling makes of the patched model."""
    model = post_cfg(rescale(lora(attn1(mini.model, 0.7, 1.1, 0.9))))
    assert torch.equal(sample(scene, model=model), euler(scene, model=model))


def test_calc_cond_batch_function_is_chained(scene: Any, sample: Any, move: Any, mini: Any) -> None:
    """A pack that takes over the evaluation of conditionings is asked in guided steps too."""
    import comfy.samplers

    calls: list[list[bool]] = []
    model = mini.model.clone()

    def evaluate(args: Any) -> Any:
        calls.append([each is not None for each in args["conds"]])
        return comfy.samplers.calc_cond_batch(args["model"], args["conds"], args["input"], args["sigma"], args["model_options"])

    model.set_model_sampler_calc_cond_batch_function(evaluate)
    guided = sample(scene, model=model, energy=move(scene), guide_every_until=0.5, guide_until=0.5)
    assert calls == [[True, False], [False, True]] * 2 + [[True, True]] * 2
    assert torch.equal(guided, sample(scene, energy=move(scene), guide_every_until=0.5, guide_until=0.5))


class Control(ControlBase):
    """Stands for a ControlNet: a constant on the middle block and on one skip, made in inference mode."""

    def __init__(self, value: float) -> None:
        super().__init__()
        with torch.inference_mode():
            self.value = torch.tensor(value)
        self.rows: list[int] = []

    def get_control(self, x_noisy: Any, t: Any, cond: Any, batched_number: int, transformer_options: Any) -> Any:
        self.rows.append(x_noisy.shape[0])
        return {"input": [], "middle": [self.value], "output": [self.value]}

    def copy(self) -> Control:
        raise NotImplementedError


def controlled(conditioning: Any, control: Control) -> Any:
    return conditioning_set_values(conditioning, {"control": control, "control_apply_to_uncond": True})


def test_control_of_zeros(scene: Any, sample: Any, move: Any) -> None:
    """A ControlNet that says nothing changes nothing; it is asked at every step, guided or not."""
    control = Control(0.0)
    energy = move(scene)
    with_control = sample(scene, positive=controlled(scene.positive, control), energy=energy, cfg=1.0, **GUIDED)
    assert not changed(with_control, sample(scene, energy=energy, cfg=1.0, **GUIDED))
    assert control.rows == [1] * 4


def test_control_acts_in_guided_steps(scene: Any, sample: Any, move: Any) -> None:
    energy = move(scene)
    for cfg in (1.0, 3.0):
        with_control = sample(scene, positive=controlled(scene.positive, Control(2.0)), energy=energy, cfg=cfg, **GUIDED)
        assert changed(with_control, sample(scene, energy=energy, cfg=cfg, **GUIDED))


def test_control_in_the_inversion_acts_on_the_reference(scene: Any, run: Any, mini: Any, sample: Any, move: Any) -> None:
    """A picture inverted with a ControlNet is replayed with it."""
    control = Control(1.0)
    positive = controlled(scene.positive, control)
    trajectory, _, _ = run("DragonInvert", model=mini.model, positive=positive, latent=scene.latent, steps=4)
    assert len(control.rows) == 8
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
    sample(scene, branch=branch, energy=move(scene), cfg=1.0, guide_every_until=0.5, guide_until=0.5)
    assert len(control.rows) == 8 + 2


# With every task: what an IP-Adapter, a LoRA and a ControlNet do to the MODEL and the CONDITIONING, at a strength


def ip_adapter(model: Any, strength: float) -> Any:
    """Cross-attention plus, in every block, attention to tokens of a picture, whose weights were loaded in inference mode."""
    from comfy.ldm.modules.attention import optimized_attention

    with torch.inference_mode():
        tokens = {width: 3 * torch.randn(2, 1, 4, width, generator=torch.Generator().manual_seed(width)) for width in range(32, 1025, 32)}

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: Any) -> torch.Tensor:
        keys, values = (each.expand(q.shape[0], -1, -1) for each in tokens[q.shape[-1]])
        heads = options["n_heads"]
        own = optimized_attention(q, k, v, heads, transformer_options=options)
        return own + strength * optimized_attention(q, keys, values, heads, transformer_options=options)

    clone = model.clone()
    for name, number in [("input", i) for i in range(12)] + [("middle", 0)] + [("output", i) for i in range(12)]:
        clone.set_model_attn2_replace(attend, name, number)
    return clone


def foreign(kind: str, strength: float, model: Any, positive: Any) -> dict[str, Any]:
    """The model and the positive conditioning with one of them connected."""
    if kind == "IP-Adapter":
        return {"model": ip_adapter(model, strength), "positive": positive}
    if kind == "LoRA":
        return {"model": lora(model, strength), "positive": positive}
    return {"model": model, "positive": controlled(positive, Control(2.0 * strength))}


@dataclass(frozen=True)
class Case:
    """An edit of one of the tasks, what it is sampled with, and the result without any foreign patch."""

    energy: Any
    given: dict[str, Any]
    plain: torch.Tensor


@pytest.fixture(scope="module", params=["resize", "drag", "appearance", "paste", "stack"])
def case(request: pytest.FixtureRequest, make_scene: Any, sample: Any, run: Any, mini: Any) -> Case:
    """The second picture is the source itself, for the tasks that take from one; the stack resizes one thing and pastes another."""
    scene = make_scene(steps=2)
    resized = {"mask": scene.mask, "scale": 0.7, "dx": 24}
    pasted = {"reference_mask": scene.mask, "x": 72.0, "y": 44.0}
    chains: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "resize": [("DragonResizeLoss", resized)],
        "drag": [("DragonDragLoss", {"points": "[[[20, 24], [44, 32]]]", "image": scene.image})],
        "appearance": [("DragonAppearanceLoss", {"mask": scene.mask, "reference_mask": scene.mask.roll((20, 40), (1, 2))})],
        "paste": [("DragonPasteLoss", pasted)],
        "stack": [("DragonResizeLoss", {**resized, "dx": 0}), ("DragonPasteLoss", pasted)],
    }
    energy: Any = ()
    for node, inputs in chains[request.param]:
        (energy,) = run(node, energy=energy, **inputs)
    (branch,) = run("DragonGuidanceBranch", trajectory=scene.trajectory, reference=scene.trajectory)
    (shared,) = run("DragonCrossAttnPatch", model=mini.model, branch=branch)
    given = {"scene": scene, "branch": branch, "model": shared, "positive": scene.positive, "cfg": 1.0, **GUIDED}
    return Case(energy, given, sample(energy=energy, **given))


@pytest.mark.parametrize("kind", ["IP-Adapter", "LoRA", "ControlNet"])
def test_every_task_composes(case: Case, sample: Any, kind: str) -> None:
    """In one run the foreign patch acts and so does the guidance; at strength 0 the edit is the same, bit for bit."""

    def sampled(strength: float, **given: Any) -> torch.Tensor:
        patched = foreign(kind, strength, case.given["model"], case.given["positive"])
        return sample(energy=case.energy, **{**case.given, **patched, **given})

    both = sampled(1.0)
    assert changed(both, case.plain), "the foreign patch acts"
    assert changed(both, sampled(1.0, energy_scale=0.0)), "the guidance acts"
    assert torch.equal(sampled(0.0), case.plain)


def test_several_positive_conditionings(scene: Any, run: Any, sample: Any, move: Any, mini: Any) -> None:
    """ConditioningCombine: two rows for the prompt, their gradients averaged; the same prompt twice is the prompt once.

    But for the last bits, which guidance enlarges, on some machines to 0.1 % of its own effect.
    """
    (twice,) = run("ConditioningCombine", conditioning_1=scene.positive, conditioning_2=scene.positive)
    energy = move(scene)
    (model,) = run("DragonCrossAttnPatch", model=mini.model, branch=scene.branch)
    gentle = {**GUIDED, "hold_object_until": 0.5}  # at noisier levels they are enlarged far more
    once, again = (sample(scene, model=model, positive=each, energy=energy, **gentle) for each in (scene.positive, twice))
    unguided = sample(scene, model=model, energy=energy, energy_scale=0.0, **gentle)
    assert float((again - once).abs().max()) < 0.01 * float((unguided - once).abs().max())


def test_patch_that_leaves_out_the_unet(mini: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    """A cache that repeats an earlier answer: there is nothing to compare then, and the message says what to do."""
    cached = mini.model.clone()
    cached.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "cache", lambda executor, x, *args, **kwargs: torch.zeros_like(x))
    with refused("DragonSampler", "EasyCache", "bypass it"):
        sample(scene, model=cached, energy=move(scene), guide_every_until=1.0, guide_until=1.0)


def test_easycache(run: Any, mini: Any, scene: Any, sample: Any, move: Any) -> None:
    """ComfyUI's own goes by the first evaluation of a step, which is the guidance branch's and ends early: it finds nothing to repeat."""
    (cached,) = run("EasyCache", model=mini.model, reuse_threshold=3.0, start_percent=0.0, end_percent=1.0, verbose=False)
    guided = {"energy": move(scene), "hold_object_until": 0.0, "guide_every_until": 1.0, "guide_until": 1.0}
    assert torch.equal(sample(scene, model=cached, **guided), sample(scene, **guided))


def test_patch_that_changes_the_size_on_the_way(run: Any, mini: Any, scene: Any, sample: Any, move: Any) -> None:
    """Kohya's Deep Shrink works at half the size for the first part of the schedule."""
    inputs = {"block_number": 1, "downscale_factor": 2.0, "start_percent": 0.0, "end_percent": 0.5, "downscale_after_skip": True}
    methods = {"downscale_method": "bicubic", "upscale_method": "bicubic"}
    (shrunk,) = run("PatchModelAddDownscale", model=mini.model, **inputs, **methods)
    assert torch.isfinite(sample(scene, model=shrunk, energy=move(scene), guide_every_until=1.0, guide_until=1.0)).all()


def test_diffeditors_image_prompt(make_scene: Any, sample: Any, move: Any, run: Any, mini: Any) -> None:
    """Its IP-Adapter beside the preset, as on the help page: through DragonCrossAttnPatch, at a tenth of its strength."""
    scene = make_scene(steps=10, refinement=0)
    pictures = []
    for model in (mini.model, ip_adapter(mini.model, 0.1)):
        (shared,) = run("DragonCrossAttnPatch", model=model, branch=scene.branch)
        pictures.append(sample(scene, model=shared, energy=move(scene), preset="DiffEditor", energy_scale=0.5, cfg=4.0))
    assert changed(*pictures)
