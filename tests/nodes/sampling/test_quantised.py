"""Transformers whose weights are kept in eight bits, as float8 and GGUF files have them, or are cast when they are used, as with --novram:
edited as the same values in float32 that lie in memory are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.ops
import comfy.patcher_extension
import pytest
import random_transformers
import torch
from random_transformers import FLUX_DEV, QWEN_IMAGE, WAN_VIDEO, Z_IMAGE_LIKE, Transformer
from torch import Tensor, nn


class Packed(comfy.ops.manual_cast):
    """Layers as in packs that load GGUF files: the weight is a tensor of bytes, unpacked anew in each call."""

    class Linear(comfy.ops.manual_cast.Linear):
        scale: Tensor | None = None

        def pack(self) -> None:
            weight = self.weight.detach()
            self.scale = weight.abs().amax(1, keepdim=True) / 127
            self.weight = nn.Parameter((weight / self.scale).round().to(torch.int8), requires_grad=False)

        def unpacked(self) -> Tensor:
            assert self.scale is not None
            return self.weight.float() * self.scale

        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - PyTorch's name
            return nn.functional.linear(input, self.unpacked().to(input), None if self.bias is None else self.bias.to(input))


def float8(family: Transformer) -> tuple[Any, Any]:
    """A model kept in float8, and one that computes with the same values in float32."""
    kept, plain = random_transformers.make(family, stored=torch.float8_e4m3fn), random_transformers.make(family)
    values = {name: value.float() for name, value in kept.model.diffusion_model.state_dict().items()}
    plain.model.diffusion_model.load_state_dict(values)
    return kept, plain


def packed(family: Transformer) -> tuple[Any, Any]:
    """A model whose linear layers are packed, and one that computes with the same values in float32."""
    kept, plain = random_transformers.make(family, operations=Packed), random_transformers.make(family)
    layers = dict(plain.model.diffusion_model.named_modules())
    for name, layer in kept.model.diffusion_model.named_modules():
        if isinstance(layer, Packed.Linear):
            layer.pack()
            layers[name].weight.data.copy_(layer.unpacked())
    return kept, plain


def offloaded(family: Transformer) -> tuple[Any, Any]:
    """A model as on a card that has no room for it, none of its weights resident, and one that lies in memory; both with a LoRA.

    How ComfyUI does that to a model that was loaded before: each layer casts its weight, and adds the LoRA to it, when it is used.
    """
    models = random_transformers.make(family), random_transformers.make(family)
    weights = {name: w for name, w in models[0].model_state_dict().items() if name.endswith(".weight") and w.ndim == 2}
    for model in models:
        generator = torch.Generator().manual_seed(9)
        lora = {name: (0.1 * w.std() * torch.randn(w.shape, generator=generator),) for name, w in weights.items()}
        assert set(model.add_patches(lora)) == set(weights)

    def unload(patcher: Any, *_: Any) -> None:
        assert patcher.partially_unload(patcher.offload_device, 2 * patcher.model_size()) > patcher.model_size() / 2

    models[0].add_callback(comfy.patcher_extension.CallbacksMP.ON_LOAD, unload)
    return models


@pytest.mark.parametrize("make", [float8, packed, offloaded])
@pytest.mark.parametrize("family", [FLUX_DEV, Z_IMAGE_LIKE, QWEN_IMAGE, WAN_VIDEO], ids=str)
def test_an_edit_is_that_of_the_same_values_in_float32(
    family: Transformer, make: Callable[[Transformer], tuple[Any, Any]], run: Any
) -> None:
    """With keys and values shared, a few steps that are free; the weights stay as they are."""
    positive, negative = (random_transformers.conditioning(family, seed) for seed in (0, 1))
    latent, edited = random_transformers.latent(family, 2), []
    models = make(family)
    before = {name: value.clone() for name, value in models[0].model.diffusion_model.state_dict().items()}
    for model in models:
        (trajectory, _, _) = run("DragonInvert", model=model, positive=positive, latent=latent, steps=4, scheduler="simple", seed=5)
        (branch,) = run("DragonGuidanceBranch", trajectory=trajectory)
        height, width = trajectory.image_size
        mask = torch.zeros(1, height, width)
        mask[:, height // 4 : height // 2, width // 6 : width // 3] = 1
        (energy,) = run("DragonMoveLoss", mask=mask, dx=width // 3, dy=0)
        every = {"start": 0.0, "end": 1.0, "block_start": 0.0, "block_end": 1.0}
        (patched,) = run("DragonCrossAttnPatch", model=model, branch=branch, **every)
        given = {"positive": positive, "negative": negative, "branch": branch, "energy": energy}
        edited.append(run("DragonSampler", model=patched, cfg=2.0, hold_object_until=0.3, **given)[0]["samples"])
    if make is offloaded:
        assert models[0].lowvram_patch_counter() > 0 and not models[1].lowvram_patch_counter()
    assert torch.isfinite(edited[0]).all()
    torch.testing.assert_close(edited[0], edited[1], atol=1e-4, rtol=1e-4)
    for name, value in models[0].model.diffusion_model.state_dict().items():
        assert torch.equal(bits(value), bits(before[name])), name


def bits(value: Tensor) -> Tensor:
    """Float8 cannot be compared."""
    return value.view(torch.uint8) if value.dtype == torch.float8_e4m3fn else value
