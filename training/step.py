"""One training step: loss, gradients, clipping, optimizer.

On a GPU it is recorded as a CUDA graph, one for each shape of its inputs, and replayed: these networks are so small that launching their
thousand kernels one by one takes several times as long as the kernels do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

WARM = 3
"""Steps that run as usual before one is recorded: libraries choose their kernels meanwhile."""


class Step:
    """``step(rate, *inputs)`` does a step on ``loss(*inputs)`` and returns the loss, detached.

    A step whose gradient is not finite changes nothing: one such step of bfloat16 ruins a run for good. Of several processes each has
    its own inputs, and all take the step of their mean gradient.
    """

    def __init__(
        self, loss: Callable[..., Tensor], parameters: Sequence[nn.Parameter], betas: tuple[float, float], decay: float, clip: float
    ) -> None:
        self._loss, self._parameters, self._clip = loss, parameters, clip
        self._graphs = parameters[0].is_cuda
        rate = torch.zeros((), device=parameters[0].device) if self._graphs else 0.0  # a graph reads it where it is
        self.optimizer = torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=decay, fused=True, capturable=self._graphs)
        self._rate = rate
        self._calls: dict[tuple[torch.Size, ...], int] = {}
        self._recorded: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]] = {}

    def __call__(self, rate: float, *inputs: Tensor) -> Tensor:
        self._set(rate)
        if not self._graphs:
            return self._run(inputs)
        shapes = tuple(x.shape for x in inputs)
        self._calls[shapes] = self._calls.get(shapes, 0) + 1
        if self._calls[shapes] <= WARM:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                loss = self._run(inputs)
            torch.cuda.current_stream().wait_stream(stream)
            return loss
        if shapes not in self._recorded:
            kept = [x.clone() for x in inputs]
            self.optimizer.zero_grad(set_to_none=True)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                loss = self._run(kept)
            self._recorded[shapes] = graph, kept, loss
        graph, kept, loss = self._recorded[shapes]
        for known, x in zip(kept, inputs, strict=True):
            known.copy_(x)
        graph.replay()
        return loss.clone()

    def _set(self, rate: float) -> None:
        if isinstance(self._rate, Tensor):
            self._rate.fill_(rate)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate if self._graphs else rate

    def _run(self, inputs: Sequence[Tensor]) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(*inputs)
        loss.backward()
        if dist.is_initialized():
            self._average_gradients()
        norm = nn.utils.clip_grad_norm_(self._parameters, self._clip)
        # What torch's gradient scalers tell a fused optimizer: it then leaves weights and moments alone.
        self.optimizer.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        return loss.detach()

    def _average_gradients(self) -> None:
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))
