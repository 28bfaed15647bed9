"""Where features are read, and that the backward pass goes no deeper into the network than that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.ops
import pytest
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

COMMON = {"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "use_spatial_transformer": True, "legacy": False}
FOUR_LEVELS = {
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
}
SD1 = {**COMMON, **FOUR_LEVELS, "context_dim": 8, "num_heads": 8}
SD2 = {**COMMON, **FOUR_LEVELS, "context_dim": 8, "num_head_channels": 32, "use_linear_in_transformer": True}
SDXL = {
    **COMMON,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "transformer_depth_middle": 10,
    "context_dim": 8,
    "num_head_channels": 32,
    "use_linear_in_transformer": True,
    "num_classes": "sequential",
    "adm_in_channels": 16,
}


@pytest.fixture(scope="module")
def tap_blocks(pack: Any) -> Callable[..., tuple[int, ...]]:
    return pack.submodule("nodes.host.backbones.unet").tap_blocks


@pytest.mark.parametrize(("config", "expected"), [(SD1, (6, 9)), (SD2, (6, 9)), (SDXL, (3, 6))], ids=["SD-1.x", "SD-2.x", "SDXL"])
def test_taps_follow_the_structure(tap_blocks: Any, config: dict[str, Any], expected: tuple[int, int]) -> None:
    """The published families' level layouts, tiny in channels: `h` entering the blocks after the last two upsamplings."""
    unet = UNetModel(**config, device="meta", operations=comfy.ops.disable_weight_init)
    assert tap_blocks(unet, 2) == expected
    assert tap_blocks(unet, 1) == expected[1:]


def test_sides_of_the_taps(tap_blocks: Any) -> None:
    """Seen in a forward pass: the shallower tap has the latent's side, the deeper one half of it, also where halves are odd."""
    unet = UNetModel(**SD1, operations=comfy.ops.disable_weight_init)
    sides: dict[int, tuple[int, ...]] = {}

    def note(h: torch.Tensor, skip: torch.Tensor, options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        sides[options["block"][1]] = tuple(h.shape[-2:])
        return h, skip

    with torch.no_grad():
        options = {"patches": {"output_block_patch": [note]}}
        unet(torch.zeros(1, 4, 18, 10), torch.ones(1), torch.zeros(1, 77, 8), transformer_options=options)
    assert [sides[block] for block in tap_blocks(unet, 2)] == [(9, 5), (18, 10)]


def test_more_taps_than_stages(tap_blocks: Any) -> None:
    unet = UNetModel(**SDXL, device="meta", operations=comfy.ops.disable_weight_init)
    with pytest.raises(ValueError, match="only 2 upsampled stages, 3 are wanted: use fewer taps"):
        tap_blocks(unet, 3)


def test_backward_stops_at_the_last_tap(scene: Any, sample: Any, move: Any, mini: Any, tap_blocks: Any) -> None:
    """A patch of the user's sees `h` with a gradient up to the last tap, and without one in every block after it; the
    reference's evaluation and unguided steps never have one.
    """
    unet = mini.model.model.diffusion_model
    last = tap_blocks(unet, 2)[-1]
    assert last < len(unet.output_blocks) - 1, "there is nothing after the last tap to be spared"
    model, seen = mini.model.clone(), []

    def note(h: torch.Tensor, skip: torch.Tensor, options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append((scene.trajectory.index(float(options["sigmas"][0])), options["block"][1], h.requires_grad))
        return h, skip

    model.set_model_output_block_patch(note)
    sample(scene, energy=move(scene), model=model, guide_every_until=0.5, guide_until=0.5)
    tracked = {(step, block) for step, block, h in seen if h}
    assert tracked == {(step, block) for step in (0, 1) for block in range(last + 1)}
    # Of the evaluations of a guided step - reference, positive, negative - only the positive's is differentiated.
    assert [h for step, block, h in seen if step == 0 and block == 0] == [False, True, False]


@pytest.mark.parametrize("taps", [1, 2, 3])
def test_number_of_taps(make_scene: Any, sample: Any, move: Any, mini: Any, tap_blocks: Any, taps: int) -> None:
    """Every number that the decoder has stages for can be sampled with; more is refused by the sampler, by name."""
    scene = make_scene(taps=taps)
    try:
        tap_blocks(mini.model.model.diffusion_model, taps)
    except ValueError:
        with pytest.raises(ValueError, match="^DragonSampler: .*use fewer taps"):
            sample(scene, energy=move(scene))
    else:
        guided = sample(scene, energy=move(scene))
        assert torch.isfinite(guided).all()
        assert not torch.equal(guided, sample(scene, energy=move(scene), energy_scale=0.0))
