"""Room for a backward pass: what autograd saves goes to RAM while the card is nearly full."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import comfy.model_management
import torch
from torch import Tensor, nn

MIB = 2**20

#: Bytes of the device that saved tensors leave free: for what one operation on the way works with. The largest are the energies', on
#: features of 0.3 GiB each with SDXL at 1024² (1280 channels in float32 on a grid of 256²): what goes in and comes out, the gradients of
#: both, and what comes back from RAM. The rest is for memory that the allocator calls free but which is in pieces, and for other
#: programs. Reckoned, not measured on a card.
KEEP_FREE = 2 * 2**30

#: Smaller tensors stay: a copy would cost more than the room it makes.
LEAST = MIB

#: Share of the machine's RAM that copies may take from PyTorch's page-locked pool. Copies are faster there, but the pool gives nothing back
#: until ComfyUI ends, and takes up to twice what is asked (powers of two). The same share at every step, so that steps reuse it.
MOST_LOCKED = 0.25

#: Their memory is the RAM itself, or (DirectML) ComfyUI cannot say how much of it is free.
NOTHING_TO_GAIN = ("cpu", "mps", "privateuseone")


@dataclass
class Tally:
    """Bytes that went to RAM in one evaluation; ``locked``: how many of them into page-locked memory."""

    offloaded: int = 0
    locked: int = 0


@dataclass(frozen=True)
class Kept:
    """A tensor that stayed, and which version of it was saved."""

    tensor: Tensor
    version: int


@dataclass(frozen=True)
class Away:
    """What stands in the graph for a tensor that went to RAM, and the strides it had: kernels round by how values lie in memory."""

    copy: Tensor
    stride: tuple[int, ...]
    device: torch.device

    def back(self) -> Tensor:
        there = torch.empty_strided(self.copy.shape, self.stride, dtype=self.copy.dtype, device=self.device)
        return there.copy_(self.copy)


class Offload:
    """Decides, tensor by tensor when it is saved, what goes to RAM: weights and small tensors stay, and so does everything while more than
    ``KEEP_FREE`` is free. Values come back bit for bit. The copies belong to the graph and die with it.

    ``free``: how many bytes of the device are free.
    """

    def __init__(self, unet: nn.Module, device: torch.device, free: Callable[[], int]) -> None:
        self.tally = Tally()
        self.device, self.free = device, free
        self.weights = {tensor.untyped_storage().data_ptr() for tensor in itertools.chain(unet.parameters(), unet.buffers())}
        self.lockable = MOST_LOCKED * comfy.model_management.total_ram * MIB if device.type == "cuda" else 0
        self.room = 0

    def away(self, tensor: Tensor) -> Away | None:
        """What stands in for a tensor that went to RAM; None for one that stays."""
        storage, size = tensor.untyped_storage(), tensor.nbytes
        # An expanded tensor is larger than its memory.
        worth = tensor.device == self.device and LEAST <= size <= storage.nbytes() and storage.data_ptr() not in self.weights
        return Away(self._copied(tensor), tensor.stride(), self.device) if worth and not self._fits(size) else None

    def _fits(self, size: int) -> bool:
        """Whether a tensor may stay. A reading takes the driver a while; half of what it found is given away before the next one."""
        if self.room < size:
            self.room = (self.free() - KEEP_FREE) // 2
        if self.room < size:
            return False
        self.room -= size
        return True

    def _copied(self, tensor: Tensor) -> Tensor:
        lock = self.tally.locked + tensor.nbytes <= self.lockable
        try:
            copy = torch.empty_like(tensor, device="cpu", pin_memory=lock)
        except RuntimeError:  # the system lets no more be locked
            lock, copy = False, torch.empty_like(tensor, device="cpu")
        # Blocking: what the tensor leaves behind is free at once, and free() counts it for the next one.
        copy.copy_(tensor)
        self.tally.offloaded += tensor.nbytes
        self.tally.locked += tensor.nbytes if lock else 0
        return copy


def offload_for(unet: nn.Module, device: torch.device) -> Offload | None:
    """None on a device that has no memory of its own: there is nothing to gain."""
    if device.type in NOTHING_TO_GAIN:
        return None
    return Offload(unet, device, lambda: int(comfy.model_management.get_free_memory(device)))


@contextmanager
def offloading(offload: Offload) -> Iterator[None]:
    """Forward and backward in here need the device's memory for one layer at a time, rather than for all of them, where there is no more.

    PyTorch heeds the innermost pair of hooks only; `in_place.writing_in_place`, which has hooks of its own, takes a ``offload``, too.
    """

    def pack(tensor: Tensor) -> Kept | Away:
        # Not the tensor itself: one that its own operation saves (a softmax) would hold its graph, and the graph it.
        return offload.away(tensor) or Kept(tensor.detach(), tensor._version)

    def unpack(packed: Kept | Away) -> Tensor:
        if isinstance(packed, Away):
            return packed.back()
        if packed.tensor._version != packed.version:  # which autograd looks at only where there are no hooks
            raise RuntimeError(
                f"a tensor {tuple(packed.tensor.shape)} that the backward pass needs was changed in place: version "
                f"{packed.tensor._version}, saved was {packed.version}"
            )
        return packed.tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield
