"""Nodes between pixels and pixels: draft, composite, preview."""
