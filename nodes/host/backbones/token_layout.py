"""Where a transformer's picture tokens stand among those that attention sees, and how its rotary embedding turns their keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ....dragon_core.errors import DragonError


def rotary_embeddings(network: nn.Module) -> list[nn.Module]:
    """The modules that make rotary embeddings (arXiv 2104.09864) from positions: those of ComfyUI's families have these attributes."""
    return [module for module in network.modules() if hasattr(module, "axes_dim") and hasattr(module, "theta")]


def patch_size(network: nn.Module) -> int | None:
    """Cells of the latent along each side of a token; None where the network does not tell, or they differ."""
    size = getattr(network, "patch_size", None)
    if isinstance(size, int):
        return size
    if isinstance(size, tuple | list) and len(size) in (2, 3) and size[-1] == size[-2] and (len(size) == 2 or size[0] == 1):
        return int(size[-1])
    return None


@dataclass
class TokenLayout:
    """Where the picture's tokens are in sequences of each length, observed in the positions that the model gives to its own embedding.

    grid: (frames, rows, columns) of tokens. starts: where they begin, by the sequence's length. text_first, after: whether the prompt
    comes before them, and how many tokens there are behind them then. axes, steps, first: of positions, on which axis rows and columns
    count, by how much, and from where. extrapolates: whether a length that was not observed is laid out like one that was, which is
    needed where a model is compiled and shows nothing.
    """

    grid: tuple[int, int, int]
    rotary: nn.Module | None
    starts: dict[int, int] = field(default_factory=dict)
    text_first: bool = True
    after: int = 0
    axes: tuple[int, int] = (0, 0)
    steps: tuple[float, float] = (0.0, 0.0)
    first: tuple[float, float] = (0.0, 0.0)
    extrapolates: bool = False

    @classmethod
    def of(cls, network: nn.Module, latent: torch.Size) -> TokenLayout:
        """For a latent (B, C, h, w) or (B, C, f, h, w)."""
        token, rotary = patch_size(network), rotary_embeddings(network)
        if token is None or len(rotary) > 1:
            raise DragonError("keys and values of this model cannot be shared: sample with the model before DragonCrossAttnPatch")
        frames = latent[2] if len(latent) == 5 else 1
        return cls((frames, -(-latent[-2] // token), -(-latent[-1] // token)), rotary[0] if rotary else None)

    @property
    def tokens(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]

    def start(self, length: int) -> int | None:
        """Where the picture begins in a sequence; None where it is none that has the picture in it.

        Without a rotary embedding there is nothing to observe: the prompt comes first in all such families (SD3, AuraFlow).
        """
        if length in self.starts:
            return self.starts[length]
        if self.rotary is not None and not (self.extrapolates and self.starts):
            return None
        begin = length - self.tokens - self.after if self.text_first else 0
        return begin if begin >= 0 and length >= self.tokens else None

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Observes the positions of the evaluations made inside."""
        if self.rotary is None:
            yield
            return

        def look(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._observe(args[0] if args else next(iter(kwargs.values())))

        handle = self.rotary.register_forward_pre_hook(look, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _observe(self, ids: Tensor) -> None:
        """From positions (…, L, axes) of all tokens: the first stretch of them that is a grid of this size."""
        length = ids.shape[-2]
        if length in self.starts or length < self.tokens:
            return
        positions = ids.detach().reshape(-1, length, ids.shape[-1])[0].double().cpu()
        for begin in range(length - self.tokens + 1):
            part = positions[begin : begin + self.tokens].view(*self.grid, -1)
            row, column = _step(part.diff(dim=1)), _step(part.diff(dim=2))
            if row is None or column is None or (row[0] == column[0] and min(self.grid[1:]) > 1):
                continue
            self.axes, self.steps = (row[0], column[0]), (row[1], column[1])
            self.first = (float(positions[begin, row[0]]), float(positions[begin, column[0]]))
            self.starts[length], self.after = begin, length - begin - self.tokens
            self.text_first = begin > 0 or self.after == 0
            if begin not in (0, length - begin):  # the picture without the prompt, as in Lumina's refiners; not a prompt as long as it
                self.starts.setdefault(length - begin, 0)
            return

    def offsets(self, shift: Tensor, begun: TokenLayout | None = None) -> Tensor:
        """What (n, 2) rows and columns are in positions: (n, axes). ``begun``: of another picture, whose tokens they come from."""
        if self.rotary is None:
            return torch.zeros(len(shift), 0, device=shift.device)
        axes: Any = self.rotary.axes_dim
        offsets = torch.zeros(len(shift), len(axes), device=shift.device)
        for i, (axis, step) in enumerate(zip(self.axes, self.steps, strict=True)):
            offsets[:, axis] += shift[:, i] * step + (0.0 if begun is None else self.first[i] - begun.first[i])
        return offsets

    def rotated(self, keys: Tensor, offsets: Tensor) -> Tensor:
        """Keys (B, heads, n, D) as they would be had they been made at positions ``offsets`` (n, axes) away.

        K' = R(p + d) R(p)⁻¹ K = R(d) K: rotations add up, so only the way counts, not where it began.
        """
        if self.rotary is None or not bool(offsets.any()):
            return keys
        rotation = self.rotary(offsets.unsqueeze(0)).reshape(len(offsets), -1, 2, 2)
        pairs = keys.to(rotation.dtype).unflatten(-1, (-1, 2))
        return torch.einsum("nkij,bhnkj->bhnki", rotation, pairs).flatten(-2).to(keys)


def _step(differences: Tensor) -> tuple[int, float] | None:
    """The one axis on which positions (…, axes) go on evenly, and by how much; any where there is but one row or column."""
    ways = differences.flatten(0, -2)
    if len(ways) == 0:
        return 0, 0.0
    moving = ways[0].abs() > 1e-6
    if int(moving.sum()) != 1 or not torch.allclose(ways, ways[0].expand_as(ways), atol=1e-3):
        return None
    axis = int(moving.nonzero()[0])
    return axis, float(ways[0, axis])
