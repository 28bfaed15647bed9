"""Dragon: drag-style image editing for ComfyUI (DragonDiffusion, arXiv 2307.02421, with DiffEditor's improvements)."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():  # noqa: ANN201 - the type lives in ComfyUI, which is imported only when ComfyUI asks
    """Called once by ComfyUI's loader; returns the pack's extension."""
    from .nodes import DragonExtension

    return DragonExtension()
