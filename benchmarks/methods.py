"""The methods that are compared: the baselines, Dragon, and Dragon with parts taken away.

A method makes the edited picture of a case. Those that need a model build the very graph a user builds: nodes, in order,
with their own defaults but for the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.cases import Case, Picture
from benchmarks.settings import Settings
from benchmarks.tasks import find_task

if TYPE_CHECKING:
    from benchmarks.host import Host


@dataclass(frozen=True)
class Parts:
    """Which parts of Dragon are on. ``lead``: the moved trajectory leads the object (``hold_object_until``), which the paper has not."""

    guidance: bool = True
    attention: bool = True
    lead: bool = True
    settings: Settings = field(default_factory=Settings)


def no_edit(case: Case) -> Picture:
    """The source as it is."""
    return case.source


def copy_paste(case: Case) -> Picture:
    """The edit in pixels, the hole smeared over."""
    return find_task(case.edit.task).copy_paste(case)


def ceiling(case: Case, host: Host, settings: Settings) -> Picture:
    """The truth through the VAE: no edit in latent space can do better."""
    return host.decode(host.encode(case.truth))


def edit(case: Case, host: Host, settings: Settings) -> Picture:
    """Dragon's graph: invert, guide, share keys and values, sample."""
    return _edit(case, host, Parts(settings=settings))


def _without(**off: bool) -> Callable[[Case, Host, Settings], Picture]:
    def method(case: Case, host: Host, settings: Settings) -> Picture:
        return _edit(case, host, Parts(settings=settings, **off))

    return method


def _edit(case: Case, host: Host, parts: Parts) -> Picture:
    task = find_task(case.edit.task)
    settings = parts.settings
    model, positive, negative = host.loaded[0], host.text(case.wanted_prompt), host.text("")
    branch = host.run("DragonGuidanceBranch", settings, **_trajectories(case, host, settings))[0]
    energy = task.energy(case, host, settings)
    if parts.attention:
        merge = settings.over(Settings(task.attention))
        model = host.run("DragonCrossAttnPatch", merge, model=model, branch=branch)[0]
    if not parts.guidance:
        settings = Settings({"DragonSampler.energy_scale": 0.0}).over(settings)
    if not parts.lead:
        settings = Settings({"DragonSampler.hold_object_until": 0.0}).over(settings)
    links = {"model": model, "positive": positive, "negative": negative, "branch": branch, "energy": energy}
    latent = host.run("DragonSampler", settings, **links)[0]
    return host.decode(latent)


def _trajectories(case: Case, host: Host, settings: Settings) -> dict[str, Any]:
    """What DragonGuidanceBranch replays: the source's trajectory and, for tasks that take from a second picture, that one's."""
    links = {"trajectory": (case.source, case.edit.prompt)}
    if case.reference is not None:
        links["reference"] = (case.reference, case.edit.reference_prompt)

    def inverted(picture: Picture, prompt: str) -> Any:  # noqa: ANN401 - the pack's own trajectory type
        inputs = {"model": host.loaded[0], "positive": host.text(prompt), "latent": host.encode(picture)}
        return host.run("DragonInvert", settings, **inputs)[0]

    key = _key(host, settings)
    return {name: host.remember((name, key), partial(inverted, *link)) for name, link in links.items()}


def _key(host: Host, settings: Settings) -> tuple[tuple[str, object], ...]:
    """The inversion's widgets under these settings."""
    shipped = host.defaults("DragonInvert")
    return tuple(sorted({**shipped, **settings.of_node("DragonInvert", shipped)}.items()))


PIXEL_METHODS: dict[str, Callable[[Case], Picture]] = {"no_edit": no_edit, "copy_paste": copy_paste}
"""Methods that need no model."""

MODEL_METHODS: dict[str, Callable[[Case, Host, Settings], Picture]] = {
    "ceiling": ceiling,
    "start_latent_only": _without(guidance=False, attention=False, lead=False),
    "guidance_only": _without(attention=False, lead=False),
    "attention_only": _without(guidance=False, lead=False),
    "paper": _without(lead=False),
    "lead_only": _without(guidance=False),
    "dragon": edit,
}

NODES = ("DragonInvert", "DragonGuidanceBranch", "DragonCrossAttnPatch", "DragonSampler")
"""The pack's nodes in every method's graph, beside the task's own."""

NAMES = ("no_edit", "ceiling", "copy_paste", "start_latent_only", "guidance_only", "attention_only", "paper", "lead_only", "dragon")
"""All methods, in the order of the table."""
