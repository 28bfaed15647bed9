"""Several edits as one: their regions united, their energies summed into the edit and the content part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from ..diffusion.convention import Convention
from ..diffusion.energies.content import content_energy
from ..diffusion.energies.form import LEAST
from ..diffusion.features import NO_REFERENCE, Views
from ..diffusion.guidance import Energies
from ..diffusion.noise_model import VP, NoiseModel
from ..errors import DragonError
from ..imaging.masks import FAINT, Regions, either, feathered, grown
from .base import Edit, ReferenceEdit, on_reference, replaced

log = logging.getLogger(__name__)

#: What travels from loss to loss: the edits in the order they were chained.
Chain = tuple[Edit, ...]

#: A draft that differs from the source by less than this share of what an edit would change there does not show the edit.
MISSING = 0.1
#: In a latent's units: an edit that changes less says nothing about its draft.
NO_CHANGE = 0.02
#: Cells off an edit from which on a draft should be the source, and how many may still differ.
DRAFT_FAR, DRAFT_FEW = 4, 3
#: Cells round an edit in which its draft's latent counts, too: what an encoder sees of an object is in the cells beside it as well, and
#: a decoder that misses it there makes coloured fringes.
DRAFT_MARGIN = 2


@dataclass(frozen=True, eq=False)
class Layout:
    """A non-empty chain of edits on one grid (h, w): each edit with its regions. Constant during a run."""

    edits: tuple[Edit, ...]
    own: tuple[Regions, ...]

    @classmethod
    def of(cls, edits: Sequence[Edit], size: tuple[int, int]) -> Layout:
        return cls(tuple(edits), tuple(edit.regions(size) for edit in edits))

    @cached_property
    def combined(self) -> Regions:
        return reduce(Regions.union, self.own)

    @cached_property
    def edit_mask(self) -> Tensor:
        """m_e (M, h, w): where the edit part's gradient acts."""
        return self.combined.target

    @cached_property
    def support(self) -> Tensor:
        """m_src ∪ m_tgt (M, h, w): where regional SDE puts its noise."""
        return either(self.combined.source, self.combined.target)

    @cached_property
    def coloured(self) -> Tensor:
        """The part of ``edit_mask`` where edits put things whose colours they know: the last edit that acts there has its say."""
        coloured = torch.zeros_like(self.edit_mask)
        for edit, own in zip(self.edits, self.own, strict=True):
            coloured = torch.lerp(coloured, torch.full_like(coloured, float(edit.keeps_colour)), own.target)
        return coloured

    @cached_property
    def uninjected(self) -> Tensor:
        """The part of ``support`` that belongs to edits which do not change the trajectory.

        Not a place that such an edit only empties and a leading one clears: Contrast chained to Inpaint would bring the object back.
        """
        nowhere = torch.zeros_like(self.support)
        cleared = reduce(either, (r.source for e, r in zip(self.edits, self.own, strict=True) if e.edits_trajectory), nowhere)
        own = (r for e, r in zip(self.edits, self.own, strict=True) if not e.edits_trajectory)
        return reduce(either, (either(torch.where(cleared > 0, 0.0, r.source), r.target) for r in own), nowhere)


def changed_mask(edits: Sequence[Edit], size: tuple[int, int], margin: int) -> Tensor:
    """Where a picture (h, w) may change, (M, h, w): 1 on all that the edits touch and half the margin around, fading to 0 at its end."""
    support = (Layout.of(edits, size).support > FAINT).float()
    return feathered(support, margin)


def reference_regions(edits: Sequence[ReferenceEdit], size: tuple[int, int], reference: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where edits put what they take from the second picture (M, h, w), and what they take there (M', h', w').

    ``size`` and ``reference``: grids over the two pictures.
    """
    return reduce(either, (e.regions(size).target for e in edits)), reduce(either, (e.reference_region(reference) for e in edits))


def evaluate(layout: Layout, views: Views) -> Energies:
    """Energies of a chain of edits, laid out on the grid of the features."""
    edit_parts = [e.edit_energy(views, r) for e, r in zip(layout.edits, layout.own, strict=True)]
    holds = max(layout.edits, key=lambda e: e.content_weight)
    content_weight = holds.content_weight
    content = content_energy(views.generation, views.source, layout.combined.rest, content_weight, holds.form)
    background = [e.background_energy(views, r, layout.combined) for e, r in zip(layout.edits, layout.own, strict=True)]
    least = LEAST * content_weight + sum(e.least_energy for e in layout.edits)
    return Energies(reduce(Tensor.add, edit_parts), reduce(Tensor.add, background, content), least)


def edited_picture(
    edits: Sequence[Edit], picture: Tensor, reference: Tensor | None = None, on_stage: Callable[[], None] = lambda: None
) -> Tensor:
    """A picture (B, C, H, W) in [0, 1] with the edits made in its pixels. ``reference``: the second one, (B, C, H', W').

    ``on_stage`` is called after each of the two stages of each edit; what it raises ends the work.
    """
    edited = picture
    for edit in edits:
        edited = edit.fill_clean(edited)
        on_stage()
    for edit in edits:
        edited = edit.place_pixels(edited, picture, reference)
        on_stage()
    return edited


def edited_path(
    edits: Sequence[Edit],
    latents: Tensor,
    sigmas: Tensor,
    noise: Tensor,
    reference: Tensor | None = None,
    draft: Tensor | None = None,
    noise_model: NoiseModel = VP,
    only_start: bool = False,
) -> Tensor:
    """The whole trajectory (T + 1, B, C, h, w), edited level by level as the picture will be; its first entry is the start latent.

    ``noise``: unit, (B, C, h, w). ``reference``: the second picture's trajectory on the same levels, (T + 1, B, C, h', w').
    ``draft``: the edited picture's clean latent (B, C, h, w), made from its pixels and so sharper than an edit of cells can be; it
    is used wherever the edits change something, and :data:`DRAFT_MARGIN` cells around. The noise on the clean part is carried along
    cell by cell. ``only_start``: nothing but the start latent is wanted; the other levels stay the source's.
    """
    clean = edited_clean = latents[-1]
    for edit in edits:
        edited_clean = edit.fill_clean(edited_clean)
    for edit in edits:
        edited_clean = edit.place_latent(edited_clean, clean, None if reference is None else reference[-1])
    if draft is not None:
        check_draft(edits, clean, draft, None if reference is None else reference[-1])
        changed = (edited_clean != clean).any(1).to(clean)
        edited_clean = torch.where(grown(changed, DRAFT_MARGIN).unsqueeze(1) > 0, draft.to(clean), clean)
    levels: list[Tensor] = []
    for i, (x, sigma) in enumerate(zip(latents[:-1], sigmas[:-1], strict=True)):
        if only_start and levels:
            break
        own = edited = noise_model.noise_part(x, clean, sigma)
        others = None if reference is None else noise_model.noise_part(reference[i], reference[-1], sigma)
        for edit in edits:
            edited = edit.fill_noise(edited, own, noise * sigma)
        for edit in edits:
            edited = edit.place_noise(edited, own, others)
        unchanged = (edited_clean == clean) & (edited == own)
        joined = noise_model.joined(edited_clean, edited, sigma)  # would differ from x in the last bit where nothing is edited
        levels.append(torch.where(unchanged, x, joined))
    return torch.stack([*levels, *latents[len(levels) : -1], edited_clean])


def edited_residual(layout: Layout, missing: Tensor, reference: Tensor | None = None) -> Tensor:
    """What a model misses of a picture at some noise level, x0 − x̂0 (B, C, h, w), with the edits made in it.

    It goes where the noise goes, cell by cell, as what the model took for noise is most of it: where noise is enlarged, it is taken once
    and the gaps keep what lies there. There is none where something was vacated, nor where an edit acts of which the trajectory knows
    nothing: what was there is not wanted back. ``reference``: what is missed of the second picture, (B, C, h', w').
    """
    none = torch.zeros_like(missing)
    edited = missing
    for edit in layout.edits:
        edited = edit.fill_noise(edited, none, none)
    for edit in layout.edits:
        edited = edit.place_noise(edited, missing, reference)
    return edited * (1 - layout.uninjected.unsqueeze(1))


def check_draft(edits: Sequence[Edit], clean: Tensor, draft: Tensor, reference: Tensor | None = None) -> None:
    """A draft (B, C, h, w) must show each of the edits; and says so where it shows something besides. Clean latents in one scale."""
    off = (draft.to(clean) - clean).square().mean(1).sqrt().expand(len(clean), -1, -1)
    alone = [edited_picture((edit,), clean, reference) for edit in edits]
    moved = [(each - clean).square().mean(1).sqrt() for each in alone]
    missing = []
    for number, own in enumerate(moved, 1):
        others = torch.stack([m > 0 for n, m in enumerate(moved, 1) if n != number] or [torch.zeros_like(own, dtype=torch.bool)]).any(0)
        where = (own > 0) & ~others
        if where.any() and own[where].mean() > NO_CHANGE and off[where].mean() < MISSING * own[where].mean():
            missing.append(number)
    if missing:
        what = "the edit" if len(edits) == 1 else f"edit {', '.join(map(str, missing))} of the {len(edits)} in energy"
        raise DragonError(
            f"the draft shows the picture without {what}: connect the same energy to Dragon Draft and to this node, and do not bypass "
            "Dragon Draft; or take the draft away"
        )
    inside = torch.stack(moved).amax(0)
    far = grown((inside > 0).to(clean), DRAFT_FAR) == 0
    if (inside > 0).any() and int(((off > 0.5 * inside[inside > 0].mean()) & far).sum()) > DRAFT_FEW:
        log.warning("the draft shows more than energy says, which is not used: was it made with another energy than this node has?")


def check_fit(edits: Sequence[Edit], image_size: tuple[int, int], pixels_per_cell: int) -> None:
    """Every edit must have been drawn on a picture of the trajectory's size (odd pixels that the VAE crops are allowed)."""
    for edit in edits:
        if edit.image_size is None:
            continue
        if tuple(side // pixels_per_cell * pixels_per_cell for side in edit.image_size) != tuple(image_size):
            (h, w), (height, width) = edit.image_size, image_size
            raise DragonError(f"the mask is {w}×{h} pixels but the picture is {width}×{height}: use a mask of the picture's size")


def check_counts(edits: Sequence[Edit], pictures: int) -> None:
    """There must be one mask for all ``pictures`` of a batch, or one for each."""
    for number, edit in enumerate(edits, 1):
        drawn = getattr(edit, "carried", edit)
        ways = len(getattr(edit, "sets", ()))
        if ways > 1 and ways != pictures:
            raise DragonError(f"the tracks have {ways} points for {pictures} picture{'s' * (pictures > 1)}: give one for each")
        for name in (*drawn.masks, "reference_mask"):
            mask = getattr(drawn, name, None)
            if isinstance(mask, Tensor) and len(mask) not in (1, pictures):
                which = f" ({name.replace('_', ' ')} of edit {number})" if name != "mask" or len(edits) > 1 else ""
                counts = f"{len(mask)} masks{which} for {pictures} picture{'s' * (pictures > 1)}"
                raise DragonError(f"there are {counts}: use one mask, or one for each picture")


def fitted(
    edits: Sequence[Edit],
    image_size: tuple[int, int],
    pixels_per_cell: int,
    reference_size: tuple[int, int] | None = None,
    pictures: int | None = None,
) -> tuple[Edit, ...]:
    """The edits on the part of the picture, and of the second one, that the VAE keeps, see :func:`check_fit`.

    ``pictures``: how many there are in the batch, where that is known.
    """
    check_fit(edits, image_size, pixels_per_cell)
    if pictures is not None:
        check_counts(edits, pictures)
    if reference_size is None:
        if any(edit.needs_reference for edit in edits):
            raise DragonError(NO_REFERENCE)
        return tuple(edit.cropped(image_size) for edit in edits)
    return tuple(edit.cropped(image_size) for edit in on_reference(edits, reference_size))


def by(convention: Convention, edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """A chain whose energies, regions and latents are by a convention."""
    return tuple(replaced(edit, convention=convention) for edit in edits)


def with_kappa(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """A chain as the paper's unit needs it: a run has one η, of the largest κ; an edit of a smaller one weighs that much less beside it."""
    largest = max((edit.kappa for edit in edits), default=0.0)
    return tuple(edit if edit.kappa == largest else edit.scaled(edit.kappa / largest) for edit in edits)
