"""Gradients through what writes in place: a tensor that autograd has saved is copied before its memory is written to.

For what `torch.autograd.graph.allow_mutation_on_saved_tensors` is for, which this replaces: up to PyTorch 2.11 at least, it knows a saved
tensor by its `id`, address and version. Once it has copied one it lets go of the original, and a later tensor that comes to lie at the
same address under the same `id` is taken for it: the gradient is then wrong, now and then, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from .memory import Away, Offload


class Saved:
    """What autograd holds in place of a tensor. While it is listed it keeps the memory, so no other tensor can come to lie there."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()


def address(tensor: Tensor) -> int:
    """Of all the memory that ``tensor`` is a view of."""
    return tensor.untyped_storage().data_ptr()


@cache
def written(operation: OpOverload) -> tuple[tuple[int, str], ...]:
    """Position and name of the arguments that an operation writes to."""
    arguments = enumerate(operation._schema.arguments)
    return tuple((i, a.name) for i, a in arguments if a.alias_info is not None and a.alias_info.is_write)


class CopyBeforeWrite(TorchDispatchMode):
    """Sees every operation below autograd, views and `out=` included."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: dict[int, WeakSet[Saved]] = {}

    def save(self, tensor: Tensor) -> Saved:
        saved = Saved(tensor)
        self.saved.setdefault(address(tensor), WeakSet()).add(saved)
        return saved

    def detach_from(self, target: Tensor) -> None:
        """Give every saved view of ``target``'s memory a copy; equal views share one."""
        copies: dict[tuple[Any, ...], Tensor] = {}
        for saved in self.saved.pop(address(target), ()):
            t = saved.tensor
            view = (t.dtype, t.shape, t.stride(), t.storage_offset(), t.is_conj(), t.is_neg())
            if view not in copies:
                copies[view] = t.clone()
            saved.tensor = copies[view]

    @override
    def __torch_dispatch__(self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        for position, name in written(func):
            targets = args[position] if position < len(args) else kwargs.get(name)
            for target in targets if isinstance(targets, list | tuple) else (targets,):
                if isinstance(target, Tensor):
                    self.detach_from(target)
        return func(*args, **kwargs)


@contextmanager
def writing_in_place(offload: Offload | None = None) -> Iterator[None]:
    """Forward and backward within may write into tensors that autograd has saved; the gradient is that of the values they had.

    What ``offload`` takes to RAM is a copy already, and safe.
    """
    mode = CopyBeforeWrite()

    def pack(tensor: Tensor) -> Saved | Away:
        away = None if offload is None else offload.away(tensor)
        return mode.save(tensor) if away is None else away

    def unpack(packed: Saved | Away) -> Tensor:
        return packed.tensor if isinstance(packed, Saved) else packed.back()

    with mode, torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield
