"""What DragonCanvas leaves for the browser is what Load Image gave the model, of whatever kind the file is."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from picture_kinds import KINDS, write_kinds
from PIL import Image

from dev.server import Server


@pytest.fixture(scope="module")
def outputs(server: Server) -> dict[str, Any]:
    """Node id → its output for the frontend: "N saved" and "N canvas" of the N-th kind."""
    write_kinds(server.base)
    prompt: dict[str, Any] = {}
    for number, value in enumerate(KINDS):
        loader = f"{number}"
        prompt[loader] = {"class_type": "LoadImage", "inputs": {"image": value}}
        prompt[f"{number} saved"] = {"class_type": "PreviewImage", "inputs": {"images": [loader, 0]}}
        prompt[f"{number} canvas"] = {"class_type": "DragonCanvas", "inputs": {"image": [loader, 0], "onto": [loader, 0]}}
    result = server.client.run(prompt)
    (history,) = server.client.get_json(f"/history/{result.prompt_id}").values()
    found: dict[str, Any] = history["outputs"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_it_shows_the_models_picture(server: Server, outputs: dict[str, Any], kind: str) -> None:
    def pixels(stored: dict[str, str]) -> np.ndarray[Any, Any]:
        query = urlencode({name: stored[name] for name in ("filename", "subfolder", "type")})
        return np.asarray(Image.open(io.BytesIO(server.client.get_bytes(f"/view?{query}"))).convert("RGB"))

    number = KINDS.index(kind)
    seen = pixels(outputs[f"{number} saved"]["images"][0])
    assert seen.std() > 10
    for shown in ("dragon_picture", "dragon_onto"):
        (stored,) = outputs[f"{number} canvas"][shown]
        assert stored["chosen"] == kind, "by this the browser knows whose picture it is"
        assert np.array_equal(pixels(stored), seen)
