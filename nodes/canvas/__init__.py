"""Nodes to draw on and to mask with."""
