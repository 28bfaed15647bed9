"""Videos as batches of pictures."""

from __future__ import annotations

import torch

from dragon_core.diffusion.frames import as_pictures, as_video


def test_there_and_back() -> None:
    video = torch.randn(2, 4, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    pictures = as_pictures(video)
    assert pictures.shape == (6, 4, 6, 5)
    for i in range(2):
        for frame in range(3):
            assert torch.equal(pictures[3 * i + frame], video[i, :, frame])
    assert torch.equal(as_video(pictures, 3), video)


def test_pictures_stay_as_they_are() -> None:
    pictures = torch.randn(2, 4, 6, 5)
    assert as_pictures(pictures) is pictures
    assert as_video(pictures, 0) is pictures
