"""ControlNets and patches like FreeU write into tensors that autograd has saved: the gradient stays that of the values they had."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="module")
def writing_in_place(pack: Any) -> Callable[[], AbstractContextManager[None]]:
    return pack.submodule("nodes.host.in_place").writing_in_place


def test_memory_that_is_used_again(writing_in_place: Any) -> None:
    """Each round's tensor may come to lie where the one before lay, under the same `id`: PyTorch's own context took it for that one."""
    w = torch.ones(64, requires_grad=True)
    with writing_in_place():
        total = torch.zeros(())
        for i in range(1, 51):
            a = torch.full((64,), float(i))
            total = total + (a * w).sum()
            a.add_(1000.0)
            del a
        total.backward()
    assert torch.equal(w.grad, torch.full((64,), 50 * 51 / 2))


WRITES: dict[str, Callable[[Tensor], Any]] = {
    "add_": lambda a: a.add_(1.0),
    "view": lambda a: a.view(4, 16)[1:, ::2].zero_(),
    "setitem": lambda a: a.__setitem__(slice(3, 9), 7.0),
    "out": lambda a: torch.mul(torch.ones(64), 3.0, out=a),
    "foreach": lambda a: torch._foreach_mul_([a, torch.ones(2)], 5.0),
    "copy_": lambda a: a.copy_(torch.zeros(64)),
    "detached": lambda a: a.detach().fill_(2.0),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_way_of_writing(writing_in_place: Any, write: Callable[[Tensor], Any]) -> None:
    x = torch.linspace(-2.0, 2.0, 64, requires_grad=True)
    w = torch.ones(64, requires_grad=True)
    with writing_in_place():
        a = x.detach() * 3.0
        halves = a.chunk(2)
        out = (a * w).sum() + (a.clone() * a * w).sum() + (halves[1] * w[32:]).sum()  # saved whole, twice, and as a view
        write(a)
        later = (a * w).sum()  # what was written is what counts from here
        (out + later).backward()
    expected = x.detach() * 3.0 + (x.detach() * 3.0) ** 2 + a
    expected[32:] += x.detach()[32:] * 3.0
    torch.testing.assert_close(w.grad, expected)


def test_written_results_of_operations(writing_in_place: Any) -> None:
    """What an operation gave out and saved for itself, as exp does."""
    x = torch.linspace(-1.0, 1.0, 16, requires_grad=True)
    with writing_in_place():
        y = x.exp()
        kept = y * 1.0
        y.mul_(0.0)
        (kept.sum() + y.sum()).backward()
    torch.testing.assert_close(x.grad, x.detach().exp())


def test_views_of_complex_numbers(writing_in_place: Any) -> None:
    """A number and its conjugate lie in the same memory; FreeU works on spectra."""
    w = torch.ones(8, dtype=torch.complex64, requires_grad=True)
    with writing_in_place():
        a = torch.complex(torch.arange(8.0), torch.arange(8.0))
        known = a.clone()
        out = (a * w).sum() + (a.conj() * w * 2).sum()
        a.zero_()
        out.real.backward()
    torch.testing.assert_close(w.grad, (known + 2 * known.conj()).conj())


def test_nothing_is_kept(writing_in_place: Any) -> None:
    def once(fails: bool) -> weakref.ref[Tensor]:
        a = torch.ones(8)
        with writing_in_place():
            out = (a * torch.ones(8, requires_grad=True)).sum()
            if fails:
                raise InterruptedError
            out.backward()
        return weakref.ref(a)

    kept = once(False)
    gc.collect()
    assert kept() is None
    with pytest.raises(InterruptedError):
        once(True)
    a, w = torch.ones(8), torch.ones(8, requires_grad=True)
    out = (a * w).sum()
    a.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):  # autograd is itself again
        out.backward()


def test_the_same_gradients(writing_in_place: Any, run: Any, pack: Any) -> None:
    """Bit for bit, through the bundled model."""
    unet = run("DragonMiniModel")[0].model.diffusion_model
    pack.submodule("nodes.host.gradients").make_differentiable(unet)
    g = torch.Generator().manual_seed(0)
    width = next(m for name, m in unet.named_modules() if name.endswith("attn2.to_k")).in_features
    start, context = torch.randn(1, 4, 16, 16, generator=g), torch.randn(1, 77, width, generator=g)

    def gradient() -> Tensor:
        z = start.clone().requires_grad_(True)
        return torch.autograd.grad(unet(z, torch.tensor([500.0]), context=context).square().sum(), z)[0]

    with torch.inference_mode(False), torch.enable_grad():
        plain = gradient()
        with writing_in_place():
            assert torch.equal(gradient(), plain)
