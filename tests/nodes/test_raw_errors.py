"""Inputs that made nodes fail with torch's words: pictures of odd shapes, no masks or too many, latents of other models."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

SHAPES = {"one channel": (1, 64, 96, 1), "alpha": (1, 64, 96, 4), "unbatched": (64, 96, 3), "unbatched, one channel": (64, 96, 1)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_pictures_of_any_usual_shape(run: Any, scene: Any, move: Any, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    size = (1, 64, 96, 3)
    energy = move(scene)
    assert run("DragonDraft", image=image, energy=energy)[0].shape == size
    assert run("DragonComposite", image=image, source=image, changed=scene.mask)[0].shape == size
    assert torch.isfinite(run("DragonPreview", source=image, result=image, energy=energy)[0]).all()
    points, mask, *_ = run("DragonCanvas", image=image)
    assert points == "[]" and mask.shape == (1, 64, 96)


@pytest.mark.parametrize("node", ["DragonCrop", "DragonDraft", "DragonCanvas", "DragonPreview", "DragonComposite"])
@pytest.mark.parametrize(
    "image", [torch.rand(1, 64, 96, 7), torch.rand(64, 96), torch.rand(0, 64, 96, 3), torch.full((1, 64, 96, 3), torch.nan)]
)
def test_what_is_no_picture_is_refused(run: Any, scene: Any, move: Any, refused: Any, node: str, image: torch.Tensor) -> None:
    others = {
        "DragonCrop": {"energy": move(scene)},
        "DragonDraft": {"energy": move(scene)},
        "DragonComposite": {"source": image, "changed": scene.mask},
        "DragonPreview": {},
        "DragonCanvas": {},
    }
    given = {"source": image, "result": image} if node == "DragonPreview" else {"image": image, **others[node]}
    with refused(node):
        run(node, **given)


#: Nodes that take a mask, and what else they need.
TAKES = {
    "DragonMoveLoss": {},
    "DragonResizeLoss": {},
    "DragonInpaintLoss": {},
    "DragonContrastLoss": {},
    "DragonSimilarityLoss": {},
    "DragonPasteLoss": {},
    "DragonAppearanceLoss": {"reference_mask"},
}


def masked(node: str, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    name = "reference_mask" if node == "DragonPasteLoss" else "mask"
    return {name: mask, **dict.fromkeys(TAKES[node], mask)}


@pytest.mark.parametrize("node", TAKES)
def test_no_mask_at_all(run: Any, refused: Any, node: str) -> None:
    """A detector that has found nothing."""
    with refused(node, "holds no mask at all", "found nothing"):
        run(node, **masked(node, torch.zeros(0, 64, 96)))


@pytest.mark.parametrize("node", ["DragonMoveLoss", "DragonResizeLoss", "DragonInpaintLoss", "DragonAppearanceLoss"])
def test_three_masks_for_one_picture(run: Any, scene: Any, refused: Any, node: str) -> None:
    (energy,) = run(node, **masked(node, scene.mask.repeat(3, 1, 1)))
    image = torch.rand(1, 64, 96, 3)
    with refused("DragonDraft", "3 masks", "1 picture"):
        run("DragonDraft", image=image, energy=energy, reference=image)


def test_three_masks_of_a_drag(run: Any, scene: Any, refused: Any) -> None:
    (energy,) = run("DragonDragLoss", points="[[[12, 24], [30, 24]]]", mask=scene.mask.repeat(3, 1, 1), mask_means="object")
    with refused("DragonDraft", "3 masks", "1 picture"):
        run("DragonDraft", image=torch.rand(1, 64, 96, 3), energy=energy)


def test_canvas_says_which_of_several_masks_it_takes(run: Any, scene: Any, caplog: pytest.LogCaptureFixture) -> None:
    image = torch.rand(1, 64, 96, 3)
    with caplog.at_level(logging.WARNING):
        run("DragonCanvas", image=image, mask=scene.mask.repeat(3, 1, 1))
        assert "3 masks, of which the first is used" in caplog.text
        run("DragonCanvas", image=image, mask=torch.zeros(0, 64, 96))
    assert "found nothing" in caplog.text


@pytest.mark.parametrize("shape", [(1, 16, 8, 12), (1, 4, 3, 8, 12), (0, 4, 8, 12)])
@pytest.mark.parametrize("node", ["DragonInvert", "DragonRecord"])
def test_latents_of_other_models(run: Any, mini: Any, scene: Any, refused: Any, node: str, shape: tuple[int, ...]) -> None:
    prompts = {"positive": scene.positive} | ({"negative": scene.negative} if node == "DragonRecord" else {})
    with refused(node, "the model takes", "the VAE that belongs to the model"):
        run(node, model=mini.model, latent={"samples": torch.ones(shape)}, steps=2, **prompts)


@pytest.mark.parametrize("node", ["DragonInvert", "DragonRecord"])
def test_repeated_levels_are_the_fault_of_the_node_that_takes_them(run: Any, mini: Any, scene: Any, refused: Any, node: str) -> None:
    """They used to be noticed by the sampler, which told to take DragonInvert's sigmas, which these were."""
    prompts = {"positive": scene.positive} | ({"negative": scene.negative} if node == "DragonRecord" else {})
    sigmas = torch.tensor([14.0, 7.0, 7.0, 0.0])
    with refused(node, "repeat or rise at step 2"):
        run(node, model=mini.model, latent=scene.latent, sigmas=sigmas, **prompts)


@pytest.mark.parametrize("node", ["DragonPasteLoss", "DragonMoveLoss", "DragonResizeLoss", "DragonInpaintLoss"])
def test_a_cut_out_mask_that_is_the_ground_is_warned_of(run: Any, caplog: pytest.LogCaptureFixture, node: str) -> None:
    ground = torch.ones(1, 64, 96)
    ground[:, 20:40, 30:60] = 0
    with caplog.at_level(logging.WARNING):
        run(node, **masked(node, 1 - ground))
        assert "border" not in caplog.text
        run(node, **masked(node, ground))
    assert "InvertMask" in caplog.text


def test_points_in_shares_are_refused(run: Any, scene: Any, refused: Any) -> None:
    with refused("DragonDragLoss", "within the first pixel", "Multiply x by the width"):
        run("DragonDragLoss", points="[[[0.2, 0.5], [0.5, 0.5]]]", mask=scene.mask)


def test_draft_that_does_not_show_the_edit(run: Any, scene: Any, sample: Any, move: Any, refused: Any) -> None:
    """A bypassed DragonDraft hands its picture on: nothing moved, and the run was a success."""
    with refused("DragonSampler", "draft", "energy", "without the edit"):
        sample(scene, energy=move(scene, dx=24), draft=scene.latent)
