"""Crops for the VAE: parts of pictures that were drawn, brightened or not, each batch of all kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from training import pictures


def drawn(value: int) -> list[torch.Tensor]:
    """A chunk of one value a kind: rooms, flat rooms, leaves."""
    sides = (pictures.SIDE, pictures.SIDE, pictures.LEAF_SIDE)
    return [torch.full((4, side, side, 3), value + kind, dtype=torch.uint8) for kind, side in enumerate(sides)]


def test_a_batch_has_its_shares_of_all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "GAINED", 0.0)
    crops = pictures.Crops(torch.device("cpu"), 64, workers=0)
    crops._drawn = (drawn(10) for _ in iter(int, 1))
    batch = crops.batch(20, np.random.default_rng(0))
    assert batch.shape == (20, 3, 64, 64)
    kinds = (batch[:, 0, 0, 0] * 255).round().int().tolist()
    assert (kinds.count(10), kinds.count(11), kinds.count(12)) == (11, 1, 8)
    assert all(torch.equal(crop, crop[:1, :1, :1].expand_as(crop)) for crop in batch)


def test_crops_are_parts_of_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture whose red says its row and whose green says its column: crops count on without a gap, and end inside."""
    monkeypatch.setattr(pictures, "GAINED", 0.0)
    monkeypatch.setattr(pictures, "LEAVES", 0.0)
    axis = torch.arange(pictures.SIDE, dtype=torch.uint8)
    map_ = torch.stack((axis[:, None].expand(256, 256), axis[None].expand(256, 256), axis[None].expand(256, 256)), -1)
    crops = pictures.Crops(torch.device("cpu"), 64, workers=0)
    crops._drawn = ([map_[None], map_[None], map_[None]] for _ in iter(int, 1))
    batch = (crops.batch(16, np.random.default_rng(1)) * 255).round().int()
    along = torch.arange(64)
    for crop in batch:
        assert torch.equal(crop[0], crop[0, :1, :1] + along[:, None].expand(64, 64))
        assert torch.equal(crop[1], crop[1, :1, :1] + along.expand(64, 64))
    assert len({int(top) for top in batch[:, 0, 0, 0]}) > 8


def test_pictures_are_renewed_as_they_are_used() -> None:
    crops = pictures.Crops(torch.device("cpu"), 64, workers=0, uses=1)
    asked: list[int] = []

    def endless() -> object:
        while True:
            asked.append(len(asked))
            yield drawn(0)

    crops._drawn = endless()  # type: ignore[assignment]
    for seed in range(6):
        crops.batch(pictures.CHUNK, np.random.default_rng(seed))
    assert len(asked) == 5  # four to begin with, and one more when 4 · CHUNK crops were taken


def test_rooms_are_kept_where_there_is_a_folder_for_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures, "CHUNK", 2)
    monkeypatch.setattr(pictures, "KEPT", tmp_path / "rooms")
    first = pictures.rooms(3)
    assert np.array_equal(first[1], pictures.picture("train", 7))
    assert not (tmp_path / "rooms").exists()
    (tmp_path / "rooms").mkdir()
    pictures.rooms(3)
    np.save(tmp_path / "rooms" / "00003.npy", np.zeros_like(first))
    assert not pictures.rooms(3).any()
