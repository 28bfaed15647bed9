"""DragonAutoMask inside ComfyUI: what it costs, what it leaves behind, what it gives and when it gives up."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from PIL import Image

from dev.paths import REPOSITORY

CASE = REPOSITORY / "tests" / "fixtures" / "move_cases" / "move-unseen-7-000"


@pytest.fixture(scope="module")
def room(run: Any, mini: Any) -> dict[str, Any]:
    """A held-out scene, quickly inverted: the inputs of the node, and the true mask under ``truth``."""
    import numpy as np

    picture = torch.from_numpy(np.asarray(Image.open(CASE / "source.png").convert("RGB"), dtype=np.float32) / 255)[None]
    truth = torch.from_numpy(np.asarray(Image.open(CASE / "mask.png").convert("L")) > 127)
    (positive,) = run("CLIPTextEncode", clip=mini.clip, text="a room")
    (latent,) = run("VAEEncode", vae=mini.vae, pixels=picture)
    trajectory = run("DragonInvert", model=mini.model, positive=positive, latent=latent, steps=6, refinement=0)[0]
    y, x = truth.nonzero().float().mean(0).round().int().tolist()
    return {"links": {"model": mini.model, "trajectory": trajectory, "image": picture}, "truth": truth, "x": x, "y": y}


def test_a_click_finds_the_object_with_one_evaluation(run: Any, room: dict[str, Any], mini: Any) -> None:
    import comfy.patcher_extension

    rows = []
    model = mini.model.clone()
    kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL

    def count(executor: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        rows.append(x.shape[0])
        return executor(x, *args, **kwargs)

    model.add_wrapper_with_key(kind, "count", count)
    mask, confidence, preview = run("DragonAutoMask", **{**room["links"], "model": model}, x=room["x"], y=room["y"])
    found, truth = mask[0] > 0.5, room["truth"]
    assert mask.shape == (1, 256, 256) and preview.shape == (1, 256, 256, 3)
    assert float((found & truth).sum() / (found | truth).sum()) > 0.7
    assert confidence > 0.7
    assert rows == [1]


def test_nothing_is_left_on_the_model(run: Any, room: dict[str, Any], mini: Any) -> None:
    unet = mini.model.model.diffusion_model
    options, wants_grad = repr(mini.model.model_options), [p.requires_grad for p in unet.parameters()]
    masks = [run("DragonAutoMask", **room["links"], x=room["x"], y=room["y"])[0] for _ in range(2)]
    assert torch.equal(*masks)
    assert repr(mini.model.model_options) == options
    assert [p.requires_grad for p in unet.parameters()] == wants_grad
    assert all(p.grad is None for p in unet.parameters())


def test_the_patched_model_sees_the_same(run: Any, room: dict[str, Any]) -> None:
    links = room["links"]
    (branch,) = run("DragonGuidanceBranch", trajectory=links["trajectory"])
    (patched,) = run("DragonCrossAttnPatch", model=links["model"], branch=branch)
    first = run("DragonAutoMask", **links, x=room["x"], y=room["y"])[0]
    assert torch.equal(first, run("DragonAutoMask", **{**links, "model": patched}, x=room["x"], y=room["y"])[0])


def test_points_take_the_place_of_x_and_y(run: Any, room: dict[str, Any]) -> None:
    x, y = room["x"], room["y"]
    first = run("DragonAutoMask", **room["links"], x=x, y=y)[0]
    boxes = [[{"x": x - 20, "y": y - 10, "width": 40, "height": 20, "label": "it", "score": 0.9}]]
    for points in (f"[[[{x}, {y}], [9, 9]]]", boxes):
        assert torch.equal(first, run("DragonAutoMask", **room["links"], x=0, y=0, points=points)[0])


def test_unsure_gives_a_disc_and_says_so(run: Any, room: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        mask, confidence = run("DragonAutoMask", **room["links"], x=20, y=20, min_confidence=1.0)[:2]
    assert "no clear object at (20, 20)" in caplog.text and "lower min_confidence" in caplog.text
    assert confidence < 1.0
    assert mask[0, 20, 51] == 1 and mask[0, 20, 53] == 0 and mask[0, 128, 128] == 0


def test_a_picture_that_the_vae_crops_keeps_its_size(run: Any, room: dict[str, Any]) -> None:
    """Five pixels more than cells: the mask is the same, two pixels further in."""
    image = room["links"]["image"]
    wide = torch.nn.functional.pad(image.movedim(-1, 1), (2, 3, 2, 3), mode="replicate").movedim(1, -1)
    first = run("DragonAutoMask", **room["links"], x=room["x"], y=room["y"])[0]
    larger = run("DragonAutoMask", **{**room["links"], "image": wide}, x=room["x"] + 2, y=room["y"] + 2)[0]
    assert larger.shape == (1, 261, 261)
    assert torch.equal(larger[:, 2:-3, 2:-3], first)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": 256}, "DragonAutoMask: the point .256, .* lies outside of the picture, which is 256×256"),
        ({"points": "[[1]]"}, "DragonAutoMask: entry 1 of the points"),
        ({"image": torch.rand(1, 128, 256, 3)}, "DragonAutoMask: the image is 256×128 pixels but the trajectory's picture 256×256"),
        ({"image": torch.rand(2, 256, 256, 3)}, "DragonAutoMask: the image has shape .* but the trajectory 1 pictures"),
    ],
)
def test_bad_input_is_refused_by_name(run: Any, room: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        run("DragonAutoMask", **{**room["links"], "x": room["x"], "y": room["y"], **changes})
