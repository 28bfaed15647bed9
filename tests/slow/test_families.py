"""SD 1.x, SD 2.x with noise and v-prediction, and SDXL: true shapes, random weights, ComfyUI's own loader, a short edit end to end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from random_checkpoints import SD15_EDITING, SD15_INPAINTING, Family

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def test_recognised(loaded: Any) -> None:
    """ComfyUI finds in the file what was meant to be in it; else the rest would prove nothing."""
    import comfy.model_base

    case, base = loaded.case, loaded.model.model
    kinds = comfy.model_base.ModelType
    assert type(base.model_config).__name__ == case.family.config
    assert base.model_type is (kinds.V_PREDICTION if case.family.v_prediction else kinds.EPS)
    assert {parameter.dtype for parameter in base.diffusion_model.parameters()} == {DTYPES[case.dtype]}


def test_taps_follow_the_structure(loaded: Any, pack: Any) -> None:
    """Two taps after the last two upsamplings; SDXL's decoder has no third."""
    host_model = pack.submodule("nodes.host.backbones.unet")
    unet = loaded.model.model.diffusion_model
    assert host_model.tap_blocks(unet, 2) == loaded.case.family.taps
    if len(unet.channel_mult) == 4:
        assert host_model.tap_blocks(unet, 3) == (3, *loaded.case.family.taps)
    else:
        with pytest.raises(ValueError, match="only 2 upsampled stages, 3 are wanted: use fewer taps"):
            host_model.tap_blocks(unet, 3)


def test_taps_have_the_resolutions_of_the_paper(edited: Any) -> None:
    """A sixteenth and an eighth of the picture's side."""
    semantic, geometric = edited.loaded.case.family.taps
    side = edited.loaded.case.side
    assert (edited.seen.sides[semantic], edited.seen.sides[geometric]) == (side // 16, side // 8)


def test_zero_strength_is_stock_euler(edited: Any) -> None:
    assert torch.isfinite(edited.stock).all()
    assert float((edited.unguided - edited.stock).abs().max()) == 0.0


def test_guidance_flows(edited: Any) -> None:
    """At both steps the gradient is finite and not zero, and the edit is another picture than stock sampling gives."""
    assert [reading.step for reading in edited.readings] == [0, 1]
    for reading in edited.readings:
        for values in (reading.edit, reading.content, reading.relative_size):
            assert torch.isfinite(values).all()
        assert float(reading.relative_size.min()) > 0
    assert torch.isfinite(edited.guided).all()
    assert not torch.equal(edited.guided, edited.unguided)


def test_picture(edited: Any) -> None:
    side = edited.loaded.case.side
    assert edited.picture.shape == (1, side, side, 3)
    assert torch.isfinite(edited.picture).all()


def test_each_row_has_its_own_conditioning(edited: Any) -> None:
    """Per guided step: the reference with the prompt of the inversion, the positive with a gradient, the negative; with SDXL's pooled
    text and sizes each.
    """
    model, dtype = edited.loaded.model.model, DTYPES[edited.loaded.case.dtype]
    expected = [(edited.source, False), (edited.positive, True), (edited.negative, False)] * 2
    assert len(edited.seen.rows) == len(expected)
    for row, (conditioning, differentiated) in zip(edited.seen.rows, expected, strict=True):
        embedding, extra = conditioning[0]
        assert torch.equal(row.context, embedding[0].to(dtype))
        assert row.differentiated == differentiated
        if edited.loaded.case.family.config == "SDXL":
            assert torch.equal(row.y, model.encode_adm(device="cpu", **extra)[0].to(dtype))
        else:
            assert row.y is None


@pytest.mark.parametrize(("family", "channels"), [(SD15_INPAINTING, 9), (SD15_EDITING, 8)], ids=["inpainting", "instructpix2pix"])
def test_more_input_channels(load: Any, run: Any, refused: Any, family: Family, channels: int) -> None:
    with load(family, "bf16", unet_only=True) as (model, _clip, _vae):
        assert model.model.diffusion_model.in_channels == channels
        assert type(model.model.model_config).__name__ == family.config
        with refused("DragonInvert", f"{channels} input channels", "not supported", "a model that makes pictures from a prompt"):
            run("DragonInvert", model=model, positive=[[torch.zeros(1, 77, 768), {}]], latent={"samples": torch.zeros(1, 4, 32, 32)})
