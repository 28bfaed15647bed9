"""A benchmark case: a picture, an edit of it and the true answer, kept as a folder that anyone can make.

Files, all of one size: ``source.png``, ``truth.png``, ``clean.png`` (the scene without the object), ``mask.png`` and
``truth_mask.png`` (white = object, in the source and in the answer). For appearance and paste also ``reference.png`` and
``reference_mask.png``, which may have a size of their own. Where light and shadow are part of the answer, ``shadow_before.png`` and
``shadow_after.png``: source and answer without the object itself, but with its shadow and reflection (masks are then of the object alone).
And ``edit.json``, pixels and (x, y) throughout:

========== =========================================================================================================
move       ``{"task": "move", "prompt": "…", "dx": 40, "dy": -6}``
resize     ``dx``, ``dy``, ``scale``: T(p) = c + scale (p − c) + (dx, dy), c the centroid of mask.png
drag       ``points``: ``[[[handle x, handle y], [target x, target y]], …]``
appearance the object of mask.png gets the look of reference_mask.png's and keeps its shape; masks without shadows, and
           clean.png keeps the object's shadow
remove     nothing more; truth_mask.png is black, and truth.png is clean.png
paste      ``dx``, ``dy``, ``scale``: T as for resize, from pixels of reference.png to pixels of source.png, c the centroid
           of reference_mask.png. mask.png is where the object will stand (= truth_mask.png), clean.png is the source
========== =========================================================================================================

``prompt`` describes source.png, ``reference_prompt`` reference.png, and ``edited_prompt`` the answer where other words fit it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from toy_world.render import to_bytes

Picture = npt.NDArray[np.float32]
"""(H, W, 3) in [0, 1]."""
Mask = npt.NDArray[np.bool_]
"""(H, W), True on the object."""
Point = tuple[float, float]

PICTURES = ("source", "truth", "clean", "reference", "shadow_before", "shadow_after")
TASKS = ("move", "resize", "drag", "appearance", "paste", "remove")
SHADOW = 0.03
"""Change of a channel that counts as a shadow or a reflection."""
WITH_REFERENCE = ("appearance", "paste")


class CaseError(ValueError):
    """A case folder is malformed; the message names the folder, what is wrong and what to do."""


@dataclass(frozen=True)
class Edit:
    """What is asked for. ``dx``, ``dy`` in pixels (right, down); ``points`` are (handle, target) pairs of (x, y) pixels."""

    task: str
    prompt: str
    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    points: tuple[tuple[Point, Point], ...] = ()
    edited_prompt: str = ""
    """What the answer shows; empty where ``prompt`` says it, too."""
    reference_prompt: str = ""

    @property
    def asks(self) -> str:
        """The edit's numbers in a few characters."""
        if self.points:
            return "  ".join(f"({h[0]:.0f}, {h[1]:.0f}) → ({t[0]:.0f}, {t[1]:.0f})" for h, t in self.points)
        return f"({self.dx:+.0f}, {self.dy:+.0f}) × {self.scale:g}"


@dataclass(frozen=True, eq=False)
class Case:
    """One case; pictures (H, W, 3) in [0, 1], masks (H, W) boolean."""

    name: str
    edit: Edit
    source: Picture
    truth: Picture
    clean: Picture
    mask: Mask
    truth_mask: Mask
    reference: Picture | None = None
    reference_mask: Mask | None = None
    shadow_before: Picture | None = None
    shadow_after: Picture | None = None
    """Of lit scenes."""

    @property
    def shadows(self) -> tuple[Picture, ...]:
        """What may lie behind the object beside the clean scene: none in flat scenes."""
        return tuple(picture for picture in (self.shadow_before, self.shadow_after) if picture is not None)

    @property
    def shadow_mask(self) -> Mask:
        """Where a shadow or a reflection was or should be, outside the objects."""
        changed = [np.abs(picture - self.clean).max(axis=-1) >= SHADOW for picture in self.shadows]
        mask: Mask = np.logical_or.reduce(changed, axis=0) & ~self.mask & ~self.truth_mask
        return mask

    @property
    def side(self) -> int:
        """The longer side in pixels: what distances are a share of."""
        return max(self.mask.shape)

    @property
    def wanted_prompt(self) -> str:
        """What describes the edited picture."""
        return self.edit.edited_prompt or self.edit.prompt

    @property
    def needed_reference(self) -> tuple[Picture, Mask]:
        """The second picture and the object in it, of tasks that have one."""
        if self.reference is None or self.reference_mask is None:
            raise CaseError(f"{self.name} has no reference.png and reference_mask.png; the task '{self.edit.task}' needs both.")
        return self.reference, self.reference_mask

    @property
    def vacated(self) -> Mask:
        """Where the object was and, in the answer, no longer is."""
        return self.mask & ~self.truth_mask


def load_case(folder: Path) -> Case:
    """Read one case folder; raises :class:`CaseError`."""
    if not folder.is_dir():
        raise CaseError(f"{folder} is not a folder; give the folder that holds source.png, truth.png, edit.json and the rest.")
    edit = _read_edit(folder / "edit.json")
    has_reference = edit.task in WITH_REFERENCE
    case = Case(
        name=folder.name,
        edit=edit,
        source=load_picture(folder / "source.png"),
        truth=load_picture(folder / "truth.png"),
        clean=load_picture(folder / "clean.png"),
        mask=_load_mask(folder / "mask.png"),
        truth_mask=_load_mask(folder / "truth_mask.png", may_be_empty=edit.task == "remove"),
        reference=load_picture(folder / "reference.png") if has_reference else None,
        reference_mask=_load_mask(folder / "reference_mask.png") if has_reference else None,
        shadow_before=_load_if_there(folder / "shadow_before.png"),
        shadow_after=_load_if_there(folder / "shadow_after.png"),
    )
    height, width = case.mask.shape
    for name in ("source", "truth", "clean", "truth_mask", "shadow_before", "shadow_after"):
        array = getattr(case, name)
        found = (height, width) if array is None else array.shape[:2]
        if found != (height, width):
            raise CaseError(f"{folder / name}.png is {found[1]}×{found[0]}, but mask.png is {width}×{height}; make all files one size.")
    if case.reference is not None and case.reference_mask is not None and case.reference.shape[:2] != case.reference_mask.shape:
        raise CaseError(f"{folder}: reference.png and reference_mask.png differ in size; make both the same.")
    return case


def load_cases(folder: Path) -> list[Case]:
    """All cases in a folder, in the order of their names; a case folder itself is a list of one."""
    if (folder / "edit.json").is_file():
        return [load_case(folder)]
    found = sorted(path.parent for path in folder.glob("*/edit.json"))
    if not found:
        raise CaseError(
            f"No cases in {folder}: none of its folders has an edit.json. "
            "Make some with: python -m benchmarks.make_cases --task move --split seen --count 8 --seed 0 --out DIR"
        )
    return [load_case(path) for path in found]


def save_case(case: Case, parent: Path) -> Path:
    """Write the case as ``parent/<its name>``; pictures are stored in 8 bits."""
    folder = parent / case.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        picture: Picture | None = getattr(case, name)
        if picture is not None:
            save_picture(picture, folder / f"{name}.png")
    for name, mask in (("mask", case.mask), ("truth_mask", case.truth_mask), ("reference_mask", case.reference_mask)):
        if mask is not None:
            Image.fromarray(mask).save(folder / f"{name}.png", optimize=True)
    (folder / "edit.json").write_text(json.dumps(_edit_fields(case.edit), ensure_ascii=False, indent=1) + "\n", "utf-8")
    return folder


def digest(case: Case) -> str:
    """Short fingerprint of everything in the case, so that results of an altered case are not taken for its own."""
    total = hashlib.sha256(json.dumps(_edit_fields(case.edit), sort_keys=True).encode())
    for array in (case.source, case.truth, case.clean, case.mask, case.truth_mask, case.reference, case.reference_mask, *case.shadows):
        total.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def load_picture(path: Path) -> Picture:
    """A picture file as float32 (H, W, 3) in [0, 1]."""
    with _open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255)


def save_picture(picture: Picture, path: Path) -> None:
    """Write a picture in [0, 1] as an 8-bit file."""
    Image.fromarray(to_bytes(picture)).save(path, optimize=True)


def _load_if_there(path: Path) -> Picture | None:
    return load_picture(path) if path.is_file() else None


def _load_mask(path: Path, may_be_empty: bool = False) -> Mask:
    with _open(path) as image:
        mask: Mask = np.asarray(image.convert("L")) > 127
    if not mask.any() and not may_be_empty:
        raise CaseError(f"{path} is empty; paint the object white on black.")
    if mask.all():
        raise CaseError(f"{path} covers the whole picture; paint only the object white.")
    return mask


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError:
        raise CaseError(f"{path} is missing; {__name__} says which files a case needs.") from None
    except (UnidentifiedImageError, OSError) as error:
        raise CaseError(f"{path} cannot be read as a picture ({error}); save it as PNG.") from error


def _edit_fields(edit: Edit) -> dict[str, Any]:
    """Only what the task uses."""
    fields: dict[str, Any] = {"task": edit.task, "prompt": edit.prompt}
    if edit.task in ("move", "resize", "paste"):
        fields |= {"dx": edit.dx, "dy": edit.dy}
    if edit.task in ("resize", "paste"):
        fields["scale"] = edit.scale
    if edit.task == "drag":
        fields["points"] = [[list(handle), list(target)] for handle, target in edit.points]
    if edit.edited_prompt:
        fields["edited_prompt"] = edit.edited_prompt
    if edit.task in WITH_REFERENCE:
        fields["reference_prompt"] = edit.reference_prompt
    return fields


def _read_edit(path: Path) -> Edit:
    try:
        fields = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        example = json.dumps({"task": "move", "prompt": "…", "dx": 40, "dy": 0}, ensure_ascii=False)
        raise CaseError(f"{path} is missing; write what to do, such as {example}.") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise CaseError(f"{path} is not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise CaseError(f"{path} must hold one JSON object, such as {{'task': 'move', …}}.")
    task = fields.get("task")
    if task not in TASKS:
        raise CaseError(f"{path}: 'task' is {task!r}; it must be one of {', '.join(TASKS)}.")
    edit = Edit(
        task=task,
        prompt=_text(path, fields, "prompt"),
        dx=_number(path, fields, "dx", 0.0, required=task in ("move", "paste")),
        dy=_number(path, fields, "dy", 0.0, required=task in ("move", "paste")),
        scale=_number(path, fields, "scale", 1.0, required=task == "resize"),
        points=_points(path, fields.get("points", []), required=task == "drag"),
        edited_prompt=_text(path, fields, "edited_prompt"),
        reference_prompt=_text(path, fields, "reference_prompt"),
    )
    if edit.scale <= 0:
        raise CaseError(f"{path}: 'scale' is {edit.scale:g}; it must be above 0, and 1 keeps the size.")
    if task == "move" and edit.dx == 0 and edit.dy == 0:
        raise CaseError(f"{path}: 'dx' and 'dy' are both 0, so nothing would move; give the shift in pixels.")
    return edit


def _text(path: Path, fields: Mapping[str, object], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise CaseError(f"{path}: '{key}' must be text that describes the picture.")
    return value


def _number(path: Path, fields: Mapping[str, object], key: str, default: float, *, required: bool) -> float:
    value = fields.get(key, None if required else default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CaseError(f"{path}: '{key}' is {value!r}; this task needs it as a number.")
    return value


def _points(path: Path, value: object, *, required: bool) -> tuple[tuple[Point, Point], ...]:
    try:
        array = np.asarray(value, dtype=np.float64).reshape(-1, 2, 2)
    except (TypeError, ValueError):
        array = np.full((1, 2, 2), np.nan)
    if not np.isfinite(array).all() or (required and not len(array)):
        raise CaseError(f"{path}: 'points' must be a list of [[handle x, handle y], [target x, target y]] in pixels.")
    return tuple(((float(h[0]), float(h[1])), (float(t[0]), float(t[1]))) for h, t in array)
