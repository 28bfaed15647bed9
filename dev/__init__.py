"""Developer tooling: a real ComfyUI for the demo and the tests. Not part of a user's install (see .comfyignore)."""
