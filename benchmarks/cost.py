"""What an edit costs: seconds, UNet rows forward and backward, peak memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from comfy.patcher_extension import WrapperExecutor


@dataclass(frozen=True)
class Cost:
    """Sums over an edit; what a cache gave counts as if it had been computed."""

    seconds: float
    row_forwards: int
    row_backwards: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.row_forwards + other.row_forwards, self.row_backwards + other.row_backwards)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.seconds - other.seconds, self.row_forwards - other.row_forwards, self.row_backwards - other.row_backwards)


class Meter:
    """A running total. Rows are counted by a wrapper and a patch of the model, which ComfyUI has for such ends; both change nothing."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._forwards = 0
        self._backwards = 0
        self._remembered = Cost(0.0, 0, 0)

    def read(self) -> Cost:
        """The total until now; differences of two readings are costs."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return Cost(time.perf_counter() - self._began, self._forwards, self._backwards) + self._remembered

    def add(self, cost: Cost) -> None:
        """Charge for something that was computed before."""
        self._remembered = self._remembered + cost

    def metered(self, model: ModelPatcher) -> ModelPatcher:
        """A clone of the model whose diffusion network reports here."""
        clone = model.clone()
        clone.add_wrapper_with_key("diffusion_model", "dragon_benchmark", self._count_forward)
        # A function, not a bound method: clones copy their options deeply, and with the method they would copy this meter.
        clone.set_model_input_block_patch(lambda h, transformer_options: self._watch_backward(h, transformer_options))
        return clone

    def _count_forward(self, executor: WrapperExecutor, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401
        self._forwards += x.shape[0]
        out: torch.Tensor = executor(x, *args, **kwargs)
        return out

    def _watch_backward(self, h: torch.Tensor, transformer_options: Mapping[str, Any]) -> torch.Tensor:
        """Every gradient to the network's input passes the first block's output ``h``; its hook runs once for each backward."""
        rows = h.shape[0]

        def count(_: torch.Tensor) -> None:
            self._backwards += rows

        if h.requires_grad and transformer_options["block"] == ("input", 0):
            h.register_hook(count)
        return h


def reset_peak_memory() -> None:
    """Begin a new peak: of the device's memory, or of this process where there is no device (Linux)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory() -> int | None:
    """MB at the peak since the last reset; None where the system does not tell."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")), None)
