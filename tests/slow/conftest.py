"""Families of true size: a checkpoint is written, loaded with ComfyUI's own node, and edited with once; the tests look at the result.

Needs 3 to 7 GB of disk while a family is tested, and as much memory as its weights take twice. Runs on a GPU where there is one.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from real_comfyui import Execute, Pack, execute, pack, refused, run, watched

import random_checkpoints  # isort: skip
import torch  # isort: skip - real_comfyui decides on the device before
from comfy.cli_args import args  # isort: skip
from random_checkpoints import SD15, SD20, SD21_V, SDXL, Family  # isort: skip

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
FIGURES = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Case:
    """What is loaded, in which precision it computes, and how large the picture is (pixels)."""

    family: Family
    dtype: str
    side: int

    def __str__(self) -> str:
        return f"{self.family}-{self.dtype}-{self.side}"


CASES = (
    Case(SD15, "bf16", 512),
    Case(SD15, "fp32", 256),
    Case(SD20, "bf16", 256),
    Case(SD21_V, "bf16", 256),
    Case(SD21_V, "fp32", 256),
    Case(SDXL, "bf16", 256),
    Case(SDXL, "fp32", 256),
    *([Case(SDXL, "bf16", 1024)] if torch.cuda.is_available() else []),  # what a card is asked for; hours on a CPU
)


@dataclass(frozen=True)
class Loaded:
    """The three outputs of CheckpointLoaderSimple; the model computes in the case's precision."""

    case: Case
    model: Any
    clip: Any
    vae: Any


@dataclass
class Row:
    """One row that the UNet was asked for; whether a gradient was taken shows in its decoder."""

    context: torch.Tensor
    y: torch.Tensor | None
    differentiated: bool = False


@dataclass
class Seen:
    """What went into the UNet, and the side of the features that entered each decoder block."""

    rows: list[Row] = field(default_factory=list)
    sides: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Edited:
    """A short edit, and the same steps by ComfyUI alone and by the pack with its guidance switched off."""

    loaded: Loaded
    source: Any
    positive: Any
    negative: Any
    stock: torch.Tensor
    unguided: torch.Tensor
    guided: torch.Tensor
    picture: torch.Tensor
    readings: list[Any]
    seen: Seen


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("seconds and peak memory")
        for line in figures:
            terminalreporter.write_line(line)


def _resident(field: str) -> float:
    """GiB of this process's memory; 0 where Linux does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text("ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith(field)), 0.0)


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """`with measured("sd15 edit"):` - seconds and peak memory (of the GPU, or else of the process), and how much of it was not
    there before, go into the summary.
    """
    lines = pytestconfig.stash.setdefault(FIGURES, [])

    @contextmanager
    def measure(what: str) -> Iterator[None]:
        cuda = torch.cuda.is_available()
        gc.collect()
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        elif Path("/proc/self/clear_refs").exists():
            Path("/proc/self/clear_refs").write_text("5", "ascii")
        before = torch.cuda.memory_allocated() / 2**30 if cuda else _resident("VmRSS")
        start, cpu_start = time.perf_counter(), time.process_time()
        yield
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        if cuda:
            peak, where = torch.cuda.max_memory_allocated() / 2**30, "on the GPU"
        else:
            peak, where = _resident("VmHWM"), "resident"
        memory = f"{peak:.1f} GiB {where}, {peak - before:.1f} of them new" if peak else "memory not measured here"
        lines.append(f"{what}: {seconds:.1f} s ({cpu:.1f} s of CPU time), {memory}")

    return measure


@pytest.fixture(scope="session")
def load(run: Execute, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """`with load(family, "bf16") as (model, clip, vae):` - written, and loaded with ComfyUI's own nodes."""
    import comfy.model_management
    import folder_paths

    @contextmanager
    def loading(family: Family, dtype: str, unet_only: bool = False) -> Iterator[tuple[Any, Any, Any]]:
        folder = tmp_path_factory.mktemp("checkpoints")
        path = folder / f"{family.name}.safetensors"
        random_checkpoints.write(family, path, unet_only)
        folder_paths.add_model_folder_path("checkpoints", str(folder))
        args.fp32_unet, args.bf16_unet = dtype == "fp32", dtype == "bf16"
        try:
            model, clip, vae = run("CheckpointLoaderSimple", ckpt_name=path.name)
        finally:
            args.fp32_unet = args.bf16_unet = False
        # On a CPU ComfyUI would compute in float32 whatever the weights are.
        (model,) = run("ModelComputeDtype", model=model, dtype=dtype)
        yield model, clip, vae
        del model, clip, vae
        comfy.model_management.unload_all_models()
        gc.collect()
        comfy.model_management.soft_empty_cache()
        path.unlink()

    return loading


@pytest.fixture(scope="module", params=CASES, ids=str)
def loaded(request: pytest.FixtureRequest, load: Any) -> Iterator[Loaded]:
    case: Case = request.param
    weights = sum(shape.numel() for shape in random_checkpoints.shapes(case.family).values())
    needed = 1.5 * weights * DTYPES[case.dtype].itemsize / 2**30
    available = psutil.virtual_memory().available / 2**30
    if available < needed:
        pytest.skip(f"{case} needs {needed:.0f} GiB of memory, {available:.0f} are free")
    with load(case.family, case.dtype) as (model, clip, vae):
        yield Loaded(case, model, clip, vae)


def _prompt(run: Execute, loaded: Loaded, text: str, side: int) -> Any:
    """As a user would encode it; SDXL is also told a size."""
    if loaded.case.family is SDXL:
        sizes = {"width": side, "height": 2 * side, "crop_w": 0, "crop_h": 0, "target_width": side, "target_height": side}
        return run("CLIPTextEncodeSDXL", clip=loaded.clip, text_g=text, text_l=text, **sizes)[0]
    return run("CLIPTextEncode", clip=loaded.clip, text=text)[0]


def _watching(model: Any) -> tuple[Any, Seen]:
    """A clone that notes what its UNet gets, through ComfyUI's own wrapper and patch."""
    from comfy.patcher_extension import WrappersMP

    seen = Seen()
    asked: list[Row] = []
    clone = model.clone()

    def wrapper(executor: Any, x: torch.Tensor, timesteps: Any, context: torch.Tensor, y: Any = None, *rest: Any, **named: Any) -> Any:
        asked.extend(Row(context[i].cpu(), None if y is None else y[i].cpu()) for i in range(x.shape[0]))
        return executor(x, timesteps, context, y, *rest, **named)

    def note(h: torch.Tensor, skip: torch.Tensor, options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        seen.sides[options["block"][1]] = h.shape[-1]
        for row in asked:  # of this evaluation: it enters its first decoder block
            row.differentiated = h.requires_grad
        seen.rows.extend(asked)
        asked.clear()
        return h, skip

    clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "note", wrapper)
    clone.set_model_output_block_patch(note)
    return clone, seen


@pytest.fixture(scope="module")
def edited(loaded: Loaded, run: Execute, pack: Pack, measured: Any) -> Edited:
    """Picture → latent → 2 steps of inversion → 2 guided steps → picture, with three different prompts."""
    model, side, cfg = loaded.model, loaded.case.side, 3.0
    image = torch.rand(1, side, side, 3, generator=torch.Generator().manual_seed(7))
    mask = torch.zeros(1, side, side)
    mask[:, side // 4 : side // 2, side // 4 : side // 2] = 1
    source = _prompt(run, loaded, "a red apple on a table", 768)
    positive = _prompt(run, loaded, "a green pear", 1024)
    negative = _prompt(run, loaded, "", 512)
    (latent,) = run("VAEEncode", vae=loaded.vae, pixels=image)
    with measured(f"{loaded.case}: inversion, 2 steps"):
        trajectory, start, sigmas = run("DragonInvert", model=model, positive=source, latent=latent, steps=2, refinement=0)
    (branch,) = run("DragonGuidanceBranch", trajectory=trajectory, taps=2)
    wanted = {"positive": positive, "negative": negative}
    (euler,) = run("KSamplerSelect", sampler_name="euler")
    plain = {"model": model, "sampler": euler, "sigmas": sigmas, "latent_image": start, "cfg": cfg, **wanted}
    with measured(f"{loaded.case}: stock euler, 2 steps at cfg {cfg:g}"):
        stock, _ = run("SamplerCustom", add_noise=False, noise_seed=0, **plain)
    (energy,) = run("DragonMoveLoss", mask=mask, dx=side // 4, dy=0, start_latent="off")
    unguided, *_ = run("DragonSampler", model=model, branch=branch, energy=energy, energy_scale=0.0, cfg=cfg, **wanted)
    watching, seen = _watching(model)
    (shared,) = run("DragonCrossAttnPatch", model=watching, branch=branch, start=0.0, end=1.0)
    guided_by = {"branch": branch, "energy": energy, "energy_scale": 0.5, "guide_every_until": 1.0, "guide_until": 1.0, "cfg": cfg}
    guider, *_ = run("DragonGuider", model=shared, **guided_by, **wanted)
    (sampler,) = run("DragonEulerSampler")
    (noise,) = run("DisableNoise")
    with measured(f"{loaded.case}: edit, 2 guided steps at cfg {cfg:g}"):
        guided, _ = run("SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas, latent_image=start)
    (picture,) = run("VAEDecode", vae=loaded.vae, samples=guided)
    results = (stock["samples"], unguided["samples"], guided["samples"])
    return Edited(loaded, source, positive, negative, *results, picture, guider.readings, seen)
