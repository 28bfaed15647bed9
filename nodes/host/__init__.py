"""Where the pack meets ComfyUI's model, and nowhere else.

What is known of the host is in here: which UNets qualify and where their decoder is tapped (`model`), how tokens are captured and
shared (`tokens`), how a gradient is taken although ComfyUI runs nodes in inference mode (`gradients`, `memory`, `evaluation`), and how
a run is driven through ComfyUI's own sampling (`guider`, `samplers`, `inversion`, `record`, `features`).
Nothing of ComfyUI is replaced; patches live on clones and per-evaluation options, and a run's state dies with the run.
"""
