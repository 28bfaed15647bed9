"""Dragon: drag-style image editing for ComfyUI (DragonDiffusion, arXiv 2307.02421, with DiffEditor's improvements)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    """Called once by ComfyUI's loader; returns the pack's extension."""
    from .nodes import DragonExtension
    from .nodes.bundled.samples import offer_samples

    offer_samples()  # here, not in on_load: ComfyUI 0.3.75 does not call that
    return DragonExtension()
