"""What travels on the pack's own links, and how widgets are declared.

DRAGON_TRAJECTORY carries a :class:`~dragon_core.diffusion.trajectory.Trajectory`, DRAGON_BRANCH a `Branch` of the same module,
DRAGON_ENERGY a tuple of edits in the order they were chained, DRAGON_CROP a :class:`~dragon_core.edits.crop.Crop`, DRAGON_READINGS a
tuple of `host.run.EnergyReading`, one for each guided evaluation.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from comfy_api.latest import io
from einops import rearrange

from ...dragon_core.errors import DragonError

TrajectoryLink = io.Custom("DRAGON_TRAJECTORY")
BranchLink = io.Custom("DRAGON_BRANCH")
EnergyLink = io.Custom("DRAGON_ENERGY")
ReadingsLink = io.Custom("DRAGON_READINGS")
CropLink = io.Custom("DRAGON_CROP")
#: ComfyUI's own, which 0.3 has not.
TracksLink = io.Custom("TRACKS")

CATEGORY = "Dragon"

#: An error message that names its node already.
NAMED = re.compile(r"Dragon\w+: ")

#: Of a picture: red, green, blue and alpha.
MOST_CHANNELS = 4

AnyInput = TypeVar("AnyInput", bound=io.Input)


def advanced(widget: AnyInput) -> AnyInput:
    """Hide a widget under "show advanced": set as an extra key, since ComfyUI 0.3's inputs have no argument for it."""
    widget.extra_dict = {**(widget.extra_dict or {}), "advanced": True}
    return widget


def searched_as(*terms: str) -> dict[str, list[str]]:
    """What else people type to find a node, as an argument of io.Schema: none where this ComfyUI's has no such argument (0.3)."""
    return {"search_aliases": list(terms)} if "search_aliases" in {field.name for field in dataclasses.fields(io.Schema)} else {}


def stacked(mask: torch.Tensor) -> torch.Tensor:
    """A MASK as (M, H, W) on the CPU: some nodes give a single one as (H, W), some leave it on the GPU."""
    return (mask if mask.ndim == 3 else mask.unsqueeze(0)).cpu()


def pictures(image: torch.Tensor, name: str = "the image") -> torch.Tensor:
    """An IMAGE as (B, H, W, 3) of numbers: some nodes give one picture as (H, W, C), or one channel, or an alpha channel besides."""
    stack = image.unsqueeze(0) if image.ndim == 3 and image.shape[-1] in (1, 2, 3, 4) else image
    if stack.ndim != 4 or not stack.numel() or stack.shape[-1] > MOST_CHANNELS:
        raise DragonError(f"{name} must have shape (pictures, height, width, 3 colours), got {tuple(image.shape)}")
    if not torch.isfinite(stack).all():
        raise DragonError(f"{name} has values that are not numbers (NaN or infinite): look at the node that makes it")
    return stack[..., :1].expand(*stack.shape[:-1], 3) if stack.shape[-1] < 3 else stack[..., :3]


def planes(image: torch.Tensor, name: str = "the image") -> torch.Tensor:
    """An IMAGE as (B, 3, H, W), float32 on the CPU: what edits in pixels take."""
    return rearrange(pictures(image, name), "b h w c -> b c h w").float().cpu()


def changed_masks(mask: torch.Tensor) -> torch.Tensor:
    """The MASK ``changed`` as (M, H, W) on the CPU: at least one, and of numbers."""
    masks = stacked(mask)
    if masks.ndim != 3 or not masks.numel():
        raise DragonError(f"changed must have shape (masks, height, width), got {tuple(masks.shape)}")
    if not torch.isfinite(masks).all():
        raise DragonError("changed has values that are not numbers: look at the node that makes it")
    return masks


@contextmanager
def named(node: type[io.ComfyNode]) -> Iterator[None]:
    """Errors raised inside name the node that the user sees."""
    try:
        yield
    except DragonError as error:
        if NAMED.match(str(error)):
            raise
        # Not __name__: ComfyUI runs a clone of the class, called DragonSamplerClone.
        raise DragonError(f"{node.define_schema().node_id}: {error}") from error
