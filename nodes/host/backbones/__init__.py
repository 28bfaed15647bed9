"""What kinds of network there are, and what each offers to an edit: `base` says what to ask, `unet` and `dit` answer."""
