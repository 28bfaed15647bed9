"""The one place where the pack meets ComfyUI's model.

What is known of the host is here: which UNets qualify, where their decoder is tapped, how tokens are captured and shared, how a
gradient is taken although ComfyUI runs nodes in inference mode, and how a run is driven through ComfyUI's own sampling.
Nothing of ComfyUI is replaced; patches live on clones and per-evaluation options, and a run's state dies with the run.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.samplers
import torch
from comfy.ldm.modules.attention import attention_pytorch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from ..dragon_core import composition
from ..dragon_core.attention import Sharing, Visible, merge_tokens
from ..dragon_core.edit import Hold, Prediction, run_edit
from ..dragon_core.errors import DragonError
from ..dragon_core.features import Features, Views, to_grid
from ..dragon_core.guidance import GuidanceScale, masked_gradient, reach
from ..dragon_core.inversion import invert
from ..dragon_core.regions import grown
from ..dragon_core.schedule import EditSchedule, Window
from ..dragon_core.stochastic import unit_noise
from ..dragon_core.tasks.borrowing import borrowers
from ..dragon_core.trajectory import Trajectory
from .bridge_memory import MIB, Tally, spilling
from .links import Branch, Chain

log = logging.getLogger(__name__)

STATE = "dragon"
SHARING = "dragon_sharing"
REFERENCE = "dragon_reference"

#: Where ComfyUI looks for another attention function.
ATTENTION = "optimized_attention_override"

#: Latent cells around an edit that stay free when the background is held: room for soft edges and shadows.
HOLD_MARGIN = 1

#: Half cells around an edit in which the decoded picture may differ from the source: that far an edited cell shows.
CHANGED_MARGIN = 3

#: Keeps sums of shares from zero where every conditioning's mask is; what is divided is zero there, too.
SMALLEST_SHARE = 1e-6

Options = dict[str, Any]


# --- the model -------------------------------------------------------------------------------------------------------


def family(model: comfy.model_patcher.ModelPatcher) -> str:
    """The model's kind as ComfyUI calls it."""
    return type(model.model.model_config).__name__ if hasattr(model.model, "model_config") else type(model.model).__name__


def require_supported(model: comfy.model_patcher.ModelPatcher) -> None:
    """Raise unless the model is a plain image UNet with noise or v-prediction."""
    unet = getattr(model.model, "diffusion_model", None)
    hint = "use a Stable Diffusion 1.x, 2.x or SDXL checkpoint, or DragonMiniModel"
    if unet is None or type(unet) is not openaimodel.UNetModel or getattr(unet, "default_num_video_frames", None) is not None:
        raise DragonError(f"{family(model)} models are not supported yet (only UNets are): {hint}")
    if model.model.model_type not in (comfy.model_base.ModelType.EPS, comfy.model_base.ModelType.V_PREDICTION):
        raise DragonError(f"{family(model)} predicts {model.model.model_type.name}, which is not supported yet: {hint}")
    if unet.in_channels != model.model.latent_format.latent_channels:
        raise DragonError(f"inpainting and edit models ({unet.in_channels} input channels) are not supported yet: {hint}")


def fingerprint(model: comfy.model_patcher.ModelPatcher) -> str:
    """Tells base checkpoints apart; LoRAs and other patches do not change it."""
    digest = hashlib.sha256(family(model).encode())
    for name in ("input_blocks.0.0.weight", "time_embed.0.weight"):
        key = f"diffusion_model.{name}"
        weight = model.backup[key].weight if key in model.backup else comfy.utils.get_attr(model.model, key)
        digest.update(weight.detach().float().cpu().flatten()[:4096].numpy().tobytes())
    return digest.hexdigest()


def tap_blocks(unet: openaimodel.UNetModel, count: int) -> tuple[int, ...]:
    """Output blocks whose input ``h`` is a tap: those right after the decoder's last ``count`` upsamplings, deep to shallow."""
    after = [i + 1 for i, block in enumerate(unet.output_blocks) if any(isinstance(layer, openaimodel.Upsample) for layer in block)]
    if len(after) < count:
        raise DragonError(f"this UNet's decoder has only {len(after)} upsampled stages, {count} are wanted: use fewer taps")
    return tuple(after[-count:])


def make_differentiable(unet: nn.Module) -> None:
    """Replace weights that were created in inference mode by equal ones that autograd accepts, one tensor at a time.

    ComfyUI loads checkpoints inside inference mode; such tensors can be used but not saved for a backward pass.
    """
    for module in unet.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_inference():
                setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_inference():
                setattr(module, name, buffer.clone())


def load_fully(executor: Callable[..., Any], model: comfy.model_patcher.ModelPatcher, *args: Any, **kwargs: Any) -> Any:
    """PREPARE_SAMPLING wrapper: asks for all weights on the device."""
    comfy.model_management.load_models_gpu([model], force_full_load=True)
    return executor(model, *args, **kwargs)


def require_loaded(model: comfy.model_patcher.ModelPatcher) -> None:
    """Raise unless all weights lie on the device: a backward pass through partially loaded ones could be silently wrong."""
    if getattr(model.model, "model_lowvram", False) or model.loaded_size() < model.model_size():
        missing = (model.model_size() - model.loaded_size()) / 2**20
        raise DragonError(
            f"the model does not fit into memory as a whole ({missing:.0f} MB are missing), which guidance needs: close other "
            "programs, use a smaller or fp16 checkpoint, or start ComfyUI without --lowvram and --novram"
        )


def resident(model: comfy.model_patcher.ModelPatcher) -> comfy.model_patcher.ModelPatcher:
    """A MODEL whose weights stay where they are between a forward and its backward pass.

    Newer releases page weights in and out while the model runs ("dynamic VRAM", their default on NVIDIA cards since spring 2026). For
    whatever cannot live with that, ComfyUI keeps a second patcher of the same checkpoint that loads as it used to.
    """
    pages = getattr(model, "is_dynamic", None)
    if pages is None or not pages():
        return model
    if model.cached_patcher_init is None:
        raise DragonError(
            "ComfyUI pages this model's weights in and out (dynamic VRAM), which guidance cannot work with, and the node that loaded "
            "it cannot load it otherwise: load it with CheckpointLoaderSimple or UNETLoader, or start ComfyUI with --disable-dynamic-vram"
        )
    return model.get_non_dynamic_delegate()


def _out_of_inference(value: Any) -> Any:
    """A copy of nested conditioning in which no tensor belongs to inference mode."""
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() else value
    if isinstance(value, dict):
        return {k: _out_of_inference(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_out_of_inference(v) for v in value)
    return value


# --- cross-branch attention ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """What one self-attention layer's keys and values are made from; two tensors only where another patch made them differ.

    grid: the (h, w) they lie on.
    """

    key: Tensor
    value: Tensor
    grid: tuple[int, int]


#: By output block and transformer block.
Layers = dict[tuple[int, int], Tokens]


@dataclass
class TokenExchange:
    """Self-attention tokens of the decoder during one evaluation: collected from the reference, or lent to the generation."""

    collected: Layers | None = None
    lent: Layers | None = None
    sharing: Sharing = field(default_factory=Sharing)


def patch_attention(model: comfy.model_patcher.ModelPatcher, sharing: Sharing) -> comfy.model_patcher.ModelPatcher:
    """A clone of the model whose decoder self-attention can be shared between the branches."""
    clone = model.clone()
    if SHARING not in clone.model_options["transformer_options"]:
        clone.set_model_attn1_patch(_exchange_tokens)
    clone.model_options["transformer_options"][SHARING] = sharing
    return clone


def _exchange_tokens(query: Tensor, key: Tensor, value: Tensor, options: Options) -> tuple[Tensor, Tensor, Tensor]:
    exchange: TokenExchange | None = options.get(STATE)
    if exchange is None:
        raise DragonError(
            "DragonCrossAttnPatch: this model works with DragonSampler or DragonGuider only; give other samplers the unpatched one"
        )
    block = options.get("block")
    if block is None or block[0] != "output":
        return query, key, value
    place = (block[1], options.get("block_index", 0))
    if exchange.collected is not None:
        height, width = options["activations_shape"][-2:]
        exchange.collected[place] = Tokens(key, value, (height, width))
    if exchange.lent is not None:
        shared, mode = exchange.lent[place], exchange.sharing.mode
        return query, merge_tokens(key, shared.key, mode), merge_tokens(value, shared.value, mode)
    return query, key, value


# --- evaluations -----------------------------------------------------------------------------------------------------


class DecoderTap:
    """Output-block patch that keeps ``h`` at the taps and ends the autograd graph at the last one."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        self.blocks = blocks
        self.features: list[Tensor] = []

    def __call__(self, h: Tensor, skip: Tensor, options: Options) -> tuple[Tensor, Tensor]:
        index = options["block"][1]
        if index in self.blocks:
            self.features.append(h)
        return (h, skip) if index < self.blocks[-1] else (h.detach(), skip.detach())

    def to_grid(self) -> Features:
        if len(self.features) != len(self.blocks):
            raise DragonError(
                "a patch that saves time (EasyCache, TeaCache, …) left out the UNet at this step: bypass it, guidance needs every step"
            )
        features = to_grid(tuple(self.features))
        self.features.clear()
        return features


@dataclass(frozen=True)
class Glance:
    """What one evaluation of a known picture yields: decoder tokens and, where it is to guide, features on the common grid."""

    features: Features
    tokens: Layers


@dataclass(frozen=True)
class Reference:
    """The known pictures at one step: the source and, where the edits take from it, the second picture.

    tokens: what the generation sees of them.
    """

    step: int
    source: Glance
    second: Glance | None
    tokens: Layers


@dataclass(frozen=True)
class EnergyReading:
    """Energies of one guided evaluation, for those who want to see why an edit failed: by picture, (B,)."""

    step: int
    sigma: float
    edit: Tensor
    content: Tensor
    relative_size: Tensor


@dataclass
class Run:
    """Everything that lives as long as one sampling run."""

    blocks: tuple[int, ...]
    layout: composition.Layout | None
    scale: GuidanceScale
    sharing: Sharing | None
    path: Tensor | None = None
    reference: Reference | None = None
    on_features: dict[tuple[int, int, int], composition.Layout] = field(default_factory=dict)
    visible: dict[tuple[tuple[int, int], tuple[int, int]], Visible] = field(default_factory=dict)
    readings: list[EnergyReading] = field(default_factory=list)
    slowed: bool = False

    def account(self, tally: Tally) -> None:
        """Says once a run that memory was short."""
        if tally.spilled and not self.slowed:
            self.slowed = True
            log.info(
                "Dragon: the GPU's memory is short: %.0f MiB of each guided step go to RAM and back, which takes time. A smaller picture "
                "or an fp16 checkpoint needs less.",
                tally.spilled / MIB,
            )


def with_patch(options: Options, exchange: TokenExchange | None, tap: DecoderTap | None) -> Options:
    """Model options of one evaluation: a copy that carries our state and tap."""
    mine = comfy.model_patcher.create_model_options_clone(options)
    transformer = mine.setdefault("transformer_options", {})
    if exchange is not None:
        transformer[STATE] = exchange
    if tap is not None:
        patches = transformer.setdefault("patches", {})
        patches["output_block_patch"] = [*patches.get("output_block_patch", []), tap]
    return mine


class DragonGuidance(comfy.samplers.CFGGuider):
    """A GUIDER that steers the generation branch. Works with DragonEuler exactly, with any other SAMPLER approximately.

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
    ) -> None:
        require_supported(model)
        trajectory = branch.trajectory
        if trajectory.model != fingerprint(model):
            raise DragonError(
                f"the trajectory was made with another model ({trajectory.family}), this one is {family(model)}: invert with "
                f"the model you sample with"
            )
        second = None if branch.reference is None else branch.reference.image_size
        edits = composition.fitted(edits, trajectory.image_size, trajectory.pixels_per_cell, second)
        super().__init__(resident(model) if strength > 0 and edits else model)
        self.branch = branch
        self.edits = edits
        self.pictures = branch.trajectories if any(edit.needs_reference for edit in edits) else (trajectory,)
        self.strength = strength if edits else 0.0
        self.schedule = schedule
        self.paper_scale = paper_scale
        self.draft = self._fitting(draft)
        self.run: Run | None = None
        self.known: list[list[Options]] = []
        self.readings: list[EnergyReading] = []

    def set_branch_conds(self, positive: Any, negative: Any) -> None:
        known = {REFERENCE + str(i): trajectory.source for i, trajectory in enumerate(self.pictures)}
        self.inner_set_conds({"positive": positive, "negative": negative, **known})

    # ComfyUI calls sample → outer_sample → inner_sample → SAMPLER → predict_noise.

    def sample(self, noise: Tensor, latent_image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        # Nodes run in inference mode, where nothing can be differentiated; the whole run leaves it.
        with torch.inference_mode(False), torch.no_grad():
            self.original_conds = {k: _out_of_inference(v) for k, v in self.original_conds.items()}
            args = tuple(_out_of_inference(a) for a in args)
            kwargs = {k: _out_of_inference(v) for k, v in kwargs.items()}
            return super().sample(noise.clone(), latent_image.clone(), *args, **kwargs)

    def outer_sample(self, *args: Any, **kwargs: Any) -> Tensor:
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
        trajectory = self.branch.trajectory
        if denoise_mask is not None:
            raise DragonError("noise masks are not supported: remove SetLatentNoiseMask; the edit keeps the rest by itself")
        if tuple(latent_image.shape[1:]) != tuple(trajectory.latents.shape[2:]):
            raise DragonError(
                f"the latent has shape {tuple(latent_image.shape)} but the trajectory {tuple(trajectory.latents.shape[1:])}: "
                "start from DragonInvert's start_latent"
            )
        if torch.count_nonzero(noise):
            raise DragonError("the start latent has the source's own noise, more of it would bury the picture: connect DisableNoise")
        grid, pictures = (latent_image.shape[-2], latent_image.shape[-1]), latent_image.shape[0]
        edits = tuple(edit.on(device, 1) for edit in self.edits)
        layout = composition.Layout.of(edits, grid) if edits else None
        for masks in {r.source.shape[0] for r in layout.own} if layout else ():
            if masks not in (1, pictures):
                raise DragonError(f"there are {masks} masks for {pictures} pictures: use one mask, or one for each picture")
        first, _ = trajectory.span(sigmas)
        if self.strength > 0:
            require_loaded(self.model_patcher)
            make_differentiable(self.inner_model.diffusion_model)
        self.run = Run(
            blocks=tap_blocks(self.inner_model.diffusion_model, self.branch.taps),
            layout=layout,
            scale=GuidanceScale(self.strength, self.paper_scale),
            sharing=self.model_options.get("transformer_options", {}).get(SHARING),
        )
        try:
            # Known pictures are replayed as they were inverted; processed beside the positive they would inherit that one's ControlNets.
            for i, known in enumerate(self.pictures):
                latent = known.latents[-1].to(latent_image)
                shapes = {"latent_shapes": [latent.shape]} if "latent_shapes" in kwargs else {}
                conds = {"positive": self.conds.pop(REFERENCE + str(i))}
                conds = comfy.samplers.process_conds(self.inner_model, torch.zeros_like(latent), conds, device, latent, **shapes)
                self.known.append(conds["positive"])
            if self.edits:
                seed = kwargs.get("seed", args[2] if len(args) > 2 else None)
                self.run.path = self._edited_path(seed or 0)
                if first == 0:
                    latent_image = self.inner_model.process_latent_out(self.run.path[0].to(latent_image))
            return super().inner_sample(noise, latent_image, device, sampler, sigmas, denoise_mask, *args, **kwargs)
        finally:
            self.conds |= {REFERENCE + str(i): conds for i, conds in enumerate(self.known)}  # for ComfyUI's clean-up
            self.known = []
            self.readings = self.run.readings
            self.run = None

    def _edited_path(self, seed: int) -> Tensor:
        """The trajectory with the edits made at every level, in the model's scale: (T + 1, B, C, h, w)."""
        trajectory = self.branch.trajectory
        noise = unit_noise(trajectory.latents.shape[1:], seed, step=-1, draw=0)
        second = self.pictures[1].latents if len(self.pictures) > 1 else None
        draft = None if self.draft is None else self.inner_model.process_latent_in(self.draft)
        return composition.edited_path(self.edits, trajectory.latents, trajectory.sigmas, noise, second, draft)

    def _fitting(self, draft: Tensor | None) -> Tensor | None:
        """The draft's latent outside of inference mode, if it is one of the trajectory's picture."""
        if draft is None:
            return None
        wanted = self.branch.trajectory.latents.shape[1:]
        if draft.shape[1:] != wanted[1:] or draft.shape[0] not in (1, wanted[0]):
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
        return composition.changed_mask(tuple(edit.on(torch.device("cpu"), 1) for edit in self.edits), size, CHANGED_MARGIN * cell // 2)

    def predict_noise(self, x: Tensor, timestep: Tensor, model_options: Options | None = None, seed: int | None = None) -> Tensor:
        """The denoised latent for samplers that know nothing of us: guidance is folded in."""
        sigma = timestep.flatten()[0]
        step, steps = self.branch.trajectory.index(float(sigma)), self.branch.trajectory.steps
        p = self.predict(x, step, sigma, self.schedule.guided(step, steps), model_options or {}, seed)
        denoised = x - p.eps * sigma if p.denoised is None else p.denoised
        return denoised if p.guidance is None else denoised - sigma * p.guidance

    def predict(self, x: Tensor, step: int, sigma: Tensor, guided: bool, options: Options, seed: int | None) -> HostPrediction:
        """One step's prediction, evaluating no more rows than it needs."""
        run = self.running()
        steps = self.branch.trajectory.steps
        guided = guided and self.strength > 0
        share = run.sharing is not None and run.sharing.window.contains(step, steps)
        timestep = sigma.reshape(1).expand(x.shape[0])
        reference = self._reference(step, timestep, options, guided) if guided or share else None
        exchange = None
        if run.sharing is not None:
            exchange = TokenExchange(lent=reference.tokens if share and reference else None, sharing=run.sharing)
        mine = with_patch(options, exchange, None)
        if not guided or reference is None or run.layout is None:
            denoised = super().predict_noise(x, timestep, mine, seed)
            eps = (x - denoised) / sigma
            return HostPrediction(eps, eps, None, denoised)
        split = GuidedEvaluation(self, run, reference, x, sigma, mine.get("sampler_calc_cond_batch_function"))
        mine["sampler_calc_cond_batch_function"] = split
        denoised = super().predict_noise(x, timestep, mine, seed)
        eps = (x - denoised) / sigma
        gradient = split.gradient()
        guidance = run.scale(gradient, eps, run.layout.touched, split.reach(gradient))
        run.readings.append(split.reading(step, guidance, eps))
        return HostPrediction(eps, (x - split.positive) / sigma, guidance, denoised)

    def running(self) -> Run:
        if self.run is None:
            raise DragonError("the guider was asked for a prediction outside of sampling")
        return self.run

    def _reference(self, step: int, timestep: Tensor, options: Options, guided: bool) -> Reference:
        """Tokens and, for guidance, features of the known pictures at this step, from one evaluation each; kept for its repeats."""
        run = self.running()
        if run.reference is None or run.reference.step != step or (guided and not run.reference.source.features):
            source, *others = (self._glance(i, step, timestep, options, guided) for i in range(len(self.known)))
            second = others[0] if others else None
            run.reference = Reference(step, source, second, self._seen(source, second))
        return run.reference

    def _seen(self, source: Glance, second: Glance | None) -> Layers:
        """The source's tokens; where edits take from the second picture, those outside the edits and those that are taken."""
        run = self.running()
        takers = borrowers(run.layout.edits) if run.layout else ()
        if second is None or not takers:
            return source.tokens
        seen: Layers = {}
        for place, own in source.tokens.items():
            other = second.tokens[place]
            visible = run.visible.get((own.grid, other.grid)) or Visible.of(*composition.borrowed(takers, own.grid, other.grid))
            run.visible[own.grid, other.grid] = visible
            seen[place] = Tokens(visible.of_two(own.key, other.key), visible.of_two(own.value, other.value), own.grid)
        return seen

    def _glance(self, index: int, step: int, timestep: Tensor, options: Options, guided: bool) -> Glance:
        """One evaluation of the source (0) or the second picture (1) at a step of its trajectory."""
        run = self.running()
        x = self.pictures[index].latents[step].to(timestep.device, torch.float32)
        x = x if x.shape[0] == timestep.shape[0] else x.expand(timestep.shape[0], *x.shape[1:])
        # One prompt is enough to look at the picture with: the first of the whole picture that is on at this noise level.
        whole = (cond for cond in self.known[index] if "area" not in cond)
        conditioning = next((cond for cond in whole if comfy.samplers.get_area_and_mult(cond, x, timestep) is not None), None)
        if conditioning is None:
            raise DragonError(
                "at this step the inversion has no prompt for the whole picture (timestep ranges, ConditioningSetArea): invert with one"
            )
        tap = DecoderTap(run.blocks) if guided else None
        tokens: Layers = {}
        mine = with_patch(options, TokenExchange(collected=tokens) if run.sharing is not None else None, tap)
        comfy.samplers.calc_cond_batch(self.inner_model, [[conditioning]], x, timestep, mine)
        return Glance(tap.to_grid() if tap else (), tokens)


@dataclass(frozen=True)
class HostPrediction(Prediction):
    """A prediction that also remembers the denoised latent as ComfyUI computed it, bit for bit."""

    denoised: Tensor | None = None


class ForeignTensors(TorchFunctionMode):
    """Other packs' patches may bring tensors of inference mode (an IP-Adapter's weights), which autograd cannot save: copies can be."""

    @override
    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") == "__get__":
            return function(*args)
        return function(*(_out_of_inference(a) for a in args), **{k: _out_of_inference(v) for k, v in (kwargs or {}).items()})


@contextmanager
def differentiable(others: bool) -> Iterator[None]:
    """Gradients on. ``others``: ControlNets or patches of other packs act on the way, which may write in place (FreeU does)."""
    with torch.enable_grad(), ForeignTensors(), ExitStack() as stack:
        if others:  # costs up to half as much again as the evaluation itself
            stack.enter_context(torch.autograd.graph.allow_mutation_on_saved_tensors())
        yield


def differentiable_attention(theirs: Callable[..., Tensor] | None) -> Callable[..., Tensor]:
    """ComfyUI's `optimized_attention_override` for an evaluation that is differentiated: PyTorch's attention instead of the chosen kernel.

    Others have no backward pass and either raise (FlashAttention, sub-quadratic attention) or cut the graph unseen (SageAttention).
    ``theirs``: another pack's override, which keeps its way as long as the gradient comes through.
    """

    def attend(chosen: Callable[..., Tensor], query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if theirs is not None:
            attended = theirs(attention_pytorch, query, *args, **kwargs)
            if attended.requires_grad or not query.requires_grad:
                return attended
        return attention_pytorch(query, *args, **kwargs)

    return attend


def others_act(conditioning: list[Options], options: Options) -> bool:
    """Whether anything but ComfyUI's plain UNet and this pack takes part in an evaluation."""
    patches = options.get("patches", {}).values()
    foreign = any(patch is not _exchange_tokens for group in patches for patch in group)
    brought = any(each.get(kind) for each in conditioning for kind in ("control", "gligen", "hooks"))
    return foreign or brought or bool(options.get("patches_replace"))


@dataclass(frozen=True)
class Row:
    """What one positive conditioning says: the gradient (B, C, h, w), energies (B,) and its share of the prediction, as its gradient."""

    share: Tensor
    gradient: Tensor
    edit: Tensor
    content: Tensor
    left: Tensor


class GuidedEvaluation:
    """Stands where ComfyUI evaluates its conditionings: the negative as ever, the positive with a gradient."""

    def __init__(
        self, guider: DragonGuidance, run: Run, reference: Reference, x: Tensor, sigma: Tensor, inner: Callable[[Options], Any] | None
    ) -> None:
        if run.layout is None:
            raise DragonError("there is no energy to guide with")
        self.guider, self.run, self.reference, self.inner = guider, run, reference, inner
        self.layout = run.layout
        self.batch, self.sigma = x.shape[0], float(sigma)
        self.grid = tuple(x.shape[-2:])
        self.tap = DecoderTap(run.blocks)
        self.shares: dict[Any, Tensor] = {}
        self.rows: list[Row] = []
        self.positive = x
        self.others = False
        self.pulls = True

    def __call__(self, args: Options) -> list[Tensor]:
        positive, negative = args["conds"]
        for each in positive:
            active = comfy.samplers.get_area_and_mult(each, args["input"], args["sigma"])
            if active is not None:
                self.shares[active.uuid] = active.mult
        if not self.shares:
            raise DragonError(
                "the positive conditioning is switched off at this step (its timestep range): guidance needs it at every step"
            )
        self.others = others_act(positive, args["model_options"].get("transformer_options", {}))
        tapped = with_patch(args["model_options"], None, self.tap)
        transformer = tapped["transformer_options"]
        transformer[ATTENTION] = differentiable_attention(transformer.get(ATTENTION))
        wrappers = transformer.setdefault("wrappers", {})
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        wrappers[kind] = {STATE: [self._differentiate], **wrappers.get(kind, {})}
        self.positive = self._evaluate(args, [positive, None], tapped)[0]
        if negative is None:
            return [self.positive, torch.zeros_like(self.positive)]
        return [self.positive, self._evaluate(args, [None, negative], args["model_options"])[1]]

    def _evaluate(self, args: Options, conds: list[Any], options: Options) -> list[Tensor]:
        if self.inner is not None:
            return self.inner({**args, "conds": conds, "model_options": options})
        return comfy.samplers.calc_cond_batch(args["model"], conds, args["input"], args["sigma"], options)

    def _differentiate(self, executor: Callable[..., Tensor], z: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """DIFFUSION_MODEL wrapper: the model's input is z = x / sqrt(1 + sigma²), the variable the paper differentiates by."""
        if tuple(z.shape[-2:]) != self.grid:
            raise DragonError(
                "conditioning with an area (ConditioningSetArea) is not supported in guided edits: use a plain positive prompt"
            )
        transformer = args[-1] if args and isinstance(args[-1], dict) else kwargs["transformer_options"]
        shares = [self.shares[uuid] for uuid in transformer["uuids"]]
        # Where others act, autograd must keep the tensors themselves to see who writes into them: the inner context has its way.
        with spilling(self.guider.inner_model.diffusion_model, z.device) as tally, differentiable(self.others):
            z = z.detach().requires_grad_(True)
            out = executor(z, *args, **kwargs)
            views = self._views(self.tap.to_grid(), len(shares))
            energies = composition.evaluate(self._laid_out(views.generation, len(shares)), views)
            mask = self.layout.edit_mask
            mask = mask if mask.shape[0] == 1 else mask.repeat(len(shares), 1, 1)
            gradient = masked_gradient(z, energies, mask, views.generation)
        self.run.account(tally)
        self.pulls = energies.edit.requires_grad
        said = (gradient, energies.edit, energies.content, energies.left)
        parts = (part.detach().unflatten(0, (len(shares), self.batch)) for part in said)
        self.rows += [Row(*row) for row in zip(shares, *parts, strict=True)]
        return out.detach()

    def _views(self, generation: Features, repeats: int) -> Views:
        def repeated(known: Glance) -> Features:
            return tuple(f.repeat(repeats, 1, 1, 1) for f in known.features)

        second = self.reference.second
        return Views(generation, repeated(self.reference.source), None if second is None else repeated(second))

    def _laid_out(self, features: Features, repeats: int) -> composition.Layout:
        """The edits on the grid of the features; worked out once for each size (a patch may change it on the way) and number of rows."""
        height, width = features[0].shape[-2:]
        place = (height, width, repeats)
        if place not in self.run.on_features:
            edits = tuple(edit.on(features[0].device, repeats) for edit in self.guider.edits)
            self.run.on_features[place] = composition.Layout.of(edits, (height, width))
        return self.run.on_features[place]

    def gradient(self) -> Tensor:
        """Of all positive conditionings (B, C, h, w), each with its strength and mask, as ComfyUI adds up their predictions."""
        if len(self.rows) == 1:
            return self.rows[0].gradient
        total = torch.stack([row.share for row in self.rows]).sum(0)
        return torch.stack([row.share * row.gradient for row in self.rows]).sum(0) / total.clamp(min=SMALLEST_SHARE)

    def _mean(self, values: Callable[[Row], Tensor]) -> Tensor:
        """A mean over the conditionings, (B,)."""
        if len(self.rows) == 1:
            return values(self.rows[0])
        shares = torch.stack([row.share.flatten(1).mean(1) for row in self.rows])
        return (shares * torch.stack([values(row) for row in self.rows])).sum(0) / shares.sum(0).clamp(min=SMALLEST_SHARE)

    def reach(self, gradient: Tensor) -> Tensor | None:
        """How far the guidance may go where no edit pulls at anything; None where one does."""
        return None if self.pulls else reach(gradient, self._mean(lambda row: row.left), self.sigma)

    def reading(self, step: int, guidance: Tensor, eps: Tensor) -> EnergyReading:
        size = guidance.flatten(1).norm(dim=1) / eps.flatten(1).norm(dim=1)
        edit, content = self._mean(lambda row: row.edit), self._mean(lambda row: row.content)
        return EnergyReading(step, self.sigma, edit.cpu(), content.cpu(), size.cpu())


# --- samplers --------------------------------------------------------------------------------------------------------


class DragonEuler(comfy.samplers.Sampler):
    """The edit loop as a SAMPLER: DDIM with guidance in x0 only, time travel and regional SDE."""

    def __init__(self, schedule: EditSchedule, hold_background: float = 0.0, hold_object_until: float = 0.0) -> None:
        self.schedule = schedule
        self.hold_background = hold_background
        self.hold_object_until = hold_object_until

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: Options,
        callback: Callable[..., None] | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        if not isinstance(model_wrap, DragonGuidance):
            raise DragonError("DragonEulerSampler: works with DragonGuider's guider only; use the euler sampler with other guiders")
        guider, steps = model_wrap, len(sigmas) - 1
        run = guider.running()
        sampling = guider.inner_model.model_sampling
        x = sampling.noise_scaling(sigmas[0], noise, latent_image, self.max_denoise(model_wrap, sigmas))
        options, seed = extra_args.get("model_options", {}), extra_args.get("seed")
        trajectory = guider.branch.trajectory
        span = trajectory.span(sigmas)
        # On its way through ComfyUI's scale the start was rounded; a recorded picture is only repeated from the very one.
        known = (trajectory.latents if run.path is None else run.path)[span[0]].to(x)
        if known.shape == x.shape and torch.allclose(x, known, rtol=1e-5, atol=1e-6):
            x = known

        def predict(x: Tensor, step: int, sigma: Tensor, guided: bool) -> Prediction:
            return guider.predict(x, step, sigma, guided, options, seed)

        def on_step(step: int, x0: Tensor, x: Tensor) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            if callback is not None:
                callback(step - span[0], x0, x, steps)

        windows = replace(self.schedule, dense=guider.schedule.dense, sparse=guider.schedule.sparse)
        region, hold = None, None
        if run.layout is not None and run.path is not None:
            region, free = run.layout.touched, grown(run.layout.unled, HOLD_MARGIN)
            outside = self.hold_background * (1 - grown(region, HOLD_MARGIN))
            lead = self.hold_object_until if any(edit.leads for edit in guider.edits) else 0.0
            hold = Hold(run.path, outside, Window(0.0, lead), free)
        # Windows are shares of the whole schedule, also when SIGMAS are a part of it.
        x = run_edit(x, trajectory.sigmas.to(sigmas), predict, windows, region, seed or 0, on_step, hold, span)
        return sampling.inverse_noise_scaling(sigmas[-1], x)


class InversionSampler(comfy.samplers.Sampler):
    """DDIM inversion as a SAMPLER, so that loading, conditioning, hooks, progress and previews are ComfyUI's own."""

    def __init__(self, refinement: int) -> None:
        self.refinement = refinement
        self.path: Tensor | None = None

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: Options,
        callback: Callable[..., None] | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        if latent_image is None:
            raise DragonError("DragonInvert: there is no latent to invert")
        seen = latent_image

        def eps(x: Tensor, sigma: Tensor) -> Tensor:
            nonlocal seen
            seen = model_wrap(x, sigma.reshape(1).expand(x.shape[0]), **extra_args)
            return (x - seen) / sigma

        def progress(done: int) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            if callback is not None:
                callback(done - 1, seen, seen, len(sigmas) - 1)

        self.path = invert(latent_image, sigmas, eps, self.refinement, progress)
        return self.path[0]


def invert_latent(
    model: comfy.model_patcher.ModelPatcher,
    positive: Any,
    latent: Tensor,
    sigmas: Tensor,
    refinement: int,
    callback: Callable[..., None] | None,
) -> tuple[Trajectory, Tensor]:
    """Trajectory of a clean latent (B, C, h, w) in ComfyUI's scale, and the start latent in that scale."""
    require_supported(model)
    if not torch.isfinite(latent).all():
        raise DragonError("the latent has values that are not numbers: check the image and the VAE (try another VAE precision)")
    plain = model.clone()
    options = plain.model_options.get("transformer_options", {})
    if SHARING in options:
        raise DragonError("invert with the unpatched model: connect DragonCrossAttnPatch's model to the sampler only")
    guider = comfy.samplers.CFGGuider(plain)
    guider.inner_set_conds({"positive": positive})
    guider.set_cfg(1.0)
    sampler = InversionSampler(refinement)
    start = guider.sample(torch.zeros_like(latent), latent, sampler, sigmas, callback=callback, seed=0)
    if sampler.path is None or not torch.isfinite(sampler.path).all():
        raise DragonError("inversion diverged to values that are not numbers: use more steps or another precision")
    ratio = getattr(model.model.latent_format, "spacial_downscale_ratio", 8)
    path = sampler.path.to("cpu", torch.float32)
    # Exactly what any sampler makes of start_latent, so that all of them begin alike.
    path[0] = model.model.process_latent_in(start.cpu().float())
    return Trajectory(path, sigmas.cpu().clone(), positive, fingerprint(model), family(model), ratio), start.cpu()


def schedule_sigmas(model: comfy.model_patcher.ModelPatcher, scheduler: str, steps: int) -> Tensor:
    """(steps + 1,) noise levels of one of ComfyUI's schedulers."""
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, steps).cpu()
    if len(sigmas) != steps + 1:
        raise DragonError(f"the scheduler {scheduler} gives {len(sigmas) - 1} steps instead of {steps}: choose another one, such as normal")
    return sigmas


def run_sampling(
    guider: DragonGuidance, positive: Any, negative: Any, cfg: float, sampler: DragonEuler, seed: int, callback: Callable[..., None] | None
) -> Tensor:
    """The edit from the trajectory's start: latent (B, C, h, w) in ComfyUI's scale, on the CPU."""
    guider.set_branch_conds(positive, negative)
    guider.set_cfg(cfg)
    trajectory = guider.branch.trajectory
    start = guider.model_patcher.model.process_latent_out(trajectory.latents[0].clone())
    result = guider.sample(torch.zeros_like(start), start, sampler, trajectory.sigmas.clone(), callback=callback, seed=seed)
    if not torch.isfinite(result).all():
        raise DragonError("the edit ended in values that are not numbers: lower energy_scale, or use an fp32 or bf16 model")
    return result.cpu()
