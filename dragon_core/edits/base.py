"""What every editing task declares, so that several of them can be combined in one run."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ..diffusion.convention import Convention
from ..diffusion.energies.form import Form
from ..diffusion.features import Views
from ..imaging.masks import Regions

#: κ of moving and resizing, and of all other tasks (docs/method.md, section 7).
MOVE_KAPPA, KAPPA = 0.08, 0.04


class Edit(Protocol):
    """One edit of one picture. Grids are (h, w); features are on the common grid; energies are (B,)."""

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(height, width) in pixels of the picture the edit was made for; None where it suits any."""

    @property
    def convention(self) -> Convention:
        """Ours or the authors', for all that it says of energies, regions and latents."""

    @property
    def form(self) -> Form:
        """The form of its edit energy, and of the content energy where it holds the rest."""

    @property
    def content_weight(self) -> float:
        """How strongly everything outside the edit is held. Of combined edits the largest counts."""

    @property
    def least_energy(self) -> float:
        """What its edit and repair energy together cannot fall below: the share of an attraction that is left when all is alike."""

    @property
    def kappa(self) -> float:
        """The authors' κ for this task: in the paper's unit η = energy_scale · 1000 · κ, for each edit of a chain its own."""

    def cropped(self, image_size: tuple[int, int]) -> Edit:
        """This edit on the middle (height, width) of its picture, which is what a VAE keeps of sides that it cannot divide."""

    @property
    def edits_trajectory(self) -> bool:
        """Whether the edit changes the trajectory, so that the edited trajectory can lead what it touches."""

    @property
    def needs_reference(self) -> bool:
        """Whether it takes from a second picture."""

    def on(self, device: torch.device, repeats: int) -> Edit:
        """This edit with its tensors on ``device``, each picture's mask repeated for ``repeats`` rows of a batch."""

    def regions(self, size: tuple[int, int]) -> Regions:
        """Source and target on a grid."""

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        """What pulls the object to its place; its gradient acts inside the edit region."""

    def background_energy(self, views: Views, own: Regions, combined: Regions) -> Tensor:
        """What mends the vacated place; its gradient acts outside the edit region."""

    # The trajectory is edited like the picture, its clean part and its noise apart: the clean part may be interpolated, noise must
    # be moved cell by cell to keep its spread. All edits of a chain clear before any places, so that none wipes out another's.

    def fill_clean(self, latent: Tensor) -> Tensor:
        """A clean latent (B, C, h, w) with the object's old place filled from its surroundings."""

    def fill_noise(self, noise: Tensor, original: Tensor, fresh: Tensor) -> Tensor:
        """The noise part (B, C, h, w) of a latent with the object's part replaced. ``fresh``: noise of the same spread."""

    def place(self, latent: Tensor, source: Tensor, reference: Tensor | None, mode: str) -> Tensor:
        """A latent with the object at its new place, taken from the ``source`` or the ``reference`` picture's latent.

        ``mode`` is "bilinear" or "nearest".
        """


AnyEdit = TypeVar("AnyEdit")


def replaced(edit: AnyEdit, **changes: Any) -> AnyEdit:  # noqa: ANN401 - of any field
    """A copy of a frozen dataclass, some fields changed: as `dataclasses.replace` makes it, but without checking what was checked.

    Checks warn a second time, and ask a GPU for its tensors' values.
    """
    copy: AnyEdit = object.__new__(type(edit))
    for field in fields(edit):  # type: ignore[arg-type]
        object.__setattr__(copy, field.name, changes.get(field.name, getattr(edit, field.name)))
    return copy
