"""Held-out figures of the exported model, through the pack's own nodes: what ``mini_model/MODEL_CARD.md`` reports.

``python3 -m dev run -- -m benchmarks.model_figures --out DIR`` writes ``figures.json`` and the picture sheets.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.host import Host
from toy_world import judge as toy_judge
from toy_world.render import object_mask, render, to_bytes
from toy_world.scene import SIDE, Placed, sample_scene

log = logging.getLogger(__name__)

PROMPTS = (
    "a strawberry on a wood floor with a white wall, lit from the left",
    "a blue car on a stone floor with a yellow striped wall, lit from the right",
    "a penguin on a grass floor with a pink dotted wall, lit from above",
    "a cake on a carpet floor with a green tiled wall, lit from the left",
    "a red balloon on a sand floor with a blue wall, lit from the right",
    "a turtle on a marble floor with an orange tiled wall, lit from the left",
    "a television on a wood floor with a purple wall, lit from above",
    "a cactus on a sand floor with a teal striped wall, lit from the right",
)
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "stereo_motorcycle")
"""Of skimage.data: what ships with scikit-image, and training has never seen."""
SAMPLES = 64
FIGURES = ("vae", "photographs", "correspondence", "inversion", "obedience", "prompts")


def picture(split: str, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A scene as float32 (side, side, 3) in [0, 1]."""
    return to_bytes(render(sample_scene(split, seed))).astype(np.float32) / np.float32(255)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def photographs() -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """The middle square of each photograph, SIDE pixels large, in [0, 1]. Needs scikit-image, which is not among the requirements."""
    import skimage.data

    found = []
    for name in PHOTOGRAPHS:
        loaded = getattr(skimage.data, name)()
        pixels = loaded[0] if isinstance(loaded, tuple) else loaded
        side = min(pixels.shape[:2])
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        square = Image.fromarray(pixels[top : top + side, left : left + side]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        found.append(np.asarray(square, dtype=np.float32) / np.float32(255))
    return found


def vae_of_photographs(host: Host) -> list[float]:
    return [psnr(host.decode(host.encode(photograph)), photograph) for photograph in photographs()]


def obedience(host: Host, count: int) -> dict[str, float]:
    """Share of text → picture samples whose object, and whose lamp's side, a classifier of renders names as the words do."""
    judge = toy_judge.load()
    right = []
    for seed in range(count):
        scene = sample_scene("heldout", 9000 + seed, objects=1)
        assert scene.lamp is not None  # noqa: S101 - for the type checker
        drawn = sample_picture(host, scene.caption, seed)
        name, side = toy_judge.look(judge, [drawn])[0]
        right.append((name == scene.objects[0].name, side == scene.lamp.side))
    names, sides = np.mean(right, axis=0)
    return {"object_named": float(names), "lamp_side_named": float(sides)}


def vae_round_trip(host: Host, count: int) -> list[float]:
    values = []
    for seed in range(count):
        scene = picture("heldout", seed)
        values.append(psnr(host.decode(host.encode(scene)), scene))
    return values


def inversion_round_trip(host: Host, count: int, steps: int = 50) -> list[float]:
    """PSNR of (invert, sample back) against the VAE's own reconstruction."""
    model = host.loaded[0]
    values = []
    for seed in range(count):
        scene = sample_scene("heldout", seed)
        latent = host.encode(picture("heldout", seed))
        positive = host.text(scene.caption)
        trajectory, _, _ = host.run("DragonInvert", model=model, positive=positive, latent=latent, steps=steps, method="ddim")
        branch = host.run("DragonGuidanceBranch", trajectory=trajectory)[0]
        back = host.run("DragonSampler", model=model, positive=positive, negative=positive, branch=branch, cfg=1.0)[0]
        values.append(psnr(host.decode(back), host.decode(latent)))
    return values


def correspondence(host: Host, count: int, timestep: int = 100) -> dict[str, float]:
    """Where object cells of a scene find their nearest neighbour (cosine) in the scene with the object moved.

    ``semantic_on_object``: share that lands on the object, deep tap. ``geometric_within``: share within 1.5 cells, shallow tap.
    """
    model = host.loaded[0]
    on_object: list[float] = []
    within: list[float] = []
    for seed in range(count):
        scene = sample_scene("heldout", 5000 + seed, objects=1)
        placed = scene.objects[0]
        x = placed.x + 0.25 if placed.x < 0.5 else placed.x - 0.25
        moved = scene.replacing(0, Placed(placed.name, placed.colour, x, placed.y, placed.size, placed.flip))
        taps = [decoder_features(host, model, render(s), scene.caption, timestep, seed * 2 + i) for i, s in enumerate((scene, moved))]
        masks = [torch.from_numpy(object_mask(s.objects[0]).astype(np.float32))[None, None] for s in (scene, moved)]
        for level, (a, b) in enumerate(zip(*taps, strict=True)):
            h, w = a.shape[-2:]
            source, target = (F.adaptive_avg_pool2d(m, (h, w))[0, 0] > 0.5 for m in masks)
            similarity = F.normalize(a.flatten(1), dim=0).T @ F.normalize(b.flatten(1), dim=0)
            cells = source.flatten().nonzero().flatten()
            best = similarity[cells].argmax(1)
            if level == 0:
                on_object.append(float(target.flatten()[best].float().mean()))
            else:
                dx = (best % w) - (cells % w) - (x - placed.x) * w
                dy = (best // w) - (cells // w)
                within.append(float((torch.hypot(dx, dy.float()) <= 1.5).float().mean()))
    return {"semantic_on_object": float(np.mean(on_object)), "geometric_within": float(np.mean(within))}


def decoder_features(host: Host, model: Any, picture: np.ndarray, caption: str, timestep: int, seed: int) -> list[torch.Tensor]:
    """Decoder taps (C, h, w), deep to shallow, of a noised picture."""
    kept: list[torch.Tensor] = []
    unet = model.model.diffusion_model
    upsampled = [i + 1 for i, block in enumerate(unet.output_blocks) if any(type(layer).__name__ == "Upsample" for layer in block)]

    def keep(h: torch.Tensor, skip: torch.Tensor, options: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        if options["block"][1] in upsampled[-2:]:
            kept.append(h[0].float())
        return h, skip

    patched = model.clone()
    patched.set_model_output_block_patch(keep)
    sampling = model.get_model_object("model_sampling")
    sigma = sampling.sigma(torch.tensor(float(timestep)))
    latent: Any = host.encode(picture)
    noise = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(seed))
    run_once(patched, latent["samples"], noise, sigma, host.text(caption))
    return kept[:2]


def run_once(model: Any, latent: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor, positive: Any) -> None:
    """One evaluation of the model at a noise level, through ComfyUI's sampling."""
    import comfy.sample
    import comfy.samplers

    sigmas = torch.tensor([float(sigma), 0.0])
    with torch.inference_mode():
        comfy.sample.sample_custom(
            model, noise, 1.0, comfy.samplers.ksampler("euler"), sigmas, positive, positive, latent, disable_pbar=True
        )


def sample_picture(host: Host, prompt: str, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A prompt's picture: 50 Euler steps, CFG 4."""
    empty = {"samples": torch.zeros(1, 4, SIDE // 8, SIDE // 8)}
    latent = host.run(
        "KSampler", model=host.loaded[0], seed=seed, steps=50, cfg=4.0, sampler_name="euler", scheduler="normal",
        positive=host.text(prompt), negative=host.text(""), latent_image=empty, denoise=1.0,
    )[0]  # fmt: skip
    return host.decode(latent)


def prompt_sheet(host: Host, path: Path) -> None:
    """The fixed prompts, one picture each."""
    drawn = [sample_picture(host, prompt, seed) for seed, prompt in enumerate(PROMPTS)]
    rows = [np.concatenate(drawn[i : i + 4], axis=1) for i in (0, 4)]
    Image.fromarray((np.concatenate(rows) * 255).astype(np.uint8)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--only", choices=FIGURES, nargs="*")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    args.out.mkdir(parents=True, exist_ok=True)
    host, figures = Host(), {}
    wanted = args.only or FIGURES
    if "vae" in wanted:
        figures["vae_psnr"] = float(np.median(vae_round_trip(host, args.count)))
    if "photographs" in wanted:
        figures["vae_psnr_photographs"] = float(np.median(vae_of_photographs(host)))
    if "correspondence" in wanted:
        figures |= correspondence(host, args.count)
    if "inversion" in wanted:
        figures["inversion_psnr"] = float(np.median(inversion_round_trip(host, max(4, args.count // 4))))
    if "obedience" in wanted:
        figures |= obedience(host, SAMPLES)
    if "prompts" in wanted:
        prompt_sheet(host, args.out / "prompts.png")
    (args.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    log.info("%s", figures)


if __name__ == "__main__":
    main()
