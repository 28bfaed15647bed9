"""What an edit declares, so that several of them can be combined in one run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from ..diffusion.convention import OURS, Convention
from ..diffusion.energies.form import LEAST, Form, nothing
from ..diffusion.features import NO_REFERENCE, Views
from ..errors import DragonError
from ..imaging.crop_window import CropWindow
from ..imaging.mask_checks import cropped_mask, for_rows
from ..imaging.masks import Regions, either, on_grid

if TYPE_CHECKING:
    from typing_extensions import Self

#: κ of moving and resizing, and of all other tasks (docs/method.md, section 7).
MOVE_KAPPA, KAPPA = 0.08, 0.04


@dataclass(frozen=True)
class Weights:
    """Weights of a task's energies, each >= 0. Defaults of each task: the authors' for SD-1.5 (docs/method.md, section 11).

    edit: of the pull at what the task is about. content: of what holds everything else.
    """

    edit: float = 4.0
    content: float = 6.0

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0:
            raise DragonError("energy weights cannot be negative; use 0 to switch a term off")

    def scaled(self, share: float) -> Self:
        """All of them times ``share``."""
        return replace(self, **{name: share * weight for name, weight in asdict(self).items()})


class Edit(ABC):
    """One edit of one picture: a frozen dataclass. Grids are (h, w); features are on the common grid; energies are (B,).

    The defaults are those of an edit that has no energies and leaves the trajectory as it is.

    ``masks``: names of the fields that are masks (M, H, W) of its picture, or None. ``convention``: ours or the authors', for all that it
    says of energies, regions and latents.
    """

    masks: ClassVar[tuple[str, ...]] = ()
    convention: Convention = OURS

    @property
    @abstractmethod
    def image_size(self) -> tuple[int, int] | None:
        """(height, width) in pixels of the picture the edit was made for; None where it suits any."""

    @property
    def form(self) -> Form:
        """The form of its edit energy, and of the content energy where it holds the rest."""
        return self.convention.points

    @property
    def content_weight(self) -> float:
        """How strongly everything outside the edit is held. Of combined edits the largest counts."""
        return 0.0

    @property
    def least_energy(self) -> float:
        """What its edit and background energy together cannot fall below: the share of an attraction that is left when all is alike."""
        return 0.0

    @property
    def kappa(self) -> float:
        """The authors' κ for this task: in the paper's unit η = energy_scale · 1000 · κ, for each edit of a chain its own."""
        return KAPPA

    @property
    def edits_trajectory(self) -> bool:
        """Whether the edit changes the trajectory, so that the edited trajectory can be injected where the edit acts."""
        return False

    @property
    def needs_reference(self) -> bool:
        """Whether it takes from a second picture."""
        return False

    @property
    def keeps_colour(self) -> bool:
        """Whether what it puts somewhere is known by its pixels, so that nothing but its light is the model's."""
        return False

    @property
    def shrinks(self) -> bool:
        """Whether something becomes smaller in its place, so that its old body must not be seen round it."""
        return False

    @abstractmethod
    def scaled(self, share: float) -> Self:
        """This edit with all its energies times ``share``."""

    def cropped(self, image_size: tuple[int, int]) -> Self:
        """This edit on the middle (height, width) of its picture, which is what a VAE keeps of sides that it cannot divide."""
        return self._masked(lambda mask: cropped_mask(mask, image_size, "mask", "picture"))

    def within(self, window: CropWindow) -> Self:
        """This edit on a crop of its picture; ``image_size`` is known by then. What it acts on lies in the window."""
        return self._masked(window.taken_mask)

    def on(self, device: torch.device, repeats: int) -> Self:
        """This edit with its tensors on ``device``, each picture's mask repeated for ``repeats`` rows of a batch."""
        return self._masked(lambda mask: for_rows(mask, device, repeats))

    def _masked(self, change: Callable[[Tensor], Tensor], *others: str) -> Self:
        """This edit with its masks changed, and with them those that are named."""
        masks = {name: getattr(self, name) for name in (*self.masks, *others)}
        return replaced(self, **{name: change(mask) for name, mask in masks.items() if mask is not None})

    @abstractmethod
    def regions(self, size: tuple[int, int]) -> Regions:
        """Source and target on a grid."""

    def shown(self, size: tuple[int, int]) -> Tensor:
        """What a crop of the picture must show of it, (M, h, w): all that is taken from and put to."""
        own = self.regions(size)
        return either(own.source, own.target)

    def edit_energy(self, views: Views, own: Regions) -> Tensor:
        """What pulls the object to its place; its gradient acts inside the edit region. ``own``: :meth:`regions` on the features' grid."""
        return nothing(views.generation)

    def background_energy(self, views: Views, own: Regions, combined: Regions) -> Tensor:
        """What mends the vacated place; its gradient acts outside the edit region. ``combined``: the regions of the whole chain."""
        return nothing(views.generation)

    # The trajectory is edited like the picture, its clean part and its noise apart: the clean part may be interpolated, noise must
    # be moved cell by cell to keep its variance. All edits of a chain fill before any places, so that none wipes out another's.

    def fill_clean(self, latent: Tensor) -> Tensor:
        """A clean latent (B, C, h, w) with the object's old place filled from its surroundings."""
        return latent

    def fill_noise(self, noise: Tensor, original: Tensor, fresh: Tensor) -> Tensor:
        """The noise part (B, C, h, w) of a latent with the object's part replaced. ``fresh``: noise of the same variance."""
        return noise

    # The four below put the object at its new place, taken from what the ``source`` or the ``reference`` picture has of the same kind.

    def place_noise(self, noise: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        """The noise part (B, C, h, w) of a latent, moved cell by cell."""
        return noise

    def place_tokens(self, tokens: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        """What shared attention sees (B, C, h, w), cell by cell as noise; but what repeats does no harm, so there are no gaps."""
        return self.place_noise(tokens, source, reference) if self.edits_trajectory else tokens

    def place_latent(self, latent: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        """A clean latent (B, C, h, w), interpolated."""
        return latent

    def place_pixels(self, picture: Tensor, source: Tensor, reference: Tensor | None) -> Tensor:
        """A picture (B, C, H, W) with values in [0, 1], interpolated."""
        return self.place_latent(picture, source, reference)


class Task(Edit):
    """A task of the paper: ``weights`` say how strongly it pulls at something and how strongly it holds the rest."""

    weights: Weights

    @property
    def content_weight(self) -> float:
        return self.weights.content

    @property
    def least_energy(self) -> float:
        return LEAST * self.weights.edit

    def scaled(self, share: float) -> Self:
        return replaced(self, weights=self.weights.scaled(share))


class ReferenceEdit(Edit):
    """An edit that takes something from a second picture, whose size may be another one."""

    @property
    def needs_reference(self) -> bool:
        return True

    @property
    def lies_over(self) -> bool:
        """Whether the second picture lies over the first, place for place, so that both are cropped alike."""
        return False

    @abstractmethod
    def cropped_reference(self, reference_size: tuple[int, int]) -> Self:
        """This edit on the middle (height, width) of the second picture, which is what a VAE keeps of it."""

    @abstractmethod
    def within_reference(self, window: CropWindow) -> Self:
        """This edit with a crop of the second picture in that one's place. What it takes lies in the window."""

    @abstractmethod
    def reference_region(self, size: tuple[int, int]) -> Tensor:
        """What is taken, on a grid over the second picture: (M, h, w)."""


class ReferenceTask(Task, ReferenceEdit):
    """A task that takes what ``reference_mask`` (M', H', W') covers in the second picture."""

    reference_mask: Tensor

    @property
    def form(self) -> Form:
        return self.convention.reference

    def cropped_reference(self, reference_size: tuple[int, int]) -> Self:
        return replaced(self, reference_mask=cropped_mask(self.reference_mask, reference_size, "reference mask", "reference picture"))

    def within_reference(self, window: CropWindow) -> Self:
        return replaced(self, reference_mask=window.taken_mask(self.reference_mask))

    def on(self, device: torch.device, repeats: int) -> Self:
        return self._masked(lambda mask: for_rows(mask, device, repeats), "reference_mask")

    def reference_region(self, size: tuple[int, int]) -> Tensor:
        return on_grid(self.reference_mask, size)


def required(reference: Tensor | None) -> Tensor:
    """The second picture's values. Raises :class:`DragonError` where there is none."""
    if reference is None:
        raise DragonError(NO_REFERENCE)
    return reference


def on_reference(edits: Sequence[Edit], size: tuple[int, int]) -> tuple[Edit, ...]:
    """A chain on the middle (height, width) of the second picture, which is what a VAE keeps of it."""
    return tuple(edit.cropped_reference(size) if isinstance(edit, ReferenceEdit) else edit for edit in edits)


def reference_edits(edits: Sequence[Edit]) -> tuple[ReferenceEdit, ...]:
    """Those of a chain that take from the second picture."""
    return tuple(edit for edit in edits if isinstance(edit, ReferenceEdit))


AnyEdit = TypeVar("AnyEdit")


def replaced(edit: AnyEdit, **changes: Any) -> AnyEdit:  # noqa: ANN401 - of any field
    """A copy of a frozen dataclass, some fields changed: as `dataclasses.replace` makes it, but without checking what was checked.

    Checks warn a second time, and ask a GPU for its tensors' values.
    """
    copy: AnyEdit = object.__new__(type(edit))
    for field in fields(edit):  # type: ignore[arg-type]
        object.__setattr__(copy, field.name, changes.get(field.name, getattr(edit, field.name)))
    return copy
