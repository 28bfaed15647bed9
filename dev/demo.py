"""`python3 -m dev demo`: a shipped template on a real ComfyUI server; `dragon_move_object.json` takes a picture of one's own, too."""

from __future__ import annotations

import logging
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dev import pack, picture, server, workflow
from dev.console import ProgressBar
from dev.environment import Environment
from dev.errors import DevError
from dev.paths import WORKFLOWS
from dev.workflow import Prompt

LOG = logging.getLogger(__name__)

WORKFLOW = WORKFLOWS / "dragon_move_object.json"
INPUTS = WORKFLOWS / "inputs"
SOURCE = INPUTS / "dragon_move_source.png"
MASK = INPUTS / "dragon_move_mask.png"
MULTIPLE = 32
"""Sides of a resized picture: whole cells after two halvings of latents, which are an eighth of it."""


@dataclass(frozen=True)
class Request:
    """What to move where; pixels are those of `image`. None keeps what the workflow says."""

    image: Path | None
    mask: Path | None
    dx: int | None
    dy: int | None
    prompt: str | None
    out: Path


def templates() -> dict[str, str]:
    """Names of the shipped templates → what each is called in its own first note."""
    found: dict[str, str] = {}
    for file in sorted(WORKFLOWS.glob("*.json")):
        notes = [node["widgets_values"][0] for node in workflow.load(file)["nodes"] if node["type"] == "MarkdownNote"]
        headings = [line.removeprefix("# ") for note in notes for line in note.splitlines() if line.startswith("# ")]
        found[file.stem] = headings[0] if headings else ""
    return found


def run_template(environment: Environment, name: str, out: Path) -> tuple[Path, ...]:
    """Run a template as it is shipped, with the pictures that come with it; returns the pictures that it saved."""
    file = WORKFLOWS / f"{name}.json"
    if not file.is_file():
        raise DevError(f"There is no template {name}. There are: {', '.join(templates())}.")
    graph = workflow.load(file)
    values = [value for node in graph["nodes"] for value in node.get("widgets_values") or ()]
    if wanted := [value for value in values if str(value).endswith(".safetensors")]:
        raise DevError(f"{name} is for a model that does not come with the pack ({', '.join(wanted)}): open it in your own ComfyUI.")
    out.mkdir(parents=True, exist_ok=True)
    LOG.info("Starting ComfyUI %s (%s) …", environment.comfyui.version, environment.comfyui.root)
    with server.running(environment, install=pack.install_release) as host:
        server.copy_inputs(host, INPUTS)
        prompt = workflow.to_prompt(graph, host.client.object_info(), file.name)
        started = time.monotonic()
        saved = _saved(host, prompt, file.name)
        written = []
        for number, picture_bytes in enumerate(saved, 1):
            target = out / (f"{name}.png" if len(saved) == 1 else f"{name}_{number}.png")
            target.write_bytes(picture_bytes)
            written.append(target)
    LOG.info("Done in %.0f s. Look at %s.", time.monotonic() - started, ", ".join(str(target.resolve()) for target in written))
    return tuple(written)


def _saved(host: server.Server, prompt: Prompt, name: str) -> list[bytes]:
    """Queue the prompt under a progress bar; the pictures that its SaveImage nodes wrote, as PNG files."""
    bar = ProgressBar()
    try:
        result = host.client.run(prompt, bar)
    finally:
        bar.close()
    saved = [image for image in result.images if image.kind == "output"] or list(result.images)
    if not saved:
        raise DevError(f"{name} finished without a picture; it needs a SaveImage node.")
    return [host.client.fetch(image) for image in saved]


def run(environment: Environment, request: Request) -> Path:
    """Run the workflow and write source.png, result.png and side_by_side.png; returns the last."""
    if request.image is not None and request.mask is None:
        raise DevError("Say which part of IMAGE moves: --mask MASK, a picture of the same size, white on the object.")
    source, mask = request.image or SOURCE, request.mask or MASK
    for file in (source, mask, WORKFLOW):
        if not file.is_file():
            raise DevError(f"{file} is not there.")
    request.out.mkdir(parents=True, exist_ok=True)
    source_used, mask_used = request.out / "source.png", request.out / "mask.png"
    scale = _prepare(source, mask, source_used, mask_used, is_own=request.image is not None)
    LOG.info("Starting ComfyUI %s (%s) …", environment.comfyui.version, environment.comfyui.root)
    with server.running(environment, install=pack.install_release) as host:
        prompt = workflow.to_prompt(workflow.load(WORKFLOW), host.client.object_info(), WORKFLOW.name)
        shift = _apply(prompt, request, scale)
        for node_type, file in (("LoadImage", source_used), ("LoadImageMask", mask_used)):
            name = host.client.upload_image(file, f"dragon_demo_{file.name}")
            workflow.set_input(prompt, _only(prompt, node_type), "image", name)
        LOG.info("Moving by (%+d, %+d) pixels …", *shift)
        started = time.monotonic()
        result_file = request.out / "result.png"
        result_file.write_bytes(_saved(host, prompt, WORKFLOW.name)[-1])
    sheet = request.out / "side_by_side.png"
    picture.side_by_side(source_used, mask_used, result_file, shift).save(sheet)
    LOG.info("Done in %.0f s. Look at %s (source, request, result);", time.monotonic() - started, sheet.resolve())
    LOG.info("source.png, mask.png and result.png are beside it.")
    return sheet


def _prepare(source: Path, mask: Path, source_used: Path, mask_used: Path, *, is_own: bool) -> tuple[float, float]:
    """Put both into the output folder. The user's own are brought to the area of the shipped picture, which is what the
    bundled model was trained on; returns the factors by which that stretched x and y.
    """
    if not is_own:
        shutil.copyfile(source, source_used)
        shutil.copyfile(mask, mask_used)
        return 1.0, 1.0
    try:
        image, region = Image.open(source).convert("RGB"), Image.open(mask).convert("L")
    except OSError as error:
        raise DevError(f"Cannot read the picture: {error}") from error
    if image.size != region.size:
        raise DevError(f"{mask} is {region.size}, {source} is {image.size}: make the mask the picture's size.")
    with Image.open(SOURCE) as shipped:
        factor = math.sqrt(shipped.width * shipped.height / (image.width * image.height))
    width, height = (max(MULTIPLE, round(side * factor / MULTIPLE) * MULTIPLE) for side in image.size)
    if (width, height) != image.size:
        LOG.info("Resizing %s from %dx%d to %dx%d, the model's scale.", source.name, *image.size, width, height)
    image.resize((width, height), Image.Resampling.LANCZOS).save(source_used)
    region.resize((width, height), Image.Resampling.BILINEAR).convert("RGB").save(mask_used)
    return width / image.width, height / image.height


def _apply(prompt: Prompt, request: Request, scale: tuple[float, float]) -> tuple[int, int]:
    """Write the request into the prompt; returns the shift in pixels of the picture used."""
    loss = _only(prompt, "DragonMoveLoss")
    for name, wanted, factor in (("dx", request.dx, scale[0]), ("dy", request.dy, scale[1])):
        if wanted is not None:
            workflow.set_input(prompt, loss, name, round(wanted * factor))
    if request.prompt is not None:
        sampler = _only(prompt, "DragonSampler")
        texts = [each for each in workflow.upstream(prompt, sampler, "positive") if "text" in prompt[each]["inputs"]]
        if not texts:
            raise DevError(f"{WORKFLOW.name}: found no text node before DragonSampler's positive input.")
        workflow.set_input(prompt, texts[0], "text", request.prompt)
    inputs = prompt[loss]["inputs"]
    return int(inputs["dx"]), int(inputs["dy"])


def _only(prompt: Prompt, node_type: str) -> str:
    found = workflow.of_type(prompt, node_type)
    if len(found) != 1:
        raise DevError(f"{WORKFLOW.name} has {len(found)} {node_type} nodes; the demo expects one.")
    return found[0]
