"""A training step: plain AdamW with clipping, and nothing where the gradient is not finite."""

from __future__ import annotations

import torch
from torch import nn

from training.step import Step


def steps(layer: nn.Linear, *inputs: torch.Tensor) -> list[torch.Tensor]:
    """The weight before and after each step, at a rate that grows."""
    step = Step(lambda x: layer(x).square().mean(), list(layer.parameters()), betas=(0.9, 0.98), decay=0.01, clip=0.5)
    weights = [layer.weight.detach().clone()]
    for count, x in enumerate(inputs):
        step(0.01 * (count + 1), x)
        weights.append(layer.weight.detach().clone())
    return weights


def test_it_is_adamw_with_clipping() -> None:
    g = torch.Generator().manual_seed(0)
    batches = [torch.randn(4, 3, generator=g) for _ in range(3)]
    layer, reference = nn.Linear(3, 2), nn.Linear(3, 2)
    reference.load_state_dict(layer.state_dict())
    ours = steps(layer, *batches)
    optimizer = torch.optim.AdamW(reference.parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.01)
    for count, x in enumerate(batches):
        optimizer.param_groups[0]["lr"] = 0.01 * (count + 1)
        optimizer.zero_grad()
        reference(x).square().mean().backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        optimizer.step()
    assert torch.allclose(ours[-1], reference.weight, atol=1e-6)


def test_a_step_without_a_finite_gradient_changes_nothing() -> None:
    good, bad = torch.ones(2, 3), torch.full((2, 3), float("nan"))
    start, first, skipped, after = steps(nn.Linear(3, 1), good, bad, good)
    assert not torch.equal(start, first)
    assert torch.equal(first, skipped)
    assert torch.isfinite(after).all()
    assert not torch.equal(skipped, after)
