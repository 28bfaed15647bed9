"""ComfyUI runs nodes in inference mode and loads weights there, where autograd accepts nothing. Guidance works all the same."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
import torch


def test_gradient_through_a_model_loaded_in_inference_mode(fresh_mini: Any, scene: Any, sample: Any, move: Any) -> None:
    """The weights are inference tensors before. The edit differs from the unguided one: a gradient has flowed."""
    unet = fresh_mini.model.model.diffusion_model
    assert all(parameter.is_inference() for parameter in unet.parameters())
    assert scene.latent["samples"].is_inference() and scene.positive[0][0].is_inference()
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    plain = {"model": fresh_mini.model, "energy": move(scene, start_latent="off")}
    unguided = sample(scene, energy_scale=0.0, **plain)
    guided = sample(scene, energy_scale=1.0, **plain)
    assert torch.isfinite(guided).all()
    assert not torch.equal(guided, unguided)
    after = unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize(
    "case", ["not loaded before", "loaded by the inversion", "a LoRA on the edit's model alone", "after an unguided edit"]
)
def test_weights_that_come_to_the_card_in_the_run(
    case: str, fresh_mini: Any, scene: Any, sample: Any, move: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From RAM to a card, `Module.to` gives a parameter the data of another tensor, made in the mode of the moment: here outside inference
    mode. It then is no inference tensor, and still none that autograd can save."""
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, *_args, **_kwargs: module._apply(lambda tensor: tensor.clone()))
    model = fresh_mini.model
    if case == "loaded by the inversion" or "LoRA" in case:
        run("DragonInvert", model=model, positive=scene.positive, latent=scene.latent, steps=2)
    if case == "after an unguided edit":
        sample(scene, model=model, energy=move(scene), energy_scale=0.0)
    if "LoRA" in case:
        with torch.inference_mode():
            model = model.clone()
            key = "diffusion_model.input_blocks.1.0.in_layers.2.weight"
            model.add_patches({key: ("diff", (torch.zeros_like(model.model.state_dict()[key]),))}, 1.0)
    assert torch.equal(sample(scene, model=model, energy=move(scene)), sample(scene, energy=move(scene)))


def test_a_guided_edit_after_a_lora_has_gone(fresh_mini: Any, scene: Any, sample: Any, move: Any) -> None:
    """ComfyUI puts back the weights that the LoRA had changed: parameters with a version, as ordinary ones, and yet of inference mode."""
    key = "diffusion_model.input_blocks.0.0.weight"
    patched = fresh_mini.model.clone()
    patched.add_patches({key: (0.1 * fresh_mini.model.model.state_dict()[key].clone(),)})
    for model in (patched, fresh_mini.model, patched):
        sample(scene, model=model)
    assert torch.equal(sample(scene, model=fresh_mini.model, energy=move(scene)), sample(scene, energy=move(scene)))


def test_weights_ask_for_no_gradient(fresh_mini: Any, scene: Any, sample: Any, move: Any) -> None:
    """Nothing is saved for gradients of weights, which nobody wants."""
    sample(scene, model=fresh_mini.model, energy=move(scene))
    assert not any(parameter.requires_grad for parameter in fresh_mini.model.model.diffusion_model.parameters())


def test_a_buffer_of_another_pack_is_written_to(pack: Any) -> None:
    """It was made in its node, in inference mode, and a patch keeps something in it: what it keeps is there, on the way and afterwards."""
    gradients = pack.submodule("nodes.host.gradients")
    with torch.inference_mode():
        buffer, kept = torch.zeros(3), torch.ones(3)
    x = torch.full((3,), 2.0, requires_grad=True)
    with torch.inference_mode(False), gradients.differentiable(others=False):
        buffer[1:] = (x * kept)[1:]
        buffer.add_(1)
        assert torch.autograd.grad((x * kept).sum(), x)[0].tolist() == [1, 1, 1]
        assert buffer.tolist() == [1, 3, 3]
    assert buffer.tolist() == [1, 3, 3] and buffer.is_inference()


def test_named_tuples_in_conditioning(pack: Any) -> None:
    """They take their fields one by one, unlike tuples."""
    with torch.inference_mode():
        pair = namedtuple("Pair", ["a", "b"])(torch.ones(2), "x")
    out = pack.submodule("nodes.host.gradients").out_of_inference(pair)
    assert type(out) is type(pair) and not out.a.is_inference() and torch.equal(out.a, pair.a) and out.b == "x"


def test_an_unguided_run_leaves_the_weights_alone(fresh_mini: Any, scene: Any, sample: Any) -> None:
    """Weights are replaced by equal ones only where a gradient is wanted."""
    parameters = list(fresh_mini.model.model.diffusion_model.parameters())
    sample(scene, model=fresh_mini.model)
    assert all(a is b for a, b in zip(parameters, fresh_mini.model.model.diffusion_model.parameters(), strict=True))


def test_outputs_are_plain_data(scene: Any, sample: Any, move: Any) -> None:
    """No autograd graph is alive in what the nodes give out; everything lies on the CPU."""
    result = sample(scene, energy=move(scene), guide_every_until=1.0)
    for tensor in (result, scene.start["samples"], scene.trajectory.latents, scene.trajectory.sigmas, scene.sigmas):
        assert tensor.grad_fn is None and not tensor.requires_grad
        assert tensor.device.type == "cpu" and tensor.dtype == torch.float32


def test_inputs_are_not_touched(scene: Any, sample: Any, move: Any) -> None:
    """Cached outputs of other nodes are theirs: conditioning, latents, trajectory and mask keep their values."""
    tensors = [scene.positive[0][0], scene.negative[0][0], scene.start["samples"], scene.trajectory.latents, scene.mask, scene.sigmas]
    before = [each.clone() for each in tensors]
    sample(scene, energy=move(scene), guide_every_until=1.0, sde_strength=0.4, travel_passes=2)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
