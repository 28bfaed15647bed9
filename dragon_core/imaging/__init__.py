"""Geometry, masks and pixels: what edits do to pictures and latents. Knows no diffusion."""
