"""Nodes that say what an edit is."""
