"""From energies to g, the guidance added to the noise prediction (DragonDiffusion, equation 4).

g = η (m_e ⊙ ∇_z E_edit + (1 − m_e) ⊙ ∇_z E_content), where z = x / sqrt(α² + sigma²), the latent as wide as a picture's at every level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .features import Features
from .noise_model import VP, NoiseModel

#: Gradients below this are negligible; its reciprocal is still a float32.
SMALLEST_GRADIENT = 1e-30
#: What the features' gradients are scaled to, in turn, for as long as the backward pass overflows: float16 ends at 65504.
HEADROOM = (1.0, 2.0**-8, 2.0**-14)
#: How many times larger than at the first guided step g may become.
MOST_GROWTH = 10.0


@dataclass(frozen=True)
class Energies:
    """The two parts whose gradients act in different places (DragonDiffusion, equation 4), each (B,); what they cannot fall below."""

    edit: Tensor
    content: Tensor
    least: float = 0.0

    @property
    def total(self) -> Tensor:
        return self.edit + self.content

    @property
    def left(self) -> Tensor:
        """How far they can still fall: (B,)."""
        return (self.total - self.least).clamp(min=0)


def masked_gradient(z: Tensor, energies: Energies, mask: Tensor, features: Features) -> Tensor:
    """m_e ⊙ ∇_z E_edit + (1 − m_e) ⊙ ∇_z E_content: float32 with the shape of ``z`` (B, C, h, w); ``mask`` is (M, h, w).

    ``features``: what the energies were computed from, float32, and all through which they depend on ``z``, and all they have in common.
    """
    edit = _gradient(energies.edit, z, features, again=energies.content.requires_grad)
    content = _gradient(energies.content, z, features, again=False)
    m = mask.unsqueeze(1)
    return m * edit + (1 - m) * content


def _gradient(energy: Tensor, z: Tensor, features: Features, again: bool) -> Tensor:
    """∇_z of an energy (B,), float32; zeros for one that does not depend on z. ``again``: the model's graph is needed once more.

    A model may compute in 16 bits, where the gradient of a large region, or of an edit that is nearly there, would be rounded to zero. So
    the backward pass through the model starts from gradients of the features that a power of two, which rounds nothing, has scaled to
    about 1 in each picture.
    """
    if not energy.requires_grad:
        return torch.zeros_like(z, dtype=torch.float32)
    # What the energies have saved, features several times over, is freed before the backward pass through the model.
    gradients = list(torch.autograd.grad(energy.sum(), features, materialize_grads=True))
    largest = torch.stack([each.flatten(1).abs().amax(1) for each in gradients]).amax(0).clamp(min=SMALLEST_GRADIENT)
    scale = torch.exp2(-largest.log2().round()).view(-1, 1, 1, 1)
    scaled = [gradients.pop(0) * scale for _ in features]
    for room in HEADROOM:
        start = scaled if room == 1 else [each * room for each in scaled]
        gradient = torch.autograd.grad(features, z, start, retain_graph=again or room != HEADROOM[-1])[0].float() / room
        if torch.isfinite(gradient).all():
            break
    return gradient / scale


@dataclass
class GuidanceScale:
    """Turns the raw gradient into g. One object serves one run: it remembers the run's calibration.

    ``strength`` is relative: 1 means that at the first guided step g is as large as the noise prediction, root mean square over the
    edited region. η is fixed there and kept, for each picture of a batch its own, so g fades as the energies are satisfied. That makes
    the same number mean the same nudge for every model, resolution and mask. Where there was next to nothing to calibrate on (a picture
    that is only to be held as it is starts at the minimum), η is brought down as soon as g would grow beyond ``MOST_GROWTH`` times
    that. With ``kappa`` it is the authors' fixed η = strength · 1000 · κ instead, for a chain
    :func:`~dragon_core.edits.chain.with_kappa`.

    A run that edits nothing but holds or mends is begun where its energies are flat: at their minimum (content) or at their maximum
    (contrast). There is nothing to calibrate on, and noise would be made as large as a prediction. With a ``limit`` given, nothing is kept:
    ``strength`` is the most that g may be at any step, and η the limit where that is less.
    """

    strength: float
    kappa: float | None = None
    eta: Tensor | None = None

    def __call__(self, gradient: Tensor, eps: Tensor, region: Tensor, limit: Tensor | None = None) -> Tensor:
        """gradient, eps: (B, C, h, w). region: (M, h, w), source and target of the edit. limit: of η, see :func:`polyak_step`."""
        if self.kappa is not None:
            return gradient * (self.strength * 1000 * self.kappa)
        if limit is not None:
            most = self.strength * rms(eps, region) / rms(gradient, region).clamp(min=1e-30)
            return gradient * torch.minimum(most, limit)
        size, wanted = rms(gradient, region), self.strength * rms(eps, region)
        first = torch.where(size > 0, wanted / size.clamp(min=1e-30), torch.zeros_like(size))  # 0: nothing to calibrate on yet
        if self.eta is None:
            self.eta = first
        else:
            most = MOST_GROWTH * wanted / size.clamp(min=1e-30)
            self.eta = torch.where(self.eta > 0, torch.minimum(self.eta, most), first)
        return gradient * self.eta


def polyak_step(gradient: Tensor, left: Tensor, sigma: float, noise_model: NoiseModel = VP) -> Tensor:
    """η that takes energies which can still fall by ``left`` (B,) to their minimum, on a straight way: (B, 1, 1, 1).

    ε̂ + ηg moves z by ση / sqrt(α² + σ²) against its gradient, so the energies fall by that times the gradient's square, to first order.
    It is Polyak's step, which does not overshoot where an energy is convex.
    """
    width = math.sqrt(float(noise_model.variance(torch.tensor(sigma, dtype=torch.float64))))
    fall = gradient.square().sum((1, 2, 3), keepdim=True) * (sigma / width)
    return left.view(-1, 1, 1, 1) / fall.clamp(min=SMALLEST_GRADIENT)


def rms(values: Tensor, region: Tensor) -> Tensor:
    """Root mean square by picture over a region, or over all of the picture where the region is empty: (B, 1, 1, 1)."""
    empty = region.sum((1, 2), keepdim=True) == 0
    weight = torch.where(empty, torch.ones_like(region), region).unsqueeze(1).expand(values.shape)
    mean = (values.square() * weight).sum((1, 2, 3), keepdim=True) / weight.sum((1, 2, 3), keepdim=True).clamp(min=1e-6)
    return mean.sqrt()
