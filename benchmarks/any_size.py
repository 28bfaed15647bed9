"""What is lost on the way back from a crop: ``python3 -m dev run -- -m benchmarks.any_size``.

Moves in the lit world, drawn at 4 times the model's size. Dragon Crop takes the crop; what stands for the model gives its picture of it;
Dragon Uncrop brings that back. ``ideal`` is a model that is always right: its picture is the crop of the truth, so that only the two nodes
are measured. ``--model`` has the bundled one do the edit. Beside them what else could be done with the same crop: ``enlarged``, the crop's
picture as it is, at the full size; ``pixels``, the edit in the full picture's pixels and no light.

Errors are those of benchmarks/light.py, in the full picture and in the result shrunk to the crop again (``at 1×``), where they compare with
those of the crop's picture itself. Sharpness is the gradient energy inside the object, without its
outline, over the truth's, 1 being as sharp. ``off`` is the mean difference to the truth, in thousandths of the range.
``--cost SIDE …`` prints seconds of CPU and megabytes of the two nodes, and of *Dragon Draft*, by the side of the full picture, instead;
``--edit SIDE …`` those of a whole edit by the bundled model, on a crop of its size and on all of the picture.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import light
from benchmarks.box import dilate
from benchmarks.cases import Case, Mask, Picture, save_picture
from benchmarks.draft import scene
from benchmarks.tasks import move
from dragon_core.edits.base import Edit
from dragon_core.edits.chain import edited_picture
from dragon_core.edits.crop import Crop, crop_for, edits_in, uncropped
from dragon_core.edits.move import Move
from dragon_core.imaging.affine import AffineWarp
from dragon_core.imaging.crop_window import resampled
from toy_world.scene import SIDE, SPLITS, sample_scene

if TYPE_CHECKING:
    from benchmarks.host import Host

LOG = logging.getLogger("benchmarks.any_size")
TIMES = 4
#: Of the two nodes and the draft; of a whole edit.
STEPS, ROUTES = ("crop", "uncrop", "draft"), ("cropped", "whole")
MEASURES = ("light", "shadow", "seam", "light at 1×", "shadow at 1×", "seam at 1×", "sharpness", "off")


def cases(count: int, seed: int) -> Iterator[Case]:
    """Moves in rooms drawn at :data:`TIMES` the model's size."""
    for index in range(count):
        rng = np.random.default_rng([seed, SPLITS["seen"], index])
        case = None
        while case is None:
            room = sample_scene("seen", int(rng.integers(2**62)))
            case = move.sample(room, rng, f"any-size-{seed}-{index:03d}", TIMES * SIDE)
        yield case


def crop_of(case: Case, surroundings: float) -> Crop:
    mask = torch.from_numpy(case.mask)[None].float()
    size = (mask.shape[-2], mask.shape[-1])
    edit = Move(mask, AffineWarp(size, (case.edit.dx, case.edit.dy)))
    return crop_for((edit,), tensor(case.source), SIDE, surroundings)


def cropped(case: Case, crop: Crop) -> Case:
    """The case as it is on the crop."""

    def shrunk(values: Picture | Mask) -> Picture:
        return picture(crop.window.taken(tensor(np.atleast_3d(values).astype(np.float32))))

    parts: dict[str, Any] = {}
    for field in dataclasses.fields(Case):
        values = getattr(case, field.name)
        if isinstance(values, np.ndarray):
            part = shrunk(values)
            parts[field.name] = part[..., 0] > 0.5 if field.name.endswith("mask") else part
    return dataclasses.replace(case, **parts)


def by_model(host: Host, case: Case, crop: Crop) -> Tensor:
    """The bundled model's picture of the crop."""
    return edited(host, crop.window.taken(crop.picture), edits_in(crop), case.wanted_prompt)


def edited(host: Host, source: Tensor, energy: tuple[Edit, ...], prompt: str) -> Tensor:
    """The bundled model's edit of a picture (1, 3, H, W), by the usual graph."""
    model, clip, vae = host.loaded
    image = source.movedim(1, -1)
    positive, negative = (host.run("CLIPTextEncode", clip=clip, text=text)[0] for text in (prompt, ""))

    def encoded(pixels: Tensor) -> dict[str, Tensor]:
        latent: dict[str, Tensor] = host.run("VAEEncode", vae=vae, pixels=pixels)[0]
        return latent

    trajectory = host.run("DragonInvert", model=model, positive=positive, latent=encoded(image))[0]
    branch = host.run("DragonGuidanceBranch", trajectory=trajectory)[0]
    shared = host.run("DragonCrossAttnPatch", model=model, branch=branch)[0]
    draft = host.run("DragonDraft", image=image, energy=energy)[0]
    links = {"model": shared, "positive": positive, "negative": negative, "branch": branch, "energy": energy}
    samples, changed = host.run("DragonSampler", **links, draft=encoded(draft))[:2]
    decoded = host.run("VAEDecode", vae=vae, samples=samples)[0]
    composed: Tensor = host.run("DragonComposite", image=decoded, source=image, changed=changed, draft=draft, vae=vae, energy=energy)[0]
    return composed.movedim(-1, 1)


def outputs(crop: Crop, edited: Tensor, name: str) -> dict[str, Tensor]:
    """Full pictures (1, 3, H, W) made of an edited crop."""
    (rows, columns), own = crop.window.inside
    enlarged = crop.picture.clone()
    enlarged[..., rows, columns] = resampled(edited, crop.window.extent)[..., own[0], own[1]]
    return {name: uncropped(crop, edited), f"{name}, enlarged": enlarged}


def measured(full: Picture, case: Case, crop: Crop, small: Case) -> dict[str, float | None]:
    shrunk = picture(crop.window.taken(tensor(full)))
    inside = ~dilate(~case.truth_mask, light.RIM)
    sharpness = [float(light.gradient_energy(each)[inside].mean()) for each in (full, case.truth)]
    values = [
        *(error(full, case) for error in (light.light_error, light.shadow_error, light.seam)),
        *(error(shrunk, small) for error in (light.light_error, light.shadow_error, light.seam)),
        sharpness[0] / max(sharpness[1], 1e-9),
        1e3 * float(np.abs(full - case.truth).mean()),
    ]
    return dict(zip(MEASURES, values, strict=True))


def measure(count: int, seed: int, surroundings: float, host: Host | None, out: Path | None) -> None:
    found: dict[str, list[Mapping[str, float | None]]] = {}
    for case in cases(count, seed):
        crop = crop_of(case, surroundings)
        small = cropped(case, crop)
        made = {"no edit": crop.picture, "pixels": edited_picture(crop.edits, crop.picture)}
        made |= outputs(crop, tensor(small.truth), "ideal")
        if host is not None:
            host.begin(case)
            edited = by_model(host, case, crop)
            made |= outputs(crop, edited, "model")
            errors = [error(picture(edited), small) for error in (light.light_error, light.shadow_error, light.seam)]
            found.setdefault("model, the crop", []).append(dict(zip(MEASURES[3:6], errors, strict=True)))
        for name, full in made.items():
            found.setdefault(name, []).append(measured(picture(full), case, crop, small))
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            shown = [case.source, case.truth, *(picture(full) for name, full in made.items() if name != "no edit")]
            save_picture(np.concatenate(shown, axis=1), out / f"{case.name}.png")
    LOG.info("%-18s" + "%14s" * len(MEASURES), "", *MEASURES)
    for name, rows in found.items():
        columns = [[value for row in rows if (value := row.get(measure)) is not None] for measure in MEASURES]
        LOG.info("%-18s" + "%14s" * len(MEASURES), name, *(f"{statistics.median(each):.4f}" if each else "" for each in columns))


def cost(side: int, step: str) -> None:
    """Seconds and peak megabytes of one step on a picture of this side, in a process of its own."""
    image, mask = scene(side)
    edit = Move(mask, AffineWarp((side, side), (round(0.3 * side), round(-0.1 * side))))
    crop = crop_for((edit,), image, 512, 0.5) if step == "uncrop" else None
    small = None if crop is None else crop.window.taken(image)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    if step == "crop":
        edits_in(crop_for((edit,), image, 512, 0.5))
    elif crop is not None and small is not None:
        uncropped(crop, small)
    else:
        edited_picture((edit,), image)
    seconds, after = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    LOG.info("%-8s %6d %10.2f s of CPU %10.0f MB more, %6.0f MB at most", step, side, seconds, (after - before) / 1024, after / 1024)


def edit(side: int, route: str) -> None:
    """Seconds and peak megabytes of a whole edit on a picture of this side, around its crop or all of it, in a process of its own."""
    from benchmarks.host import Host

    host = Host()
    torch.set_num_threads(1)
    image, mask = scene(side)
    small, its_mask = scene(SIDE // 2)
    edited(host, small, (Move(its_mask, AffineWarp((SIDE // 2, SIDE // 2), (32, 0))),), "a room")  # loads the model
    made = Move(mask, AffineWarp((side, side), (round(0.3 * side), round(-0.1 * side))))
    began, by_clock = time.process_time(), time.perf_counter()
    if route == "whole":
        edited(host, image, (made,), "a room")
    else:
        crop = crop_for((made,), image, SIDE, 0.5)
        uncropped(crop, edited(host, crop.window.taken(image), edits_in(crop), "a room"))
    seconds, passed = time.process_time() - began, time.perf_counter() - by_clock
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    LOG.info("%-8s %6d %10.1f s of CPU %10.1f s by the clock %6.0f MB at most", route, side, seconds, passed, most / 1024)


def in_processes(option: str, sides: Sequence[int], steps: Sequence[str]) -> None:
    """Each in one of its own: memory is told of a whole process."""
    for side in sides:
        for step in steps:
            subprocess.run([sys.executable, "-P", "-m", "benchmarks.any_size", option, str(side), "--step", step], check=True)  # noqa: S603 - this file


def tensor(values: Picture) -> Tensor:
    """(H, W, C) as (1, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(values)).movedim(-1, 0)[None]


def picture(values: Tensor) -> Picture:
    """(1, C, H, W) as (H, W, C)."""
    pixels: Picture = values[0].movedim(0, -1).float().clamp(0, 1).numpy()
    return pixels


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--surroundings", type=float, default=0.5)
    parser.add_argument("--model", action="store_true", help="the bundled model, too")
    parser.add_argument("--out", type=Path, help="a folder for pictures")
    parser.add_argument("--cost", type=int, nargs="*", help="sides of full pictures")
    parser.add_argument("--edit", type=int, nargs="*", help="sides of full pictures")
    parser.add_argument("--step", choices=(*STEPS, *ROUTES), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    torch.set_num_threads(1)
    if options.step in STEPS:
        cost(options.cost[0], options.step)
    elif options.step in ROUTES:
        edit(options.edit[0], options.step)
    elif options.cost is not None or options.edit is not None:
        if options.cost is not None:
            in_processes("--cost", options.cost or (1024, 2048, 3500), STEPS)
        if options.edit is not None:
            in_processes("--edit", options.edit or (512, 1024, 1536), ROUTES)
    else:
        host = None
        if options.model:
            from benchmarks.host import Host

            host = Host()
        measure(options.count, options.seed, options.surroundings, host, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
