"""ComfyUI runs nodes in inference mode and loads weights there, where autograd accepts nothing. Guidance works all the same."""

from __future__ import annotations

from typing import Any

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
