"""Named sets of the sampler's advanced settings: what was measured here, and what the papers' authors use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from comfy_api.latest import io

from ...dragon_core.diffusion.convention import AUTHORS, OURS, Convention
from ...dragon_core.diffusion.loop import Hold
from ...dragon_core.diffusion.schedule import EditSchedule
from ...dragon_core.errors import DragonError
from .guidance_inputs import OPENS_AT, RESIDUAL, ScaleUnit, guidance_windows, stochastic_schedule
from .links import advanced

#: What the preset widget offers first: nothing is overruled.
WIDGETS = "as set here"


@dataclass(frozen=True)
class Settings:
    """DragonSampler's advanced widgets, under their own names; the defaults are the authors' (docs/method.md, section 9, T = 50).

    convention: what no widget says.
    """

    scale_unit: ScaleUnit = "paper"
    guide_every_until: float = 0.6
    guide_until: float = 0.6
    travel_passes: int = 1
    travel_start: float = 0.4
    travel_end: float = 0.6
    sde_strength: float = 0.0
    sde_outside: float = 0.0
    sde_start: float = 0.2
    sde_end: float = 0.4
    hold_background: float = 0.0
    hold_object_until: float = 0.0
    residual: float = 0.0
    fresh_noise: bool = False
    open_background: float = 0.0
    convention: Convention = AUTHORS

    @property
    def windows(self) -> EditSchedule:
        return guidance_windows(self.guide_every_until, self.guide_until)

    @property
    def schedule(self) -> EditSchedule:
        return stochastic_schedule(
            self.travel_passes, self.travel_start, self.travel_end, self.sde_strength, self.sde_outside, self.sde_start, self.sde_end
        )

    @property
    def hold(self) -> Hold:
        return Hold(self.hold_background, self.hold_object_until, self.fresh_noise, self.open_background)


#: What the widgets say that a workflow from before them has not.
LATER: dict[str, Any] = {"residual": RESIDUAL, "fresh_noise": True, "open_background": OPENS_AT}

DRAGON_DIFFUSION = Settings()
#: Of 50 steps: guidance thinned out from 10 on, time travel at 22, 24, 26 and 28, regional SDE from 11 to 19.
DIFF_EDITOR = replace(DRAGON_DIFFUSION, guide_every_until=0.2, travel_passes=3, travel_start=0.42, sde_strength=0.4, sde_start=0.22)
PRESETS = {"DragonDiffusion": DRAGON_DIFFUSION, "DiffEditor": DIFF_EDITOR}


def preset_input() -> io.Input:
    return advanced(
        io.Combo.Input(
            "preset",
            options=[WIDGETS, *PRESETS],
            default=WIDGETS,
            tooltip=(
                "All as in the authors' code, in place of the advanced widgets above: guidance windows, time travel, SDE, no holds, the "
                "paper's unit, their energies. energy_scale, which must not be 0 here, and cfg stay yours: the authors take 0.5 and 4 for "
                "moving; the help page lists the other tasks."
            ),
        )
    )


def plain_features_input() -> io.Input:
    return advanced(
        io.Boolean.Input(
            "plain_features",
            default=False,
            optional=True,
            tooltip=(
                "Compare what the model sees without shared keys and values, as the authors' second UNet does. One more evaluation at each "
                "step that guides and shares."
            ),
        )
    )


def chosen(preset: str, widgets: Settings, energy_scale: float, plain_features: bool = False) -> Settings:
    """The widgets' settings, or those of a preset. Raises :class:`DragonError` for a preset that nothing would pull with."""
    if preset in PRESETS and not energy_scale:
        raise DragonError(
            f"the preset {preset} edits by the energies' pull alone and energy_scale is 0: the authors take 0.5 and cfg 4 for moving"
        )
    use = PRESETS.get(preset, replace(widgets, convention=OURS))
    return replace(use, convention=replace(use.convention, plain_features=plain_features))
