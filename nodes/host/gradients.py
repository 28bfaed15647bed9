"""How a gradient is taken where ComfyUI runs in inference mode, with other packs' patches and attention kernels in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.modules.attention import attention_pytorch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from .in_place import writing_in_place
from .memory import Offload, offloading

#: Where ComfyUI looks for another attention function.
ATTENTION = "optimized_attention_override"


def is_inference_tensor(tensor: Tensor) -> bool:
    """Whether autograd cannot save a tensor, because inference mode made it, or the parameter that it still is.

    Either sign is enough. A parameter from inference mode that is moved to another device outside of it (`Module.to` sets its `data`)
    says that it is no inference tensor, but still has no version for autograd to watch; one that ComfyUI puts back when a LoRA goes
    has a version, and is one.
    """
    try:
        return tensor.is_inference() or tensor._version < 0
    except RuntimeError:
        return True


def make_differentiable(unet: nn.Module) -> None:
    """Replace weights that autograd does not accept by equal ones, one tensor at a time, and have it compute no gradients of weights.

    ComfyUI loads checkpoints inside inference mode; such tensors can be used but not saved for a backward pass.
    """
    for module in unet.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if is_inference_tensor(parameter):
                setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=False))
            elif parameter.requires_grad:  # what only their gradients need would be saved, too
                setattr(module, name, nn.Parameter(parameter.detach(), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            if is_inference_tensor(buffer):
                setattr(module, name, buffer.clone())


@dataclass(frozen=True)
class Copied:
    """A tensor of inference mode, the copy that stands in for it, and the copy's version when nobody had written to it."""

    original: Tensor
    copy: Tensor
    version: int


def out_of_inference(value: Any, copies: list[Copied] | None = None) -> Any:
    """A copy of nested conditioning in which no tensor belongs to inference mode; ``copies`` gets what was copied."""
    if isinstance(value, Tensor):
        if not is_inference_tensor(value):
            return value
        copy = value.detach().clone()
        if copies is not None:
            copies.append(Copied(value, copy, copy._version))
        return copy
    if isinstance(value, dict):
        return {k: out_of_inference(v, copies) for k, v in value.items()}
    if isinstance(value, list | tuple):
        inner = [out_of_inference(v, copies) for v in value]
        return type(value)(*inner) if hasattr(value, "_fields") else type(value)(inner)  # a named tuple takes its fields one by one
    return value


class InferenceTensors(TorchFunctionMode):
    """Other packs' patches may bring tensors of inference mode (an IP-Adapter's weights), which autograd cannot save: copies can be.

    What is written into such a tensor goes to the copy and from there to the tensor itself: a buffer that a pack keeps stays up to date.
    """

    @override
    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in ("__get__", "__set__"):
            return function(*args)
        copies: list[Copied] = []
        result = function(*out_of_inference(tuple(args), copies), **out_of_inference(dict(kwargs or {}), copies))
        for each in copies:
            if each.copy._version != each.version:
                with torch.inference_mode():
                    each.original.copy_(each.copy.detach())
        return result


@contextmanager
def differentiable(others: bool, offload: Offload | None = None) -> Iterator[None]:
    """Gradients on, and room for what they need: ``offload`` takes it to RAM where the device is full.

    ``others``: ControlNets or patches of other packs act on the way, which may write in place (FreeU does).
    """
    with torch.enable_grad(), InferenceTensors(), ExitStack() as stack:
        if others:  # costs up to half as much again as the evaluation itself
            stack.enter_context(writing_in_place(offload))
        elif offload is not None:
            stack.enter_context(offloading(offload))
        yield


def differentiable_attention(theirs: Callable[..., Tensor] | None) -> Callable[..., Tensor]:
    """ComfyUI's `optimized_attention_override` for an evaluation that is differentiated: PyTorch's attention instead of the chosen kernel.

    Others have no backward pass and either raise (FlashAttention, sub-quadratic attention) or cut the graph unseen (SageAttention).
    ``theirs``: another pack's override, or that of ComfyUI's ModelAttentionBackend. It keeps its way as long as the gradient comes through.
    """
    passes: dict[tuple[torch.Size, torch.Size], bool] = {}

    def attend(chosen: Callable[..., Tensor], query: Tensor, key: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        shapes = (query.shape, key.shape)  # by which some choose among kernels
        if theirs is not None and passes.get(shapes, True):
            attended = theirs(attention_pytorch, query, key, *args, **kwargs)
            if query.requires_grad and shapes not in passes:
                passes[shapes] = gradient_passes(attended, query)
            if not query.requires_grad or passes[shapes]:
                return attended
        return attention_pytorch(query, key, *args, **kwargs)

    return attend


def gradient_passes(attended: Tensor, query: Tensor) -> bool:
    """Whether the gradient of attention's output comes through to the queries.

    Tried, as a kernel without a backward pass may still say that its output has a gradient, and raises only on the way back (any
    `torch.library.custom_op`, such as ComfyUI's own int8 attention).
    """
    if not attended.requires_grad:
        return False
    try:
        (gradient,) = torch.autograd.grad(attended, query, torch.zeros_like(attended), retain_graph=True, allow_unused=True)
    except (RuntimeError, NotImplementedError):
        return False
    return gradient is not None
