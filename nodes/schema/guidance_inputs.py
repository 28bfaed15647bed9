"""Inputs that DragonSampler, DragonGuider and DragonEulerSampler have in common."""

from __future__ import annotations

from typing import Literal

from comfy_api.latest import io

from ...dragon_core.diffusion.schedule import EditSchedule, Window
from .links import BranchLink, EnergyLink, advanced

#: The paper's windows; where ours differ, the benchmark on the bundled model chose (docs/ablation.md).
DEFAULT = EditSchedule()
ENERGY_SCALE = 0.0
HOLD_OBJECT_UNTIL = 0.7
OPENS_AT = 5.0
RESIDUAL = 1.0

#: What energy_scale is measured in.
ScaleUnit = Literal["relative", "paper"]


def branch_inputs() -> list[io.Input]:
    """The links that every guided edit needs."""
    return [
        io.Model.Input("model", tooltip="The model, through DragonCrossAttnPatch to share keys and values (recommended)."),
        io.Conditioning.Input("positive", tooltip="What the edited picture shows; usually the prompt used for the inversion."),
        io.Conditioning.Input("negative", tooltip="What it should not show; may be empty."),
        BranchLink.Input("branch", tooltip="From DragonGuidanceBranch."),
    ]


def strength_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "cfg", default=1.0, min=0.0, max=30.0, step=0.1, tooltip="Classifier-free guidance of the edit. Low keeps the picture truer."
        ),
        io.Float.Input(
            "energy_scale",
            default=ENERGY_SCALE,
            min=0.0,
            max=100.0,
            step=0.01,
            tooltip=(
                "How strongly the energies' gradients pull. 0: not at all, the edit is made by its draft, path and shared keys and "
                "values, in half the time and without the memory of a backward pass. relative: 1 starts out as strong as the model's "
                "own prediction in the edited region; try 0.1 to 0.3."
            ),
        ),
        advanced(
            io.Combo.Input(
                "scale_unit",
                options=["relative", "paper"],
                default="relative",
                tooltip=(
                    "relative: the same number means the same nudge for every model and size. paper: the authors' fixed "
                    "constant for each task (try 0.5 for moving)."
                ),
            )
        ),
        advanced(_fraction("guide_every_until", 1.0, "Guidance acts on every step up to here, as a share of the schedule.")),
        advanced(_fraction("guide_until", 1.0, "After that it acts on every other step up to here.")),
    ]


def energy_input() -> io.Input:
    return EnergyLink.Input(
        "energy", optional=True, tooltip="From an energy node such as DragonMoveLoss; without one the source picture comes back."
    )


def draft_input() -> io.Input:
    return io.Latent.Input(
        "draft",
        optional=True,
        tooltip=(
            "Dragon Draft's picture through VAEEncode: the edit starts from it, which keeps the object sharper than moving the latent's "
            "cells can."
        ),
    )


def residual_input() -> io.Input:
    return advanced(
        io.Float.Input(
            "residual",
            default=RESIDUAL,
            min=0.0,
            max=1.0,
            step=0.01,
            optional=True,
            tooltip=(
                "What the model does not know of the picture, which is taken along with the edit: 1 all of it, 0 nothing. Lower it where "
                "an object keeps a light that does not suit its new place. Only where DragonInvert renoised the picture."
            ),
        )
    )


def stochastic_inputs() -> list[io.Input]:
    """DiffEditor's time travel and regional SDE."""
    return [
        advanced(
            io.Int.Input(
                "travel_passes",
                default=DEFAULT.travel_passes,
                min=1,
                max=10,
                tooltip=(
                    "Time travel: how often each guided step between travel_start and travel_end is made. 1 is off, 3 the authors' choice."
                ),
            )
        ),
        advanced(_fraction("travel_start", DEFAULT.travel.start, "Time travel starts here, as a share of the schedule.")),
        advanced(_fraction("travel_end", DEFAULT.travel.end, "Time travel ends here.")),
        advanced(
            _fraction("sde_strength", DEFAULT.sde_inside, "Fresh noise inside the edited region (regional SDE); the authors use 0.4.")
        ),
        advanced(_fraction("sde_outside", DEFAULT.sde_outside, "Fresh noise elsewhere; keep 0 to leave the rest untouched.")),
        advanced(_fraction("sde_start", DEFAULT.sde.start, "Regional SDE starts here, as a share of the schedule.")),
        advanced(_fraction("sde_end", DEFAULT.sde.end, "Regional SDE ends here.")),
        advanced(
            _fraction(
                "hold_background",
                1.0,
                "Puts everything outside the edit back on the source's trajectory after each step; 0 is off (the paper).",
            )
        ),
        _fraction(
            "hold_object_until",
            HOLD_OBJECT_UNTIL,
            (
                "Up to here, as a share of the steps, the object follows its own moved trajectory; then it is free to settle in. Lower it "
                "where it looks pasted on. 0 is off (the paper); below 1, at least the last step is free."
            ),
        ),
    ]


def openness_inputs() -> list[io.Input]:
    """What lets the model answer to the edit."""
    return [
        advanced(
            io.Boolean.Input(
                "fresh_noise",
                default=True,
                optional=True,
                tooltip=(
                    "Each step sees the picture under another noise, so that light and shadow follow the edit and accidents of one noise "
                    "do not. Only where DragonInvert renoised the picture; regional SDE then has nothing to add."
                ),
            )
        ),
        advanced(
            io.Float.Input(
                "open_background",
                default=OPENS_AT,
                min=0.0,
                max=100.0,
                step=0.5,
                optional=True,
                tooltip=(
                    "The held background opens where the model changes it this many times more than it changes the rest: shadows and "
                    "reflections that go with the object. Lower opens more; 0 keeps it shut."
                ),
            )
        ),
    ]


def stochastic_schedule(
    travel_passes: int, travel_start: float, travel_end: float, sde_strength: float, sde_outside: float, sde_start: float, sde_end: float
) -> EditSchedule:
    """What the widgets of :func:`stochastic_inputs` say; the guidance windows are the guider's."""
    return EditSchedule(
        travel=Window(travel_start, travel_end),
        travel_passes=travel_passes,
        sde=Window(sde_start, sde_end),
        sde_inside=sde_strength,
        sde_outside=sde_outside,
    )


def guidance_windows(guide_every_until: float, guide_until: float) -> EditSchedule:
    return EditSchedule(dense=Window(0.0, guide_every_until), sparse=Window(guide_every_until, max(guide_every_until, guide_until)))


def _fraction(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip)
