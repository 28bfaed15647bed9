"""Write the trained networks as ``mini_model/*.safetensors`` (fp16) with a manifest of checksums.

``python -m training.export``; with ``--state`` they go to ``training/state/``, for training to go on from elsewhere. The VAE's scale and
shift are set so that ComfyUI's SD-1.5 latent format hands the UNet the normalised latents it was trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import latents, shipped, unet, vae

log = logging.getLogger(__name__)
VOCABULARY = 49408


def vae_weights() -> dict[str, Tensor]:
    saved = vae.weights()
    mean, std = latents.statistics()
    out = {f"taesd_encoder.{k}": v for k, v in saved["encoder"].items()}
    out |= {f"taesd_decoder.{k}": v for k, v in saved["decoder"].items()}
    # raw = (x - shift) * scale, and the UNet sees x * shipped.SD_SCALE = (raw - mean) / std.
    return out | {"vae_scale": torch.tensor(std * shipped.SD_SCALE), "vae_shift": torch.tensor(-mean / (std * shipped.SD_SCALE))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", action="store_true", help="write them to training/state/, not to what ships")
    folder = shipped.STATE if parser.parse_args().state else shipped.SHIPPED
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    folder.mkdir(exist_ok=True)
    average = torch.load(unet.CHECKPOINT, weights_only=True, map_location="cpu")
    weights = average["average"]
    text = {k.removeprefix("text."): v for k, v in weights.items() if k.startswith("text.")}
    table = torch.zeros(VOCABULARY, text[shipped.EMBEDDING].shape[1])  # words never trained on are exactly silent
    table[weights["vocabulary"]] = text[shipped.EMBEDDING]
    text[shipped.EMBEDDING] = table
    text["text_projection.weight"] = torch.eye(text["text_projection.weight"].shape[0])
    files = {
        "unet": {k.removeprefix("unet."): v for k, v in weights.items() if k.startswith("unet.")},
        "text_encoder": text,
    }
    if vae.CHECKPOINT.is_file():  # else the shipped one was used, and stays as it is to the last bit
        files["vae"] = vae_weights()
    elif folder != shipped.FOLDER:
        shutil.copy(shipped.FOLDER / "vae.safetensors", folder)
    manifest: dict[str, dict[str, str | int]] = json.loads(shipped.MANIFEST.read_text("utf-8"))["files"]
    for name, tensors in files.items():
        path = folder / f"{name}.safetensors"
        precise = {k: v.float() if v.ndim == 0 else v.half() for k, v in tensors.items()}
        save_file({k: v.contiguous() for k, v in precise.items()}, path, metadata={"format": "pt"})
        manifest[path.name] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps({"images_seen": average["seen"], "files": manifest}, indent=2) + "\n")
    log.info("exported after %d images, %.1f MB", average["seen"], sum(int(f["bytes"]) for f in manifest.values()) / 2**20)


if __name__ == "__main__":
    main()
