"""DragonEulerSampler: the edit loop as a SAMPLER for SamplerCustomAdvanced."""

from __future__ import annotations

from comfy_api.latest import io

from ...dragon_core.diffusion.loop import Hold
from ..host.samplers import dragon_euler
from ..schema.guidance_inputs import OPENS_AT, openness_inputs, stochastic_inputs, stochastic_schedule
from ..schema.links import CATEGORY, named, searched_as


class DragonEulerSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DragonEulerSampler",
            display_name="Dragon Euler Sampler",
            category=CATEGORY,
            **searched_as("time travel", "regional SDE", "DiffEditor"),
            description=(
                "The paper's step: guidance moves the estimate of the picture, not the direction. Adds time travel and regional SDE."
            ),
            inputs=[*stochastic_inputs(), *openness_inputs()],
            outputs=[io.Sampler.Output(display_name="sampler", tooltip="For SamplerCustomAdvanced, with DragonGuider.")],
        )

    @classmethod
    def execute(
        cls,
        travel_passes: int,
        travel_start: float,
        travel_end: float,
        sde_strength: float,
        sde_outside: float,
        sde_start: float,
        sde_end: float,
        hold_background: float,
        hold_object_until: float,
        fresh_noise: bool = True,
        open_background: float = OPENS_AT,
    ) -> io.NodeOutput:
        with named(cls):
            schedule = stochastic_schedule(travel_passes, travel_start, travel_end, sde_strength, sde_outside, sde_start, sde_end)
        return io.NodeOutput(dragon_euler(schedule, Hold(hold_background, hold_object_until, fresh_noise, open_background)))
