"""DIFT features (Tang et al. 2023): what a diffusion model's decoder makes of a noised picture, averaged over several noises.

DragDiffusion's protocol: Stable Diffusion 2.1, t = 261, the output of the second decoder stage, the picture's prompt, 8 noises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import comfy.samplers
import torch
from torch import Tensor

from benchmarks.cases import Picture

TIMESTEP = 261
STAGE = 1
"""Decoder stage whose output counts, from 0, the deepest (``up_ft_index`` of DIFT)."""
NOISES = 8


class Dift:
    """Features from a checkpoint, loaded by ComfyUI's own loader."""

    def __init__(self, run: Callable[..., tuple[Any, ...]], loaded: tuple[Any, Any, Any]) -> None:
        """``run(node_id, **inputs)`` runs one of ComfyUI's nodes; ``loaded``: (MODEL, CLIP, VAE), which stay as they are."""
        self._run = run
        model, self._clip, self._vae = loaded
        self._model = model.clone()
        self._seen: list[Tensor] = []
        block = _after_stage(self._model.model.diffusion_model, STAGE)

        def look(h: Tensor, skip: Tensor, options: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
            if options["block"] == ("output", block):
                self._seen.append(h.detach().float().mean(dim=0).cpu())
            return h, skip

        self._model.set_model_output_block_patch(look)

    @torch.inference_mode()
    def features(self, picture: Picture, prompt: str) -> Tensor:
        """(C, h, w) of a picture (H, W, 3), float32 on the CPU."""
        pixels = torch.from_numpy(picture.copy())[None]
        latent = self._run("VAEEncode", vae=self._vae, pixels=pixels)[0]["samples"].repeat(NOISES, 1, 1, 1)
        text = self._run("CLIPTextEncode", clip=self._clip, text=prompt)[0]
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
        sigma = self._model.get_model_object("model_sampling").sigmas[TIMESTEP]
        guider = comfy.samplers.CFGGuider(self._model)
        guider.set_conds(text, text)
        guider.set_cfg(1.0)
        self._seen.clear()
        guider.sample(noise, latent, _OneLook(), torch.stack([sigma, sigma.new_zeros(())]), disable_pbar=True, seed=0)
        return torch.stack(self._seen).mean(dim=0)


class _OneLook(comfy.samplers.Sampler):
    """Asks the model once, and leaves the latent alone."""

    def sample(
        self,
        model_wrap: Any,  # noqa: ANN401 - ComfyUI's guider
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: object,
        noise: Tensor,
        latent_image: Tensor,
        denoise_mask: object = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        x = model_wrap.inner_model.model_sampling.noise_scaling(sigmas[0], noise, latent_image, False)
        model_wrap(x, sigmas[:1].expand(x.shape[0]), **extra_args)
        return latent_image


def _after_stage(unet: Any, stage: int) -> int:  # noqa: ANN401 - ComfyUI's UNetModel
    """The output block whose input is the output of a decoder stage: the one right after its upsampling."""
    after = [i + 1 for i, block in enumerate(unet.output_blocks) if any(type(layer).__name__ == "Upsample" for layer in block)]
    if stage >= len(after):
        raise ValueError(f"DIFT needs {stage + 1} upsampled stages and this decoder has {len(after)}: use Stable Diffusion 2.1.")
    return after[stage]
