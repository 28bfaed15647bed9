"""One step's evaluations: the decoder tapped, and the positive conditioning differentiated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import comfy.model_patcher
import comfy.patcher_extension
import comfy.samplers
import torch
from torch import Tensor, nn

from ...dragon_core.diffusion.convention import OURS, Convention
from ...dragon_core.diffusion.features import Features, Views
from ...dragon_core.diffusion.guidance import masked_gradient, polyak_step
from ...dragon_core.diffusion.noise_model import NoiseModel
from ...dragon_core.edits import chain
from ...dragon_core.errors import DragonError
from .backbones.base import Tokens
from .gradients import ATTENTION, differentiable, differentiable_attention
from .memory import offload_for
from .run import BranchOutputs, BranchStep, EnergyReading, Run
from .tokens import STATE, Enough, TokenExchange, exchange_tokens

#: Keeps sums of shares from zero where every conditioning's mask is; what is divided is zero there, too.
SMALLEST_SHARE = 1e-6

Options = dict[str, Any]


def not_whole(prompts: Mapping[str, Sequence[Options]]) -> str:
    """Why the model is asked for a part of the latent: what the conditionings, by name, say of areas; or what else does that.

    ComfyUI gives an area of the one prompt to a copy of the other, so either may be the cause.
    """
    makers = {
        "ConditioningSetArea": lambda cond: "area" in cond,
        'ConditioningSetMask with "mask bounds"': lambda cond: "mask" in cond and cond.get("set_area_to_bounds", False),
    }
    found = [
        f"the {name} prompt has an area ({maker})"
        for name in ("positive", "negative")
        for maker, made in makers.items()
        if any(made(cond) for cond in prompts.get(name, ()))
    ]
    if not found:
        return (
            "the model looks at this step's latent in parts (context windows, tiled sampling), which is not supported in guided edits: "
            "bypass what does that"
        )
    return f"{' and '.join(found)}, which is not supported in guided edits: use a plain prompt there"


class DecoderTap:
    """Output-block patch that keeps ``h`` at the taps and ends the autograd graph at the last one.

    ends: the evaluation ends there, too: nothing but features is wanted of it.
    """

    def __init__(self, blocks: tuple[int, ...], convention: Convention = OURS, ends: bool = False) -> None:
        self.blocks, self.convention, self.ends = blocks, convention, ends
        self.features: list[Tensor] = []

    def __call__(self, h: Tensor, skip: Tensor, options: Options) -> tuple[Tensor, Tensor]:
        index = options["block"][1]
        if index in self.blocks:
            self.features.append(h)
            if self.ends and index == self.blocks[-1]:
                raise Enough
        return (h, skip) if index < self.blocks[-1] else (h.detach(), skip.detach())

    def to_grid(self) -> Features:
        if len(self.features) > len(self.blocks):
            raise DragonError(
                "the model looks at this step's latent in several parts (context windows, tiled sampling): bypass what does that, guidance "
                "needs it whole"
            )
        if len(self.features) < len(self.blocks):
            raise DragonError(
                "a patch that saves time (EasyCache, TeaCache, …) left out the UNet at this step: bypass it, guidance needs every step"
            )
        features = self.convention.brought_to_grid(tuple(self.features))
        self.features.clear()
        return features


def until_enough(executor: Callable[..., Tensor], z: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """DIFFUSION_MODEL wrapper of an evaluation that may end early: what comes out of it then means nothing."""
    try:
        return executor(z, *args, **kwargs)
    except Enough:
        return torch.zeros_like(z)


def wrap(options: Options, wrapper: Callable[..., Tensor]) -> None:
    """Put a DIFFUSION_MODEL wrapper round all others of one evaluation's own options."""
    wrappers = options["transformer_options"].setdefault("wrappers", {})
    kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
    wrappers[kind] = {STATE: [wrapper], **wrappers.get(kind, {})}


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


@contextmanager
def seeing(run: Run, options: Options, latent: Tensor, tokens: Tokens | None) -> Iterator[Options]:
    """Model options of one evaluation of ``latent`` that sees ``tokens`` of the known pictures, or with None nothing but itself."""
    mine = with_patch(options, None, None)
    with nullcontext(mine) if run.attention is None else run.attention.sharing(mine, latent, tokens) as shared:
        yield shared


def others_act(conditioning: list[Options], options: Options) -> bool:
    """Whether anything but ComfyUI's plain UNet and this pack takes part in an evaluation."""
    patches = options.get("patches", {}).values()
    others = any(patch is not exchange_tokens for group in patches for patch in group)
    brought = any(each.get(kind) for each in conditioning for kind in ("control", "gligen", "hooks"))
    return others or brought or bool(options.get("patches_replace"))


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
        self,
        unet: nn.Module,
        run: Run,
        branch_step: BranchStep,
        x: Tensor,
        sigma: Tensor,
        noise_model: NoiseModel,
        inner: Callable[[Options], Any] | None,
        prompts: Mapping[str, Sequence[Options]],
    ) -> None:
        if run.layout is None:
            raise DragonError("there is no energy to guide with")
        self.unet, self.run, self.branch_step, self.inner = unet, run, branch_step, inner
        self.layout, self.prompts = run.layout, prompts
        # What is compared is seen by an evaluation of its own, where the one for the prediction shares attention.
        self.plain = run.convention.plain_features and bool(branch_step.tokens)
        self.batch, self.sigma, self.noise_model = x.shape[0], float(sigma), noise_model
        self.to_z = noise_model.gradient_scale(sigma).float()
        self.grid = tuple(x.shape[-2:])
        self.tap = DecoderTap(run.blocks, run.convention, ends=self.plain)
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
        tapped = with_patch(args["model_options"], TokenExchange() if self.plain else None, self.tap)
        transformer = tapped["transformer_options"]
        transformer[ATTENTION] = differentiable_attention(transformer.get(ATTENTION))
        wrap(tapped, self._differentiate)
        self.positive = self._evaluate(args, [positive, None], tapped)[0]
        if self.plain:
            both = self._evaluate(args, [positive, negative], args["model_options"])
            self.positive = both[0]
            return both
        if negative is None:
            return [self.positive, torch.zeros_like(self.positive)]
        return [self.positive, self._evaluate(args, [None, negative], args["model_options"])[1]]

    def _evaluate(self, args: Options, conds: list[Any], options: Options) -> list[Tensor]:
        if self.inner is not None:
            return self.inner({**args, "conds": conds, "model_options": options})
        return comfy.samplers.calc_cond_batch(args["model"], conds, args["input"], args["sigma"], options)

    def _differentiate(self, executor: Callable[..., Tensor], z: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """DIFFUSION_MODEL wrapper: ``z``, the model's input, is the variable the paper differentiates by, or goes along with it."""
        if tuple(z.shape[-2:]) != self.grid:
            raise DragonError(not_whole(self.prompts))
        transformer = args[-1] if args and isinstance(args[-1], dict) else kwargs["transformer_options"]
        shares = [self.shares[uuid] for uuid in transformer["uuids"]]
        offload = offload_for(self.unet, z.device)
        with differentiable(self.others, offload):
            z = z.detach().requires_grad_(True)
            out = until_enough(executor, z, *args, **kwargs)
            views = self._views(self.tap.to_grid(), len(shares))
            energies = chain.evaluate(self._laid_out(views.generation, len(shares)), views)
            mask = self.layout.edit_mask
            mask = mask if mask.shape[0] == 1 else mask.repeat(len(shares), 1, 1)
            gradient = self.to_z * masked_gradient(z, energies, mask, views.generation)
        if offload is not None:
            self.run.account(offload.tally)
        self.pulls = energies.edit.requires_grad
        said = (gradient, energies.edit, energies.content, energies.left)
        parts = (part.detach().unflatten(0, (len(shares), self.batch)) for part in said)
        self.rows += [Row(*row) for row in zip(shares, *parts, strict=True)]
        return out.detach()

    def _views(self, generation: Features, repeats: int) -> Views:
        def repeated(known: BranchOutputs) -> Features:
            return tuple(f.repeat(repeats, 1, 1, 1) for f in known.features)

        reference = self.branch_step.reference
        return Views(generation, repeated(self.branch_step.source), None if reference is None else repeated(reference))

    def _laid_out(self, features: Features, repeats: int) -> chain.Layout:
        """The edits on the grid of the features; worked out once for each size (a patch may change it on the way) and number of rows."""
        height, width = self.run.convention.grid(features)
        place = (height, width, repeats)
        if place not in self.run.on_features:
            edits = tuple(edit.on(features[0].device, repeats) for edit in self.layout.edits)
            self.run.on_features[place] = chain.Layout.of(edits, (height, width))
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

    def polyak_step(self, gradient: Tensor) -> Tensor | None:
        """How far the guidance may go where no edit pulls at anything; None where one does."""
        return None if self.pulls else polyak_step(gradient, self._mean(lambda row: row.left), self.sigma, self.noise_model)

    def reading(self, step: int, guidance: Tensor, eps: Tensor) -> EnergyReading:
        size = guidance.flatten(1).norm(dim=1) / eps.flatten(1).norm(dim=1)
        edit, content = self._mean(lambda row: row.edit), self._mean(lambda row: row.content)
        steps = 0 if self.run.path is None else len(self.run.path) - 1
        return EnergyReading(step, steps, self.sigma, edit.cpu(), content.cpu(), size.cpu())
