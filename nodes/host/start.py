"""What a run starts from: the latent that it is given, the draft, and the trajectory with the edits made in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...dragon_core.diffusion.frames import as_pictures, as_video
from ...dragon_core.diffusion.noise_model import FLOW
from ...dragon_core.diffusion.steps import unit_noise
from ...dragon_core.diffusion.trajectory import Trajectory
from ...dragon_core.edits import chain
from ...dragon_core.edits.base import Edit
from ...dragon_core.errors import DragonError
from .run import Run


def check_start(trajectory: Trajectory, noise: Tensor, latent: Tensor, denoise_mask: Tensor | None) -> None:
    """Raises :class:`DragonError` where a run cannot begin with this latent (B, C, h, w) or (B, C, frames, h, w)."""
    if denoise_mask is not None:
        raise DragonError("noise masks are not supported: remove SetLatentNoiseMask; the edit keeps the rest by itself")
    pictures = as_pictures(latent)
    if tuple(pictures.shape[1:]) != tuple(trajectory.latents.shape[2:]) or (latent.ndim == 5) != bool(trajectory.frames):
        raise DragonError(
            f"the latent has shape {tuple(latent.shape)} but the trajectory {tuple(trajectory.latents.shape[1:])}: "
            "start from DragonInvert's start_latent"
        )
    if torch.count_nonzero(noise):
        raise DragonError("the start latent has the source's own noise, more of it would bury the picture: connect DisableNoise")


def begins(trajectory: Trajectory, model: Any, sigmas: Tensor, latent: Tensor) -> bool:
    """Whether a run starts afresh: at the noisiest level, or wherever it was not given another run's latent to go on from."""
    if float(sigmas[0]) >= float(trajectory.sigmas[0]) * (1 - 1e-4) or not torch.count_nonzero(latent):
        return True
    known = (model.process_latent_out(as_video(trajectory.latents[i].to(latent), trajectory.frames)) for i in (0, -1))
    return any(torch.allclose(latent, each, rtol=1e-3, atol=1e-3) for each in known)


def own_start(run: Run, model: Any, noise: Tensor, latent: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """What ComfyUI mixes to the run's own start: of a latent nothing would be left at a flow's noisiest level."""
    source = run.pictures[0]
    start = as_video((source.latents if run.path is None else run.path)[run.first].to(latent), source.frames)
    if source.noise_model is FLOW:
        return start / sigma.to(latent), torch.zeros_like(latent)
    scaled = model.process_latent_out(start)
    return noise, latent if torch.allclose(latent, scaled, rtol=1e-3, atol=1e-3) else scaled  # as rounded as it was given


def edited_path(
    pictures: Sequence[Trajectory], edits: Sequence[Edit], draft: Tensor | None, model: Any, seed: int, only_start: bool
) -> Tensor:
    """The first picture's trajectory with the edits made at every level, or at the first, in the model's scale: (T + 1, B, C, h, w)."""
    trajectory, *others = pictures
    noise = unit_noise(trajectory.latents.shape[1:], seed, step=-1, draw=0)
    reference = others[0].latents if others else None
    draft = None if draft is None else as_pictures(model.process_latent_in(draft))
    latents, sigmas, noise_model = trajectory.latents, trajectory.sigmas, trajectory.noise_model
    return chain.edited_path(edits, latents, sigmas, noise, reference, draft, noise_model, only_start)


def draft_for(trajectory: Trajectory, draft: Tensor | None) -> Tensor | None:
    """The draft's latent outside of inference mode, if it is one of the trajectory's picture."""
    if draft is None:
        return None
    wanted, frames = trajectory.latents.shape[1:], trajectory.frames
    draft = draft.unsqueeze(2) if frames and draft.ndim == 4 else draft
    pictures = as_pictures(draft)
    if pictures.shape[1:] != wanted[1:] or pictures.shape[0] not in (1, wanted[0]) or (draft.ndim == 5) != bool(frames):
        raise DragonError(f"the draft's latent is {tuple(draft.shape)}, the trajectory's {tuple(wanted)}: draft the picture you inverted")
    if not torch.isfinite(draft).all():
        raise DragonError("the draft's latent has values that are not numbers: check the VAE (try another precision)")
    with torch.inference_mode(False):
        return draft.detach().clone().float().cpu()
