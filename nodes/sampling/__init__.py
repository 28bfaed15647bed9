"""Nodes that load, invert, steer and sample."""
