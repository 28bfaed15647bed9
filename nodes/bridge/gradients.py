"""How a gradient is taken where ComfyUI runs in inference mode, with other packs' patches and attention kernels in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from comfy.ldm.modules.attention import attention_pytorch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from .in_place import writing_in_place

#: Where ComfyUI looks for another attention function.
ATTENTION = "optimized_attention_override"


def make_differentiable(unet: nn.Module) -> None:
    """Replace weights that were created in inference mode by equal ones that autograd accepts, one tensor at a time.

    ComfyUI loads checkpoints inside inference mode; such tensors can be used but not saved for a backward pass.
    """
    for module in unet.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_inference():
                setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_inference():
                setattr(module, name, buffer.clone())


def out_of_inference(value: Any) -> Any:
    """A copy of nested conditioning in which no tensor belongs to inference mode."""
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() else value
    if isinstance(value, dict):
        return {k: out_of_inference(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(out_of_inference(v) for v in value)
    return value


class ForeignTensors(TorchFunctionMode):
    """Other packs' patches may bring tensors of inference mode (an IP-Adapter's weights), which autograd cannot save: copies can be."""

    @override
    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") == "__get__":
            return function(*args)
        return function(*(out_of_inference(a) for a in args), **{k: out_of_inference(v) for k, v in (kwargs or {}).items()})


@contextmanager
def differentiable(others: bool) -> Iterator[None]:
    """Gradients on. ``others``: ControlNets or patches of other packs act on the way, which may write in place (FreeU does)."""
    with torch.enable_grad(), ForeignTensors(), ExitStack() as stack:
        if others:  # costs up to half as much again as the evaluation itself
            stack.enter_context(writing_in_place())
        yield


def differentiable_attention(theirs: Callable[..., Tensor] | None) -> Callable[..., Tensor]:
    """ComfyUI's `optimized_attention_override` for an evaluation that is differentiated: PyTorch's attention instead of the chosen kernel.

    Others have no backward pass and either raise (FlashAttention, sub-quadratic attention) or cut the graph unseen (SageAttention).
    ``theirs``: another pack's override, which keeps its way as long as the gradient comes through.
    """

    def attend(chosen: Callable[..., Tensor], query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if theirs is not None:
            attended = theirs(attention_pytorch, query, *args, **kwargs)
            if attended.requires_grad or not query.requires_grad:
                return attended
        return attention_pytorch(query, *args, **kwargs)

    return attend
