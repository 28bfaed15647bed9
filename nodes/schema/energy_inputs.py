"""Inputs and outputs that the energy nodes have in common."""

from __future__ import annotations

from comfy_api.latest import io

from .links import EnergyLink, advanced


def weight(name: str, default: float, tooltip: str) -> io.Float.Input:
    return advanced(io.Float.Input(name, default=default, min=0.0, max=100.0, step=0.05, tooltip=tooltip))


def energy_input() -> io.Input:
    return EnergyLink.Input("energy", optional=True, tooltip="Another energy to combine this one with.")


def energy_output() -> io.Output:
    return EnergyLink.Output(display_name="energy", tooltip="For DragonSampler or DragonGuider, or the next energy in the chain.")
