"""DragonDiffusion (arXiv 2307.02421) and DiffEditor (arXiv 2402.02583) as pure functions over torch tensors.

Nothing here knows ComfyUI. Tensors are images of shape (B, C, H, W) unless said otherwise; the sampling variable is
``x = x0 + sigma * eps``. Masks are (M, H, W) in [0, 1] with M = 1 or B. Image geometry is in pixels, x right, y down.
"""
