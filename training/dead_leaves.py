"""Dead leaves: pictures of shapes that cover each other, whose edges and sizes are spread as in photographs (Lee, Mumford & Huang 2001).

The VAE sees them beside rooms, so that it learns pictures rather than the colours of its scenes. Each leaf is a disc or a bar of a
random colour with a gradient across it and a texture of smooth noise on it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SMALLEST, LARGEST = 1.5, 48.0
"""Radii in pixels, drawn with density r⁻³."""
BARS = 0.35
MOST = 120


def draw(rng: np.random.Generator, side: int) -> npt.NDArray[np.float32]:
    """A picture (side, side, 3) in [0, 1], painted front to back until nothing shows through."""
    axis = np.arange(side, dtype=np.float32)
    x, y = axis[None], axis[:, None]
    picture = np.empty((side, side, 3), np.float32)
    open_ = np.ones((side, side), bool)
    noise = _noise(rng, side)
    grey = rng.uniform(0, 1, (6, 1)) ** rng.uniform(0.6, 1.8)
    palette = grey + rng.uniform(0, 0.8) * (rng.uniform(0, 1, (6, 3)) - 0.5)
    smallest = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(16.0))))
    for count in range(MOST):
        if not open_.any():
            break
        u = rng.uniform()
        radius = (smallest**-2 + u * (LARGEST**-2 - smallest**-2)) ** -0.5
        cx, cy = rng.uniform(-8, side + 8, 2)
        angle = rng.uniform(0, np.pi)
        c, s = np.cos(angle), np.sin(angle)
        along, across = c * (x - cx) + s * (y - cy), c * (y - cy) - s * (x - cx)
        shape = (np.abs(along) < 3 * radius) & (np.abs(across) < 0.5 * radius) if rng.uniform() < BARS else along**2 + across**2 < radius**2
        if count == MOST - 1:
            shape = open_
        fresh = shape & open_
        if not fresh.any():
            continue
        colour = palette[rng.integers(6)] + rng.normal(0, 0.08) + rng.normal(0, 0.04, 3)
        slope = rng.normal(0, 0.25) / radius
        texture = rng.choice([0.0, rng.uniform(0, 0.25)])
        tone = 1 + np.clip(slope * along, -0.6, 0.6) + texture * noise
        picture[fresh] = (colour * tone[..., None])[fresh]
        open_ &= ~shape
    if rng.uniform() < 0.5:  # edges as a lens makes them
        picture = 0.25 * (picture + np.roll(picture, 1, 0) + np.roll(picture, 1, 1) + np.roll(picture, (1, 1), (0, 1)))
    return np.clip(picture, 0, 1).astype(np.float32)


def _noise(rng: np.random.Generator, side: int) -> npt.NDArray[np.float32]:
    """Noise with a spectrum of 1 / f^a and unit spread, (side, side)."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) + 1 / side
    spectrum = np.fft.rfft2(rng.normal(size=(side, side))) / f ** rng.uniform(0.3, 1.5)
    out = np.fft.irfft2(spectrum, (side, side))
    return ((out - out.mean()) / out.std()).astype(np.float32)
