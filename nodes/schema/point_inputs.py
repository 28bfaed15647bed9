"""Inputs that the nodes which follow points have in common."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ...dragon_core.errors import DragonError
from .links import TracksLink, advanced, pictures, stacked


def radius_input() -> io.Int.Input:
    return advanced(
        io.Int.Input(
            "radius",
            default=0,
            min=0,
            max=4096,
            tooltip=(
                "Pixels round a point that go along unstretched; without a mask the area grows with it. 0 chooses 5 % of the shorter side."
            ),
        )
    )


def image_input() -> io.Image.Input:
    return io.Image.Input("image", optional=True, tooltip="The picture, for its size. Not needed with a mask.")


def tracks_input(tooltip: str) -> io.MultiType.Input:
    return advanced(io.MultiType.Input("tracks", types=[io.String, TracksLink], optional=True, tooltip=tooltip))


def mask_and_size(mask: torch.Tensor | None, image: torch.Tensor | None) -> tuple[torch.Tensor | None, tuple[int, int]]:
    """The mask as (M, H, W), and (height, width) of the picture that the points lie on: the mask's, or else the image's."""
    mask, image = None if mask is None else stacked(mask), None if image is None else pictures(image)
    if mask is None and image is None:
        raise DragonError("the size of the picture is not known: connect image (or a mask)")
    sizes = [(given.shape[-2], given.shape[-1]) for given in (mask,) if given is not None]
    sizes += [(given.shape[1], given.shape[2]) for given in (image,) if given is not None]
    if sizes[0] != sizes[-1]:
        (h, w), (height, width) = sizes
        raise DragonError(f"the mask is {w}×{h} pixels but the image is {width}×{height}: use a mask of the picture's size")
    return mask, sizes[0]
