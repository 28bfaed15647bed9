"""From energies to g, the guidance added to the noise prediction (DragonDiffusion, equation 4).

g = η (m_e ⊙ ∇_z E_edit + (1 − m_e) ⊙ ∇_z E_content), where z = x / sqrt(1 + sigma²) is what the UNet sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .composition import Energies

#: Energies are scaled by this before the backward pass, so that half-precision gradients do not underflow.
LOSS_SCALE = 1000.0
#: The authors' κ for moving and resizing: η = energy_scale · 1000 · κ.
PAPER_KAPPA = 0.08


def masked_gradient(z: Tensor, energies: Energies, mask: Tensor) -> Tensor:
    """m_e ⊙ ∇_z E_edit + (1 − m_e) ⊙ ∇_z E_content: float32 with the shape of ``z`` (B, C, h, w); ``mask`` is (M, h, w)."""
    edit = _gradient(energies.edit, z, again=energies.content.requires_grad)
    content = _gradient(energies.content, z, again=False)
    m = mask.unsqueeze(1)
    return m * edit + (1 - m) * content


def _gradient(energy: Tensor, z: Tensor, again: bool) -> Tensor:
    """∇_z of an energy (B,), float32; zeros for one that does not depend on z. ``again``: the graph is needed once more."""
    if not energy.requires_grad:
        return torch.zeros_like(z, dtype=torch.float32)
    return torch.autograd.grad(energy.sum() * LOSS_SCALE, z, retain_graph=again)[0].float() / LOSS_SCALE


@dataclass
class GuidanceScale:
    """Turns the raw gradient into g. One object serves one run: it remembers the run's calibration.

    ``strength`` is relative: 1 means that at the first guided step g is as large as the noise prediction, root mean square over the
    edited region. η is fixed there and kept, so g fades as the energies are satisfied. That makes the same number mean the same
    nudge for every model, resolution and mask. ``paper=True`` uses the authors' fixed η = strength · 1000 · κ instead.
    """

    strength: float
    paper: bool = False
    eta: Tensor | None = None

    def __call__(self, gradient: Tensor, eps: Tensor, region: Tensor) -> Tensor:
        """gradient, eps: (B, C, h, w). region: (M, h, w), source and target of the edit."""
        if self.paper:
            return gradient * (self.strength * 1000 * PAPER_KAPPA)
        if self.eta is None:
            size = rms(gradient, region)
            eta = torch.where(size > 0, self.strength * rms(eps, region) / size.clamp(min=1e-30), torch.zeros_like(size))
            if bool((size == 0).any()):  # nothing to calibrate on yet
                return gradient * eta
            self.eta = eta
        return gradient * self.eta


def rms(values: Tensor, region: Tensor) -> Tensor:
    """Root mean square over a region by picture: (B, 1, 1, 1)."""
    weight = region.unsqueeze(1).expand(values.shape)
    mean = (values.square() * weight).sum((1, 2, 3), keepdim=True) / weight.sum((1, 2, 3), keepdim=True).clamp(min=1e-6)
    return mean.sqrt()
