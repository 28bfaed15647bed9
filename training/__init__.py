"""Training of the bundled miniature Stable Diffusion: world, VAE, UNet with text encoder, export."""
