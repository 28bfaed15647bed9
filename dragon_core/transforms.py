"""One affine map serves moving, resizing, rotating and pasting: T(p) = c + A (p − c) + d, in image pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import DragonError


@dataclass(frozen=True)
class AffineWarp:
    """T(p) = centre + matrix (p − centre) + shift. Points are (x, y) in pixels of an image of ``image_size`` (height, width)."""

    image_size: tuple[int, int]
    shift: tuple[float, float] = (0.0, 0.0)
    matrix: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))
    centre: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        (a, b), (c, d) = self.matrix
        if abs(a * d - b * c) < 1e-6:
            raise DragonError("the transform squeezes the object to nothing; use a scale above 0")

    def forward(self, points: Tensor) -> Tensor:
        """T of points (..., 2)."""
        centre, shift = points.new_tensor(self.centre), points.new_tensor(self.shift)
        return (points - centre) @ points.new_tensor(self.matrix).T + centre + shift

    def inverse(self, points: Tensor) -> Tensor:
        """T⁻¹ of points (..., 2)."""
        centre, shift = points.new_tensor(self.centre), points.new_tensor(self.shift)
        return (points - centre - shift) @ torch.linalg.inv(points.new_tensor(self.matrix)).T + centre

    def inverted(self) -> AffineWarp:
        """The transform that undoes this one."""
        inverse = torch.linalg.inv(torch.tensor(self.matrix, dtype=torch.float64))
        back = -(inverse @ torch.tensor(self.shift, dtype=torch.float64))
        (a, b), (c, d) = inverse.tolist()
        return replace(self, matrix=((a, b), (c, d)), shift=(float(back[0]), float(back[1])))


def warp(image: Tensor, transform: AffineWarp, mode: str = "bilinear", beyond: str = "zeros") -> Tensor:
    """``out(p) = image(T⁻¹ p)`` for images (B, C, h, w) on any grid over the transform's picture.

    ``mode`` is "bilinear", or "nearest" where values must not be mixed (noise keeps its variance). ``beyond`` the frame are
    "zeros", or the values at its "border".
    """
    h, w = image.shape[-2:]
    height, width = transform.image_size
    y = (torch.arange(h, device=image.device, dtype=torch.float64) + 0.5) * (height / h)
    x = (torch.arange(w, device=image.device, dtype=torch.float64) + 0.5) * (width / w)
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    source = transform.inverse(points) / points.new_tensor([width, height]) * 2 - 1
    grid = source.to(image.dtype).expand(image.shape[0], h, w, 2)
    return F.grid_sample(image, grid, mode=mode, padding_mode=beyond, align_corners=False)
