"""A model whose parts are files of their own, as most of today's are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelFiles:
    """Names in ComfyUI's models folder: of ``diffusion_models``, of ``text_encoders`` (one or two) and of ``vae``.

    kind: what CLIPLoader, or DualCLIPLoader for two, has as ``type`` for these text encoders.
    """

    diffusion_model: str
    text_encoders: tuple[str, ...]
    kind: str
    vae: str

    def __str__(self) -> str:
        return " + ".join((self.diffusion_model, *self.text_encoders, self.vae))
