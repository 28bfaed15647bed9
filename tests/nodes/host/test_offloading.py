"""Where memory is short, what is saved for the backward pass goes to RAM: the same gradients, and nothing left behind."""

from __future__ import annotations

import gc
import itertools
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def memory(pack: Any) -> Any:
    return pack.submodule("nodes.host.memory")


@pytest.fixture(scope="module")
def unet(run: Any, pack: Any) -> Any:
    """The bundled model's UNet, which autograd accepts."""
    unet = run("DragonMiniModel")[0].model.diffusion_model
    pack.submodule("nodes.host.gradients").make_differentiable(unet)
    return unet


@pytest.fixture(scope="module")
def forward(unet: Any) -> Callable[[Tensor], Tensor]:
    """Many pictures at once, so that the small model's activations are large."""
    width = next(m for name, m in unet.named_modules() if name.endswith("attn2.to_k")).in_features
    generator = torch.Generator().manual_seed(3)
    context = torch.randn(1, 77, width, generator=generator)

    def evaluate(z: Tensor) -> Tensor:
        with torch.enable_grad():
            return unet(z, torch.full((z.shape[0],), 300.0), context=context.expand(z.shape[0], -1, -1))

    return evaluate


@pytest.fixture
def z() -> Tensor:
    return torch.randn(4, 4, 32, 32, generator=torch.Generator().manual_seed(4)).requires_grad_(True)


def gradient(forward: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    return torch.autograd.grad(forward(z).square().sum(), z)[0]


@contextmanager
def offloading(memory: Any, unet: torch.nn.Module, free: Callable[[], int]) -> Iterator[Any]:
    """The hooks with a device that has so much free; gives the tally."""
    offload = memory.Offload(unet, CPU, free)
    with memory.offloading(offload):
        yield offload.tally


def away(memory: Any) -> list[Any]:
    """The stand-ins that are alive in some graph."""
    return [each for each in gc.get_objects() if type(each) is memory.Away]


def test_gradients_are_the_same_to_the_bit(memory: Any, unet: Any, forward: Any, z: Tensor) -> None:
    plain = gradient(forward, z)
    with offloading(memory, unet, lambda: 0) as tally:
        offloaded = gradient(forward, z)
    assert tally.offloaded > 30 * 2**20, "the test must have something to spill"
    assert torch.equal(offloaded, plain) and float(plain.abs().max()) > 0


def test_a_second_way_back(memory: Any, unet: Any, forward: Any, z: Tensor) -> None:
    """As an edit with two kinds of energies goes: the graph is kept for another pass."""
    with offloading(memory, unet, lambda: 0):
        loss = forward(z).square().sum()
        first = torch.autograd.grad(loss, z, retain_graph=True)[0]
        second = torch.autograd.grad(loss, z)[0]
    assert torch.equal(first, second)


def test_weights_and_small_tensors_stay(memory: Any, unet: Any, forward: Any, z: Tensor) -> None:
    """Every copy is of at least 1 MiB and none holds a weight, though some weights are as large."""
    assert any(weight.nbytes >= memory.LEAST for weight in unet.parameters())
    with offloading(memory, unet, lambda: 0) as tally:
        out = forward(z)
        copies = [each.copy for each in away(memory)]
    assert sum(copy.nbytes for copy in copies) == tally.offloaded > 0
    assert min(copy.nbytes for copy in copies) >= memory.LEAST
    large = {weight.shape: weight for weight in unet.parameters() if weight.nbytes >= memory.LEAST}
    assert not any(copy.shape in large and torch.equal(copy, large[copy.shape]) for copy in copies)
    assert out.requires_grad


@pytest.mark.parametrize("shape", ["a weight's view", "an expanded tensor"])
def test_what_a_copy_would_not_free(memory: Any, shape: str) -> None:
    """A transposed weight lies in the weight's memory; an expanded tensor in less than its size."""
    linear = torch.nn.Linear(1024, 1024, bias=False).requires_grad_(False)
    x = torch.ones(1024, 1024, requires_grad=True)
    other = linear.weight.t() if shape == "a weight's view" else torch.ones(1, 1024).expand(1024, 1024)
    with torch.enable_grad(), offloading(memory, linear, lambda: 0) as tally:
        product = x * other
    assert tally.offloaded == 0 and product.requires_grad


def test_nothing_goes_while_there_is_room(memory: Any, unet: Any, forward: Any, z: Tensor) -> None:
    """Far from the limit the device is asked a few times at most; at the limit part of it stays."""
    with offloading(memory, unet, lambda: 0) as everything:
        forward(z)
    asked: list[int] = []

    def plenty() -> int:
        asked.append(memory.KEEP_FREE + 2**40)
        return asked[-1]

    with offloading(memory, unet, plenty) as nothing:
        forward(z)
    assert nothing.offloaded == 0 and len(asked) == 1
    readings = itertools.chain([memory.KEEP_FREE + 40 * 2**20], itertools.repeat(memory.KEEP_FREE))
    with offloading(memory, unet, lambda: next(readings)) as some:
        forward(z)
    stayed = everything.offloaded - some.offloaded
    assert 10 * 2**20 < stayed <= 20 * 2**20, "half of what a reading finds is given away"


def test_copies_die_with_the_backward_pass(memory: Any, unet: Any, forward: Any, z: Tensor) -> None:
    with offloading(memory, unet, lambda: 0):
        loss = forward(z).square().sum()
        copies = [weakref.ref(each.copy) for each in away(memory)]
        assert copies and all(copy() is not None for copy in copies)
        gc.disable()  # no cycle may be what keeps them
        try:
            torch.autograd.grad(loss, z)
            assert not any(copy() is not None for copy in copies)
        finally:
            gc.enable()


def test_copies_die_with_an_interrupt(memory: Any, unet: Any, forward: Any, z: Tensor) -> None:
    """An exception between the two passes takes the graph along, and the hooks are off again."""
    copies: list[Any] = []

    def interrupted() -> None:
        with offloading(memory, unet, lambda: 0):
            loss = forward(z).square().sum()
            copies.extend(weakref.ref(each.copy) for each in away(memory))
            if loss.requires_grad:
                raise InterruptedError

    gc.collect()
    gc.disable()
    try:
        with pytest.raises(InterruptedError) as caught:
            interrupted()
        assert copies
        del caught
        assert not any(copy() is not None for copy in copies)
    finally:
        gc.enable()
    forward(z)
    assert not away(memory)


def test_a_saved_output_holds_no_cycle(memory: Any) -> None:
    """exp saves its own result; kept, it must not keep its graph alive."""
    x = torch.zeros(8, requires_grad=True)
    gc.disable()
    try:
        with torch.enable_grad(), offloading(memory, torch.nn.Identity(), lambda: 0):
            out = x.exp()
            kept = [weakref.ref(each.tensor) for each in gc.get_objects() if type(each) is memory.Kept]
        assert [each().shape for each in kept] == [x.shape]
        del out
        assert kept[0]() is None
    finally:
        gc.enable()


def test_writing_into_a_saved_tensor_is_noticed(memory: Any) -> None:
    """Autograd compares versions only without hooks, so ours do. What had gone to RAM cannot be written into."""
    for size, noticed in ((8, True), (2**19, False)):
        x = torch.full((size,), 2.0, requires_grad=True)
        with torch.enable_grad(), offloading(memory, torch.nn.Identity(), lambda: 0):
            y = x * 1
            out = y.square()
            with torch.no_grad():
                y.zero_()
            if noticed:
                with pytest.raises(RuntimeError, match="changed in place"):
                    torch.autograd.grad(out.sum(), x)
            else:
                assert torch.equal(torch.autograd.grad(out.sum(), x)[0], torch.full((size,), 4.0))


@pytest.mark.parametrize("size", [8, 2**19])
def test_others_that_write_in_place(memory: Any, pack: Any, size: int) -> None:
    """Within `differentiable(others=True)`, what is written into afterwards gives the gradient of what was there; large tensors go to RAM
    all the same: a card is no larger because FreeU is on it."""
    offload = memory.Offload(torch.nn.Identity(), CPU, lambda: 0)
    x = torch.full((size,), 2.0, requires_grad=True)
    with pack.submodule("nodes.host.gradients").differentiable(True, offload):
        y = x * 1
        out = y.square()
        with torch.no_grad():
            y.zero_()
        assert torch.equal(torch.autograd.grad(out.sum(), x)[0], torch.full((size,), 4.0))
    assert offload.tally.offloaded == (4 * size if size > 8 else 0)


@pytest.mark.parametrize("patch", ["none", "FreeU_V2"])
def test_an_edit_on_a_full_card(
    patch: str, make_scene: Any, sample: Any, move: Any, run: Any, pack: Any, memory: Any, fresh_mini: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit the edit of a card with room, also where another pack's patch acts."""
    spills: list[Any] = []

    def full(unet: Any, device: Any) -> Any:
        spills.append(memory.Offload(unet, device, lambda: 0))
        return spills[-1]

    large = make_scene(height=256, width=256)
    model = fresh_mini.model if patch == "none" else run(patch, model=fresh_mini.model)[0]
    inputs = {"model": model, "energy": move(large, dx=64), "energy_scale": 0.5}
    plain = sample(large, **inputs)
    monkeypatch.setattr(pack.submodule("nodes.host.evaluation"), "offload_for", full)
    assert torch.equal(sample(large, **inputs), plain)
    assert spills and min(offload.tally.offloaded for offload in spills) > 30 * 2**20


def test_a_cpu_has_nothing_to_gain(memory: Any, unet: Any, z: Tensor, pack: Any) -> None:
    """There are not even hooks: what autograd saves is the tensor itself."""
    assert memory.offload_for(unet, CPU) is None
    with pack.submodule("nodes.host.gradients").differentiable(False, None):
        out = z.exp()
        assert out.grad_fn._saved_result.data_ptr() == out.data_ptr()
        assert torch.equal(torch.autograd.grad(out.sum(), z)[0], out)


def test_the_log_says_it_once_a_run(pack: Any, memory: Any, caplog: pytest.LogCaptureFixture) -> None:
    state = pack.submodule("nodes.host.run")
    run = state.Run(pictures=(), first=0, blocks=(), layout=None, scale=None, sharing=None)
    with caplog.at_level(logging.INFO):
        run.account(memory.Tally())
        assert not caplog.records
        run.account(memory.Tally(offloaded=300 * 2**20))
        run.account(memory.Tally(offloaded=400 * 2**20))
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "300 MiB" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_edit_on_a_full_gpu(
    memory: Any, make_scene: Any, sample: Any, move: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reserve that no card can keep: everything goes, and the edit is the same."""
    large = make_scene(height=512, width=512)
    plain = sample(large, energy=move(large))
    monkeypatch.setattr(memory, "KEEP_FREE", 2**60)
    with caplog.at_level(logging.INFO):
        offloaded = sample(large, energy=move(large))
    assert "MiB of each guided step go to RAM" in caplog.text
    assert torch.allclose(offloaded, plain, rtol=1e-3, atol=1e-4)
