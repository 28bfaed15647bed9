"""DragonMiniModel's outputs are ordinary ComfyUI objects: every stock node takes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch


def test_text_to_image(run: Any, mini: Any) -> None:
    """CLIPTextEncode, KSampler, VAEDecode: at the side it was made for, and another."""
    (positive,) = run("CLIPTextEncode", clip=mini.clip, text="a teapot on a wood floor")
    (negative,) = run("CLIPTextEncode", clip=mini.clip, text="")
    assert positive[0][0].shape == negative[0][0].shape and positive[0][0].ndim == 3
    for width, height in ((256, 256), (96, 64)):
        (empty,) = run("EmptyLatentImage", width=width, height=height, batch_size=2)
        inputs = {"model": mini.model, "positive": positive, "negative": negative, "latent_image": empty}
        (latent,) = run("KSampler", **inputs, seed=1, steps=2, cfg=3.0, sampler_name="dpmpp_2m", scheduler="karras")
        (image,) = run("VAEDecode", vae=mini.vae, samples=latent)
        assert image.shape == (2, height, width, 3)
        assert torch.isfinite(image).all()


def test_prompt_words_and_weights_matter_to_the_encoder(run: Any, mini: Any) -> None:
    """Long prompts take several chunks of 77 tokens, as with any CLIP."""
    (long,) = run("CLIPTextEncode", clip=mini.clip, text="a red apple, " * 60)
    assert long[0][0].shape[1] > 77
    assert torch.isfinite(long[0][0]).all()
    (weighted,) = run("CLIPTextEncode", clip=mini.clip, text="a (red:1.5) apple")
    assert torch.isfinite(weighted[0][0]).all()


@pytest.mark.parametrize(("height", "width", "cells"), [(64, 96, (8, 12)), (100, 163, (12, 20))])
def test_vae_round_trip(run: Any, mini: Any, height: int, width: int, cells: tuple[int, int]) -> None:
    """Eight pixels a cell; sides that are not multiples of eight are cropped, as with any VAE."""
    (latent,) = run("VAEEncode", vae=mini.vae, pixels=torch.rand(2, height, width, 3))
    assert latent["samples"].shape == (2, 4, *cells)
    (image,) = run("VAEDecode", vae=mini.vae, samples=latent)
    assert image.shape == (2, cells[0] * 8, cells[1] * 8, 3)
    assert float(image.min()) >= 0.0 and float(image.max()) <= 1.0


def test_img2img_with_a_mask(run: Any, mini: Any, scene: Any) -> None:
    """Stock inpainting by noise mask keeps what it is told to keep."""
    mask = torch.zeros(1, 64, 96)
    mask[:, :, 48:] = 1
    (masked,) = run("SetLatentNoiseMask", samples=scene.latent, mask=mask)
    inputs = {"positive": scene.positive, "negative": scene.negative, "latent_image": masked}
    (latent,) = run("KSampler", model=mini.model, **inputs, seed=1, steps=2, cfg=3.0, sampler_name="euler", scheduler="normal", denoise=0.5)
    kept = (latent["samples"] - scene.latent["samples"])[..., :5]
    assert float(kept.abs().max()) < 1e-3


def test_loading_twice_gives_equal_weights(mini: Any, fresh_mini: Any) -> None:
    """And separate models: what is done to one does not reach the other."""
    a, b = mini.model.model.state_dict(), fresh_mini.model.model.state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert mini.model.model is not fresh_mini.model.model


def test_latent_statistics_are_stable_diffusions(mini: Any) -> None:
    """What the pack and other packs take from a MODEL: latent format, schedule, family."""
    assert mini.model.model.latent_format.latent_channels == 4
    sampling = mini.model.get_model_object("model_sampling")
    assert float(sampling.sigma_min) == pytest.approx(0.0292, abs=1e-3)
    assert float(sampling.sigma_max) == pytest.approx(14.61, abs=1e-1)
