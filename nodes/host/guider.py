"""The edit as a GUIDER: replays the known pictures beside the generation and steers it."""

from __future__ import annotations

import logging
from collections.abc import Callable
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
from ...dragon_core.diffusion.loop import Hold, Prediction
from ...dragon_core.diffusion.noise_model import NoiseModel
from ...dragon_core.diffusion.schedule import EditSchedule
from ...dragon_core.diffusion.sharing import Sharing
from ...dragon_core.diffusion.trajectory import Branch
from ...dragon_core.edits import chain
from ...dragon_core.edits.chain import Chain
from ...dragon_core.edits.frames import by_latent_frames
from ...dragon_core.errors import DragonError
from .evaluation import GuidedEvaluation, seeing
from .gradients import make_differentiable, out_of_inference
from .known_pictures import KNOWN, branch_step_at, process_known
from .model import backbone_of, load_fully, on_one_device, require_loaded, require_maker, resident, weight_patches
from .run import BranchStep, EnergyReading, Moment, Run
from .start import begins, check_start, draft_for, edited_path, own_start
from .tokens import SHARING, STATE

log = logging.getLogger(__name__)

#: Half cells around an edit in which the decoded picture may differ from the source: that far an edited cell shows.
CHANGED_MARGIN = 3

#: What to do where memory is short.
SMALLER = "the model is as it was: take a smaller picture, an fp16 checkpoint or fewer taps, or close other programs"

Options = dict[str, Any]


@dataclass(frozen=True)
class HostPrediction(Prediction):
    """A prediction that also remembers the denoised latent as ComfyUI computed it, bit for bit."""

    denoised: Tensor | None = None


class DragonGuidance(comfy.samplers.CFGGuider):
    """A GUIDER that steers the generation branch. Works with Dragon Euler exactly, with SAMPLERs that keep to the levels approximately.

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
        require_maker(model, trajectory, "invert with the model you sample with")
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
        self.draft = draft_for(trajectory, draft)
        self.residual = residual_weight
        self.run: Run | None = None
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
        if self.strength > 0:
            comfy.patcher_extension.add_wrapper_with_key(
                comfy.patcher_extension.WrappersMP.PREPARE_SAMPLING, STATE, load_fully, self.model_options, is_model_options=True
            )
        try:
            return super().outer_sample(*args, **kwargs)
        except comfy.model_management.OOM_EXCEPTION as error:
            # Of the same type: ComfyUI frees its memory when it sees that.
            raise type(error)(f"Dragon: memory ran out during the edit, {SMALLER}. ({error})") from error

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
        trajectory = self.branch.trajectory
        check_start(trajectory, noise, latent_image, denoise_mask)
        chain.check_counts(self.edits, as_pictures(latent_image).shape[0])
        seed = kwargs.get("seed", args[2] if len(args) > 2 else None) or 0
        hold: Hold = getattr(sampler, "extra_options", {}).get("hold", Hold())  # ComfyUI's own samplers hold nothing
        self.run = self._prepared(latent_image, sigmas, device, seed if hold.fresh_noise else None)
        try:
            process_known(self, self.run, latent_image, device, with_shapes="latent_shapes" in kwargs)
            if self.edits:
                follows = hold.follows_path or self.run.first > 0
                self.run.path = edited_path(self.run.pictures, self.edits, self.draft, self.inner_model, seed, only_start=not follows)
            if begins(trajectory, self.inner_model, sigmas, latent_image):
                noise, latent_image = own_start(self.run, self.inner_model, noise, latent_image, sigmas[0])
            return super().inner_sample(noise, latent_image, device, sampler, sigmas, denoise_mask, *args, **kwargs)
        finally:
            self.conds |= {KNOWN + str(i): conds for i, conds in enumerate(self.run.known)}  # for ComfyUI's clean-up
            self.readings = self.run.readings
            self.run = None

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
            residual=self.residual,
        )

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
        """One step's prediction for Dragon Euler, which other packs' PREDICT_NOISE wrappers see as they see any sampler's."""
        kind = comfy.patcher_extension.WrappersMP.PREDICT_NOISE
        wrappers = comfy.patcher_extension.get_all_wrappers(kind, self.model_options, is_model_options=True)
        stock = comfy.patcher_extension.WrapperExecutor.new_class_executor(super().predict_noise, self, wrappers)
        return self._predict(x, step, sigma, guided, options, seed, stock.execute)

    def conditional(self, x: Tensor, sigma: Tensor, options: Options) -> Tensor:
        """The direction of the conditional prediction alone, without guidance and shared attention: one row."""
        run, latent = self.running(), as_video(x, self.branch.trajectory.frames)
        timestep = sigma.reshape(1).expand(latent.shape[0])
        with seeing(run, options, latent, None) as mine:
            (denoised,) = comfy.samplers.calc_cond_batch(self.inner_model, [self.conds["positive"]], latent, timestep, mine)
        return (x - as_pictures(denoised)) / sigma

    def _predict(
        self, x: Tensor, step: int, sigma: Tensor, guided: bool, options: Options, seed: int | None, stock: Callable[..., Tensor]
    ) -> HostPrediction:
        """One step's prediction, evaluating no more rows than it needs. ``stock``: ComfyUI's own ``predict_noise``."""
        run = self.running()
        guided = guided and self.strength > 0
        share = run.sharing is not None and run.sharing.window.contains(float(self.noise_model.progress(sigma)))
        latent = as_video(x, self.branch.trajectory.frames)
        now = Moment(self, run, sigma.reshape(1).expand(latent.shape[0]), options)
        transfers = self.residual > 0 and any(picture.renoised for picture in run.pictures)
        if transfers and run.layout is None:
            return self._unedited(x, sigma, options, seed, stock)
        branch_step = branch_step_at(now, step, guided, share) if guided or share or transfers else None
        tokens = branch_step.tokens if share and branch_step else None
        with seeing(run, options, latent, tokens) as mine:
            p = self._evaluate(x, sigma, branch_step if guided else None, mine, seed, stock)
        return p if branch_step is None or branch_step.residual is None else self._with_residual(p, branch_step.residual, sigma)

    def _unedited(self, x: Tensor, sigma: Tensor, options: Options, seed: int | None, stock: Callable[..., Tensor]) -> HostPrediction:
        """Without an edit the generation is the known picture, too, and what the model misses of it is what its own prediction lacks."""
        run, frames = self.running(), self.branch.trajectory.frames
        clean = run.pictures[0].latents[-1].to(x)
        if self.residual == 1:
            direction = (x - clean) / sigma
            return HostPrediction(direction, direction, None, clean)
        with seeing(run, options, as_video(x, frames), None) as alone:
            p = self._evaluate(x, sigma, None, alone, seed, stock)
        return self._with_residual(p, clean - (x - sigma * p.direction), sigma)

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
