"""What comes with the pack: the miniature model and the templates' pictures."""
