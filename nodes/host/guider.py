"""The edit as a GUIDER: replays the known pictures beside the generation and steers it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.samplers
import torch
from torch import Tensor

from ...dragon_core.diffusion.convention import OURS, Convention
from ...dragon_core.diffusion.frames import as_pictures, as_video
from ...dragon_core.diffusion.guidance import GuidanceScale
from ...dragon_core.diffusion.loop import Prediction
from ...dragon_core.diffusion.noise_model import FLOW, NoiseModel
from ...dragon_core.diffusion.schedule import EditSchedule
from ...dragon_core.diffusion.sharing import Sharing
from ...dragon_core.diffusion.steps import unit_noise
from ...dragon_core.diffusion.trajectory import Branch, Trajectory
from ...dragon_core.edits import chain
from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.frames import by_latent_frames
from ...dragon_core.errors import DragonError
from .evaluation import GuidedEvaluation, with_patch
from .gradients import make_differentiable, out_of_inference
from .known_pictures import branch_step_at
from .model import backbone_of, family, fingerprint, load_fully, on_one_device, require_loaded, resident, weight_patches
from .run import BranchStep, EnergyReading, Run
from .tokens import SHARING, STATE

log = logging.getLogger(__name__)

KNOWN = "dragon_reference"

#: Half cells around an edit in which the decoded picture may differ from the source: that far an edited cell shows.
CHANGED_MARGIN = 3

#: What to do where memory is short.
SMALLER = "the model is as it was: take a smaller picture, an fp16 checkpoint or fewer taps, or close other programs"

Options = dict[str, Any]


@dataclass(frozen=True)
class HostPrediction(Prediction):
    """A prediction that also remembers the denoised latent as ComfyUI computed it, bit for bit."""

    denoised: Tensor | None = None


def same_prompt(conditioning: list[Options], other: list[Options]) -> bool:
    """Whether two converted conditionings say the same, so that one evaluation serves for both."""

    def text(cond: Options) -> tuple[Tensor | None, ...]:
        return cond.get("cross_attn"), cond.get("pooled_output")

    def equal(a: Tensor | None, b: Tensor | None) -> bool:
        return a is b if a is None or b is None else torch.equal(a, b)

    pairs = zip(conditioning, other, strict=False)
    return len(conditioning) == len(other) and all(equal(a, b) for c, d in pairs for a, b in zip(text(c), text(d), strict=True))


class DragonGuidance(comfy.samplers.CFGGuider):
    """A GUIDER that steers the generation branch. Works with DragonEuler exactly, with SAMPLERs that keep to the levels approximately.

    ``edits`` may be empty and ``strength`` 0: what is left then is ComfyUI's own prediction, untouched.
    """

    original_conds: dict[str, Any]

    def __init__(
        self,
        model: comfy.model_patcher.ModelPatcher,
        branch: Branch,
        edits: Chain,
        strength: float,
        schedule: EditSchedule,
        paper_scale: bool = False,
        draft: Tensor | None = None,
        residual_weight: float = 0.0,
        convention: Convention = OURS,
    ) -> None:
        self.backbone = backbone_of(model)
        trajectory = branch.trajectory
        if trajectory.model != fingerprint(model):
            raise DragonError(
                f"the trajectory was made with another model ({trajectory.family}), this one is {family(model)}: invert with "
                f"the model you sample with"
            )
        if any(known.patches != weight_patches(model) for known in branch.trajectories):
            log.warning(
                "Dragon: the picture was inverted or recorded with other LoRAs than it is edited with, so guidance compares unlike things: "
                "give both nodes the model behind the same LoRA loader"
            )
        reference = None if branch.reference is None else branch.reference.image_size
        edits = by_latent_frames(edits, trajectory.latents.shape[1], trajectory.frames)
        edits = chain.fitted(edits, trajectory.image_size, trajectory.pixels_per_cell, reference, trajectory.latents.shape[1])
        pull = strength if edits and self.backbone.gradients else 0.0
        model = on_one_device(model)
        super().__init__(resident(model) if pull > 0 else model)
        self.branch = branch
        self.edits = chain.by(convention, chain.with_kappa(edits) if paper_scale else edits)
        self.convention = convention
        self.pictures = branch.trajectories if any(edit.needs_reference for edit in edits) else (trajectory,)
        self.strength, self.unused = pull, bool(edits) and strength > pull
        if not pull:
            self._warn_of_idle()
        self.schedule = schedule
        self.kappa = max(edit.kappa for edit in edits) if paper_scale and edits else None
        self.draft = self._fitting(draft)
        self.residual = residual_weight
        self.run: Run | None = None
        self.known: list[list[Options]] = []
        self.compared: list[list[Options]] = []
        self.readings: list[EnergyReading] = []

    def _warn_of_idle(self) -> None:
        """Says which edits do nothing without their pull."""
        idle = {f"Dragon {type(edit).__name__.removesuffix('Elsewhere')} Loss" for edit in self.edits if not edit.edits_trajectory}
        if idle:
            remedy = "raise energy_scale" if self.backbone.gradients else "no gradient goes through this model"
            log.warning("%s: acts by its pull alone, and nothing pulls: %s", ", ".join(sorted(idle)), remedy)

    def set_branch_conds(self, positive: Any, negative: Any) -> None:
        known = {KNOWN + str(i): trajectory.source for i, trajectory in enumerate(self.pictures)}
        self.inner_set_conds({"positive": positive, "negative": negative, **known})

    # ComfyUI calls sample → outer_sample → inner_sample → SAMPLER → predict_noise.

    def sample(self, noise: Tensor, latent_image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.strength > 0:
            # Nodes run in inference mode, where nothing can be differentiated; the whole run leaves it.
            with torch.inference_mode(False), torch.no_grad():
                self.original_conds = out_of_inference(self.original_conds)
                args, kwargs = out_of_inference(args), out_of_inference(kwargs)
                result = super().sample(noise.clone(), latent_image.clone(), *args, **kwargs)
        else:
            result = super().sample(noise, latent_image, *args, **kwargs)
        if not torch.isfinite(result).all():
            raise DragonError("the edit ended in values that are not numbers: use an fp32 or bf16 model, or lower energy_scale")
        return result

    def outer_sample(self, *args: Any, **kwargs: Any) -> Tensor:
        try:
            return self._outer_sample(*args, **kwargs)
        except comfy.model_management.OOM_EXCEPTION as error:
            # Of the same type: ComfyUI frees its memory when it sees that.
            raise type(error)(f"Dragon: memory ran out during the edit, {SMALLER}. ({error})") from error

    def _outer_sample(self, *args: Any, **kwargs: Any) -> Tensor:
        if self.strength > 0:
            comfy.patcher_extension.add_wrapper_with_key(
                comfy.patcher_extension.WrappersMP.PREPARE_SAMPLING, STATE, load_fully, self.model_options, is_model_options=True
            )
        return super().outer_sample(*args, **kwargs)

    def inner_sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        device: torch.device,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        self._check_start(noise, latent_image, denoise_mask)
        seed = kwargs.get("seed", args[2] if len(args) > 2 else None) or 0
        self.run = self._prepared(latent_image, sigmas, device, seed if getattr(sampler, "fresh_noise", False) else None)
        try:
            self._process_known(self.run.pictures, latent_image, device, with_shapes="latent_shapes" in kwargs)
            if self.edits:
                follows = getattr(sampler, "follows_path", False) or self.run.first > 0
                self.run.path = self._edited_path(seed, only_start=not follows)
            if self._begins(sigmas, latent_image):
                noise, latent_image = self._start(noise, latent_image, sigmas[0])
            return super().inner_sample(noise, latent_image, device, sampler, sigmas, denoise_mask, *args, **kwargs)
        finally:
            self.conds |= {KNOWN + str(i): conds for i, conds in enumerate(self.known)}  # for ComfyUI's clean-up
            self.known, self.compared = [], []
            self.readings = self.run.readings
            self.run = None

    def _begins(self, sigmas: Tensor, latent: Tensor) -> bool:
        """Whether a run starts afresh: at the noisiest level, or wherever it was not given another run's latent to go on from."""
        own = self.branch.trajectory
        if float(sigmas[0]) >= float(own.sigmas[0]) * (1 - 1e-4) or not torch.count_nonzero(latent):
            return True
        known = (self.inner_model.process_latent_out(as_video(own.latents[i].to(latent), own.frames)) for i in (0, -1))
        return any(torch.allclose(latent, each, rtol=1e-3, atol=1e-3) for each in known)

    def _check_start(self, noise: Tensor, latent: Tensor, denoise_mask: Tensor | None) -> None:
        """Raises :class:`DragonError` where a run cannot begin with this latent (B, C, h, w) or (B, C, frames, h, w)."""
        trajectory = self.branch.trajectory
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
        chain.check_counts(self.edits, pictures.shape[0])

    def _prepared(self, latent: Tensor, sigmas: Tensor, device: torch.device, seed: int | None) -> Run:
        """The state of a run, and a model that can be differentiated where something pulls.

        ``seed``: of another noise for each level of a renoised picture; None keeps the one it has.
        """
        edits = tuple(edit.on(device, 1) for edit in self.edits)
        along = [picture.along(sigmas) for picture in self.pictures]
        if self.unused:
            kind = self.branch.trajectory.family
            log.info("Dragon: energies say what the edit is; their pull is not used, as no gradient goes through %s", kind)
        if self.strength > 0:
            require_loaded(self.model_patcher)
            make_differentiable(self.inner_model.diffusion_model)
        sharing = self._sharing()
        pictures = tuple(picture for picture, _ in along)
        return Run(
            pictures=pictures if seed is None else tuple(p.under_fresh_noise(seed) if p.renoised else p for p in pictures),
            first=along[0][1],
            blocks=self.backbone.tap_blocks(self.inner_model.diffusion_model, self.branch.taps) if self.backbone.gradients else (),
            layout=chain.Layout.of(edits, (latent.shape[-2], latent.shape[-1])) if edits else None,
            scale=GuidanceScale(self.strength, self.kappa),
            sharing=sharing,
            attention=None if sharing is None else self.backbone.attention(self.model_patcher, sharing, edits),
            convention=self.convention,
        )

    def _process_known(self, pictures: Sequence[Trajectory], latent_image: Tensor, device: torch.device, with_shapes: bool) -> None:
        """Known pictures are replayed as they were inverted; processed beside the positive they would inherit that one's ControlNets."""
        for i, known in enumerate(pictures):
            latent = as_video(known.latents[-1].to(latent_image), known.frames)
            shapes = {"latent_shapes": [latent.shape]} if with_shapes else {}
            conds = {"positive": self.conds.pop(KNOWN + str(i))}
            if self.convention.edit_prompt and not same_prompt(conds["positive"], self.conds["positive"]):
                conds["edit"] = [{key: value for key, value in c.items() if key != "control"} for c in self.conds["positive"]]
            conds = comfy.samplers.process_conds(self.inner_model, torch.zeros_like(latent), conds, device, latent, **shapes)
            self.known.append(conds["positive"])
            self.compared.append(conds.get("edit", conds["positive"]))

    def _start(self, noise: Tensor, latent: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """What ComfyUI mixes to the run's own start: of a latent nothing would be left at a flow's noisiest level."""
        run = self.running()
        start = as_video((run.pictures[0].latents if run.path is None else run.path)[run.first].to(latent), run.pictures[0].frames)
        if self.noise_model is FLOW:
            return start / sigma.to(latent), torch.zeros_like(latent)
        scaled = self.inner_model.process_latent_out(start)
        return noise, latent if torch.allclose(latent, scaled, rtol=1e-3, atol=1e-3) else scaled  # as rounded as it was given

    def _edited_path(self, seed: int, only_start: bool) -> Tensor:
        """The trajectory with the edits made at every level, or at the first, in the model's scale: (T + 1, B, C, h, w)."""
        trajectory, *others = self.running().pictures
        noise = unit_noise(trajectory.latents.shape[1:], seed, step=-1, draw=0)
        reference = others[0].latents if others else None
        draft = None if self.draft is None else as_pictures(self.inner_model.process_latent_in(self.draft))
        return chain.edited_path(self.edits, trajectory.latents, trajectory.sigmas, noise, reference, draft, self.noise_model, only_start)

    def _fitting(self, draft: Tensor | None) -> Tensor | None:
        """The draft's latent outside of inference mode, if it is one of the trajectory's picture."""
        if draft is None:
            return None
        wanted, frames = self.branch.trajectory.latents.shape[1:], self.branch.trajectory.frames
        draft = draft.unsqueeze(2) if frames and draft.ndim == 4 else draft
        pictures = as_pictures(draft)
        if pictures.shape[1:] != wanted[1:] or pictures.shape[0] not in (1, wanted[0]) or (draft.ndim == 5) != bool(frames):
            raise DragonError(
                f"the draft's latent is {tuple(draft.shape)}, the trajectory's {tuple(wanted)}: draft the picture you inverted"
            )
        if not torch.isfinite(draft).all():
            raise DragonError("the draft's latent has values that are not numbers: check the VAE (try another precision)")
        with torch.inference_mode(False):
            return draft.detach().clone().float().cpu()

    def changed(self) -> Tensor:
        """Where the decoded picture may differ from the source: (M, H, W), soft at its edge."""
        size, cell = self.branch.trajectory.image_size, self.branch.trajectory.pixels_per_cell
        if not self.edits:
            return torch.zeros(1, *size)
        edits = chain.by(OURS, self.edits)
        return chain.changed_mask(tuple(edit.on(torch.device("cpu"), 1) for edit in edits), size, CHANGED_MARGIN * cell // 2)

    def _sharing(self) -> Sharing | None:
        """How and when keys and values are shared, None where the model has no attention patch."""
        sharing: Sharing | None = self.model_options.get("transformer_options", {}).get(SHARING)
        return sharing and replace(sharing, window=self.convention.sharing_window(self.edits, sharing.window))

    def predict_noise(self, x: Tensor, timestep: Tensor, model_options: Options | None = None, seed: int | None = None) -> Tensor:
        """The denoised latent for samplers that know nothing of us: guidance is folded in."""
        pictures, sigma = as_pictures(x), timestep.flatten()[0]
        step, share = self.running().pictures[0].step_at(float(sigma)), float(self.noise_model.progress(sigma))
        p = self._predict(pictures, step, sigma, self.schedule.guided(step, share), model_options or {}, seed, super().predict_noise)
        denoised = pictures - p.direction * sigma if p.denoised is None else p.denoised
        guided = denoised if p.guidance is None else denoised - self.noise_model.guidance_scale(sigma) * p.guidance
        return as_video(guided, self.branch.trajectory.frames)

    def predict(self, x: Tensor, step: int, sigma: Tensor, guided: bool, options: Options, seed: int | None) -> HostPrediction:
        """One step's prediction for DragonEuler, which other packs' PREDICT_NOISE wrappers see as they see any sampler's."""
        kind = comfy.patcher_extension.WrappersMP.PREDICT_NOISE
        wrappers = comfy.patcher_extension.get_all_wrappers(kind, self.model_options, is_model_options=True)
        stock = comfy.patcher_extension.WrapperExecutor.new_class_executor(super().predict_noise, self, wrappers)
        return self._predict(x, step, sigma, guided, options, seed, stock.execute)

    def conditional(self, x: Tensor, sigma: Tensor, options: Options) -> Tensor:
        """The direction of the conditional prediction alone, without guidance and shared attention: one row."""
        run, latent = self.running(), as_video(x, self.branch.trajectory.frames)
        timestep = sigma.reshape(1).expand(latent.shape[0])
        with ExitStack() as stack:
            mine = with_patch(options, None, None)
            if run.attention is not None:
                mine = stack.enter_context(run.attention.sharing(mine, latent, None))
            denoised = comfy.samplers.calc_cond_batch(self.inner_model, [self.conds["positive"]], latent, timestep, mine)[0]
        return (x - as_pictures(denoised)) / sigma

    def _predict(
        self, x: Tensor, step: int, sigma: Tensor, guided: bool, options: Options, seed: int | None, stock: Callable[..., Tensor]
    ) -> HostPrediction:
        """One step's prediction, evaluating no more rows than it needs. ``stock``: ComfyUI's own ``predict_noise``."""
        run = self.running()
        guided = guided and self.strength > 0
        share = run.sharing is not None and run.sharing.window.contains(float(self.noise_model.progress(sigma)))
        timestep = sigma.reshape(1).expand(x.shape[0])
        transfers = self.residual > 0 and any(picture.renoised for picture in run.pictures)
        if transfers and run.layout is None:
            return self._unedited(x, sigma, options, seed, stock)
        branch_step = branch_step_at(self, step, timestep, options, guided, share) if guided or share or transfers else None
        with ExitStack() as stack:
            mine = with_patch(options, None, None)
            if run.attention is not None:
                tokens = branch_step.tokens if share and branch_step else None
                mine = stack.enter_context(run.attention.sharing(mine, as_video(x, self.branch.trajectory.frames), tokens))
            p = self._evaluate(x, sigma, branch_step if guided else None, mine, seed, stock)
        return p if branch_step is None or branch_step.residual is None else self._with_residual(p, branch_step.residual, sigma)

    def _unedited(self, x: Tensor, sigma: Tensor, options: Options, seed: int | None, stock: Callable[..., Tensor]) -> HostPrediction:
        """Without an edit the generation is the known picture, too, and what the model misses of it is what its own prediction lacks."""
        clean = self.running().pictures[0].latents[-1].to(x)
        if self.residual == 1:
            direction = (x - clean) / sigma
            return HostPrediction(direction, direction, None, clean)
        p = self._alone(x, sigma, options, seed, stock)
        return self._with_residual(p, clean - (x - sigma * p.direction), sigma)

    def _alone(self, x: Tensor, sigma: Tensor, options: Options, seed: int | None, stock: Callable[..., Tensor]) -> HostPrediction:
        """Neither guided nor seeing anything but itself."""
        run, mine = self.running(), with_patch(options, None, None)
        if run.attention is None:
            return self._evaluate(x, sigma, None, mine, seed, stock)
        with run.attention.sharing(mine, as_video(x, self.branch.trajectory.frames), None) as alone:
            return self._evaluate(x, sigma, None, alone, seed, stock)

    def _with_residual(self, p: HostPrediction, missing: Tensor, sigma: Tensor) -> HostPrediction:
        """A prediction with what the model missed of the known picture added to it."""
        added = self.residual * missing
        denoised = None if p.denoised is None else p.denoised + added
        return HostPrediction(p.direction - added / sigma, p.positive - added / sigma, p.guidance, denoised)

    def _evaluate(
        self, x: Tensor, sigma: Tensor, branch_step: BranchStep | None, mine: Options, seed: int | None, stock: Callable[..., Tensor]
    ) -> HostPrediction:
        """``branch_step``: what to be guided by, None where nothing guides. ``mine``: model options of this evaluation's own."""
        run = self.running()
        if branch_step is None or run.layout is None:
            denoised = self._denoised(x, sigma, mine, seed, stock)
            direction = (x - denoised) / sigma
            return HostPrediction(direction, direction, None, denoised)
        unet = self.inner_model.diffusion_model
        inner = mine.get("sampler_calc_cond_batch_function")
        split = GuidedEvaluation(unet, run, branch_step, x, sigma, self.noise_model, inner, self.original_conds)
        mine["sampler_calc_cond_batch_function"] = split
        denoised = self._denoised(x, sigma, mine, seed, stock)
        direction = (x - denoised) / sigma
        eps = self.noise_model.noise(x, direction, sigma)
        gradient = split.gradient()
        guidance = run.scale(gradient, eps, run.layout.support, split.polyak_step(gradient))
        run.readings.append(split.reading(branch_step.step, guidance, eps))
        return HostPrediction(direction, (x - split.positive) / sigma, guidance, denoised)

    def _denoised(self, x: Tensor, sigma: Tensor, options: Options, seed: int | None, stock: Callable[..., Tensor]) -> Tensor:
        """ComfyUI's own estimate of the clean pictures (B, C, h, w), as videos where the model takes those."""
        latent = as_video(x, self.branch.trajectory.frames)
        return as_pictures(stock(latent, sigma.reshape(1).expand(latent.shape[0]), options, seed))

    @property
    def noise_model(self) -> NoiseModel:
        return self.branch.trajectory.noise_model

    def running(self) -> Run:
        if self.run is None:
            raise DragonError("the guider was asked for a prediction outside of sampling")
        return self.run
