"""Puts the templates' pictures and video where ComfyUI's Load nodes find them, so that a template runs at once after installation."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import folder_paths

log = logging.getLogger(__name__)
SAMPLES = Path(__file__).parents[2] / "workflows" / "inputs"


def offer_samples() -> None:
    """Copy the pictures into ComfyUI's input folder; files that are there already are left alone."""
    target = Path(folder_paths.get_input_directory())
    for picture in sorted(SAMPLES.iterdir()):
        if (target / picture.name).exists():
            continue
        try:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, target / picture.name)
        except OSError as error:
            log.warning("Dragon: could not put %s into %s (%s); the templates need it there", picture.name, target, error)
