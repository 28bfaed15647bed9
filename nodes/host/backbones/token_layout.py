"""Where a transformer's picture tokens stand among those that attention sees, and how its rotary embedding turns their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ....dragon_core.errors import DragonError


def rotary_embeddings(network: nn.Module) -> list[nn.Module]:
    """The modules that make rotary embeddings (arXiv 2104.09864) of pictures from positions: those of ComfyUI's families have these
    attributes, and more than one axis.
    """
    return [module for module in network.modules() if hasattr(module, "axes_dim") and hasattr(module, "theta") and turns_pairs(module)]


def turns_pairs(module: nn.Module) -> bool:
    """Whether a module makes of positions a rotation for each pair of neighbouring channels, which not all of such a look do."""
    axes: Any = module.axes_dim
    if len(axes) < 2:
        return False
    try:
        made = module.forward(torch.arange(1.0, len(axes) + 1).reshape(1, 1, -1))
    except (TypeError, RuntimeError, IndexError):  # wants something else than positions
        return False
    if not isinstance(made, Tensor) or made.shape[-2:] != (2, 2) or made.numel() != 2 * sum(axes):
        return False
    return torch.allclose(made @ made.mT, torch.eye(2).to(made), atol=1e-4)


def patch_size(network: nn.Module) -> int | None:
    """Cells of the latent along each side of a patch; None where the network does not tell, or they differ."""
    size = getattr(network, "patch_size", getattr(network, "patch", None))
    if isinstance(size, int):
        return size
    if isinstance(size, tuple | list) and len(size) in (2, 3) and size[-1] == size[-2] and (len(size) == 2 or size[0] == 1):
        return int(size[-1])
    return None


def token_size(network: nn.Module, channels: int) -> int | None:
    """Cells along each side of a token, for latents of so many channels. Where those hold whole patches already, as FLUX.2's VAE packs
    them, a token is one cell.
    """
    size = patch_size(network)
    return 1 if size is not None and getattr(network, "out_channels", None) == channels / size**2 else size


#: What tells evaluations apart whose tokens are laid out alike: the shapes of all tensors that the model is given.
Shapes = tuple[torch.Size, ...]


@dataclass
class TokenLayout:
    """Where the picture's tokens are in sequences of each length, observed in the positions that the model gives to its own embedding.

    token: cells along each side of one. grid: (frames, rows, columns) of tokens. axes, steps: on which axis of positions frames, rows and
    columns count, and by how much.

    Of the evaluation that is under way: starts, where they begin, by the sequence's length; first, the position of the first one, which in
    some models goes by the length of the prompt; others, how many tokens were given positions without the picture, each time. known:
    starts and first of evaluations that were observed.
    """

    token: int
    grid: tuple[int, int, int]
    rotary: nn.Module | None
    axes: tuple[int, ...] = (0, 0, 0)
    steps: tuple[float, ...] = (0.0, 0.0, 0.0)
    starts: dict[int, int] = field(default_factory=dict)
    first: tuple[float, ...] = ()
    others: list[int] = field(default_factory=list)
    known: dict[Shapes, tuple[dict[int, int], tuple[float, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, network: nn.Module, latent: torch.Size) -> TokenLayout:
        """For a latent (B, C, h, w) or (B, C, f, h, w)."""
        token, rotary = token_size(network, latent[1]), rotary_embeddings(network)
        if token is None or len(rotary) > 1:
            raise DragonError("keys and values of this model cannot be shared: sample with the model before DragonCrossAttnPatch")
        frames = latent[2] if len(latent) == 5 else 1
        return cls(token, (frames, -(-latent[-2] // token), -(-latent[-1] // token)), rotary[0] if rotary else None)

    @property
    def tokens(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]

    def start(self, length: int) -> int | None:
        """Where the picture begins in a sequence; None where it is none that has the picture in it.

        Without a rotary embedding there is nothing to observe: the prompt comes first in all such families (SD3, AuraFlow).
        """
        if self.rotary is None:
            return length - self.tokens if length >= self.tokens else None
        return self.starts.get(length)

    @contextmanager
    def evaluation(self, given: Shapes, uncompiled: Callable[[], AbstractContextManager[object]] = nullcontext) -> Iterator[None]:
        """One evaluation of tensors of such shapes. Positions go by those alone, so they are observed once, in a model that runs
        ``uncompiled``: compiled, it would not show them.
        """
        if self.rotary is None:
            yield
            return
        if given not in self.known:
            self.starts, self.others = {}, []
            with uncompiled(), self._observing(self.rotary):
                yield
            self.known[given] = (self.starts, self.first)
            return
        self.starts, self.first = self.known[given]
        yield

    @contextmanager
    def _observing(self, rotary: nn.Module) -> Iterator[None]:
        def look(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._observe(args[0] if args else next(iter(kwargs.values())))

        hook = rotary.register_forward_pre_hook(look, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def _observe(self, ids: Tensor) -> None:
        """From positions (…, L, axes) of all tokens, or first of the prompt's and then of the picture's."""
        length = ids.shape[-2]
        positions = ids.detach().reshape(-1, length, ids.shape[-1])[0].cpu().double()
        begin = next((begin for begin in range(length - self.tokens + 1) if self._is_picture(positions, begin)), None)
        if begin is None:
            self.others.append(length)
            self.starts.pop(length, None)  # either could be meant
            return
        self.first = tuple(positions[begin].tolist())
        before, alone = sum(self.others), length - begin
        self.starts[before + length] = before + begin
        if alone not in (before + length, before + begin, *self.others):  # in refiners before the joint layers, as Lumina's
            self.starts[alone] = 0

    def _is_picture(self, positions: Tensor, begin: int) -> bool:
        """Whether positions (L, axes) from there on are those of a grid of this size; if so, its axes and steps are kept."""
        part = positions[begin : begin + self.tokens]
        grid = part.view(*self.grid, -1)
        frame, row, column = (_step(grid.diff(dim=along)) for along in range(3))
        if row is None or column is None or (row[0] == column[0] and min(self.grid[1:]) > 1):
            return False
        counted = (frame or (0, 0.0), row, column)  # some models do not count frames
        self.axes, self.steps = tuple(axis for axis, _ in counted), tuple(step for _, step in counted)
        return True

    def offsets(self, shift: Tensor) -> Tensor:
        """What (n, 3) frames, rows and columns are in positions: (n, axes)."""
        offsets = torch.zeros(len(shift), len(self.first), device=shift.device)
        if self.rotary is not None:
            for way, axis, step in zip(shift.T, self.axes, self.steps, strict=True):
                offsets[:, axis] += way * step
        return offsets

    def begun(self, count: int) -> Tensor:
        """(count, axes), the position of the first token in this evaluation, for each of so many tokens that are made in it."""
        return torch.tensor(self.first, dtype=torch.float32).expand(count, -1)

    def rotated(self, keys: Tensor, offsets: Tensor) -> Tensor:
        """Keys (B, heads, n, D) as they would be had they been made at positions ``offsets`` (n, axes) away.

        K' = R(p + d) R(p)⁻¹ K = R(d) K: rotations add up, so only the way counts, not where it began.
        """
        if self.rotary is None or not bool(offsets.any()):
            return keys
        rotation = self.rotary.forward(offsets.unsqueeze(0)).reshape(len(offsets), -1, 2, 2)  # unobserved
        pairs = keys.to(rotation.dtype).unflatten(-1, (-1, 2))
        return torch.einsum("nkij,bhnkj->bhnki", rotation, pairs).flatten(-2).to(keys)


def _step(differences: Tensor) -> tuple[int, float] | None:
    """The one axis on which positions (…, axes) go on evenly, and by how much; any where there is but one frame, row or column."""
    ways = differences.flatten(0, -2)
    if len(ways) == 0:
        return 0, 0.0
    moving = ways[0].abs() > 1e-6
    if int(moving.sum()) != 1 or not torch.allclose(ways, ways[0].expand_as(ways), atol=1e-3):
        return None
    axis = int(moving.nonzero()[0])
    return axis, float(ways[0, axis])
