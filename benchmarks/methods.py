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
    """Which parts of Dragon are on.

    The paper has the first two. ``guidance``: the energies pull, which by default they do not. ``injection``: the edited trajectory
    is injected (``hold_object_until``). ``draft``: that trajectory is made from an edit of pixels (DragonDraft). ``composite``: outside
    the edit the source's pixels stay, and detail that the VAE took from the draft comes back (DragonComposite).
    """

    guidance: bool = False
    attention: bool = True
    injection: bool = True
    draft: bool = True
    composite: bool = True
    settings: Settings = field(default_factory=Settings)


PULL = 0.1
"""The energy_scale of methods in which energies pull, where the settings say nothing else."""


def no_edit(case: Case) -> Picture:
    """The source as it is."""
    return case.source


def copy_paste(case: Case) -> Picture:
    """The edit in pixels, the hole smeared over."""
    return find_task(case.edit.task).copy_paste(case)


def ceiling(case: Case, host: Host, settings: Settings) -> Picture:
    """The truth through the VAE: no edit in latent space can do better."""
    return host.decode(host.encode(case.truth))


def draft_vae(case: Case, host: Host, settings: Settings) -> Picture:
    """The draft through the VAE, no model."""
    return host.decode(host.encode(draft_only(case, host, settings)))


def _img2img(denoise: float) -> Callable[[Case, Host, Settings], Picture]:
    """What people do without this pack: ComfyUI's KSampler over an edit in pixels (our draft), at that strength."""

    def method(case: Case, host: Host, settings: Settings) -> Picture:
        latent = host.encode(draft_only(case, host, settings))
        widgets: dict[str, Any] = {"seed": 0, "steps": 20, "cfg": 1.5, "sampler_name": "euler", "scheduler": "normal", "denoise": denoise}
        links: dict[str, Any] = {"positive": host.text(case.wanted_prompt), "negative": host.text(""), "latent_image": latent}
        return host.decode(host.run("KSampler", model=host.loaded[0], **links, **widgets)[0])

    return method


def edit(case: Case, host: Host, settings: Settings) -> Picture:
    """Dragon's graph as it ships: a trajectory, shared keys and values, sampling, and the draft's pixels in the model's light."""
    return _edit(case, host, Parts(settings=settings))


def _with_paper_parts(**parts: bool) -> Callable[[Case, Host, Settings], Picture]:
    """Nothing that the paper has not: no injection, no draft, no composite."""
    return _with(injection=False, draft=False, composite=False, **parts)


def _with(**parts: bool) -> Callable[[Case, Host, Settings], Picture]:
    def method(case: Case, host: Host, settings: Settings) -> Picture:
        return _edit(case, host, Parts(settings=settings, **parts))

    return method


def draft_only(case: Case, host: Host, settings: Settings) -> Picture:
    """DragonDraft's picture as it is: the edit in pixels with the hole continued, no model."""
    return host.picture(_draft(case, host, settings, find_task(case.edit.task).energy(case, host, settings)))


def _draft(case: Case, host: Host, settings: Settings, energy: object) -> object:
    """DragonDraft's IMAGE."""
    second = {} if case.reference is None else {"reference": host.image(case.reference)}
    return host.run("DragonDraft", settings, image=host.image(case.source), energy=energy, **second)[0]


def _edit(case: Case, host: Host, parts: Parts) -> Picture:
    task = find_task(case.edit.task)
    settings = parts.settings
    model, positive, negative = host.loaded[0], host.text(case.wanted_prompt), host.text("")
    branch = host.run("DragonGuidanceBranch", settings, **_trajectories(case, host, settings))[0]
    energy = task.energy(case, host, settings)
    if parts.attention:
        model = host.run("DragonCrossAttnPatch", settings, model=model, branch=branch)[0]
    if parts.guidance:
        settings = settings.over(Settings({"energy_scale": PULL}))
    if not parts.injection:
        settings = Settings({"DragonSampler.hold_object_until": 0.0}).over(settings)
    links = {"model": model, "positive": positive, "negative": negative, "branch": branch, "energy": energy}
    drafted: dict[str, Any] = {}
    if parts.draft:
        drafted = {"draft": _draft(case, host, settings, energy), "vae": host.loaded[2], "energy": energy}
        links["draft"] = host.encode(host.picture(drafted["draft"]))
    latent, changed = host.run("DragonSampler", settings, **links)[:2]
    picture = host.decode(latent)
    if not parts.composite:
        return picture
    links = {"image": host.image(picture), "source": host.image(case.source), "changed": changed, **drafted}
    return host.picture(host.run("DragonComposite", settings, **links)[0])


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
    "start_latent_only": _with_paper_parts(attention=False),
    "guidance_only": _with_paper_parts(guidance=True, attention=False),
    "attention_only": _with_paper_parts(),
    "paper": _with_paper_parts(guidance=True),
    "draft_only": draft_only,
    "draft_vae": draft_vae,
    "img2img_30": _img2img(0.3),
    "img2img_50": _img2img(0.5),
    "img2img_70": _img2img(0.7),
    "no_attention": _with(attention=False),
    "no_draft": _with(draft=False),
    "no_composite": _with(composite=False),
    "dragon": edit,
    "guided": _with(guidance=True),
}

NODES = ("DragonInvert", "DragonGuidanceBranch", "DragonCrossAttnPatch", "DragonDraft", "DragonSampler", "DragonComposite")
"""The pack's nodes in every method's graph, beside the task's own."""

NAMES = (*PIXEL_METHODS, *MODEL_METHODS)
"""All methods, in the order of the table."""
