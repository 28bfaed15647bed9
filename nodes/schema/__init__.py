"""What nodes have in common: link types, shared inputs, presets."""
