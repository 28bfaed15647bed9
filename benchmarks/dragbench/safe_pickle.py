"""Read pickled numbers, text, lists, dicts and NumPy arrays, and nothing else: a pickle can otherwise run any code.

Only the few names that a pickled array needs are known, and none of them is NumPy's own: each is a stand-in here that keeps what the
pickle says. Arrays are made at the end, from plain bytes of a plain type. Whatever else a pickle names is refused before it is used.
"""

from __future__ import annotations

import io
import itertools
import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

LARGEST = 64 * 2**20
"""Bytes; DragBench's files have about half a megabyte."""
DEEPEST = 16
MOST_VALUES = 1_000_000
"""A list that holds the same list many times, and so on, is small in the file and endless when it is walked."""
ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")
PLAIN_TYPES = ("?", "b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")


class UnsafePickleError(ValueError):
    """The file asks for more than numbers, text, lists, dicts and arrays, or cannot be read."""


class _Type:
    """Stands in for ``numpy.dtype``."""

    def __init__(self, code: object) -> None:
        if not isinstance(code, str) or code not in PLAIN_TYPES:
            raise UnsafePickleError(f"it holds an array of {code!r}, which is not a plain number type")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[object, ...]) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise UnsafePickleError(f"it holds an array in the byte order {order!r}")
        self.order = str(order)

    def numpy(self) -> np.dtype[np.generic]:
        return np.dtype(self.code if self.order == "|" else self.order + self.code)


class _Array:
    """Stands in for ``numpy.ndarray`` until its bytes are known."""

    def __init__(self) -> None:
        self.shape: object = None
        self.type: object = None
        self.fortran: object = False
        self.content: object = b""

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _, self.shape, self.type, self.fortran, self.content = state

    def numpy(self) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        shape, kind, content = self.shape, self.type, self.content
        if not isinstance(kind, _Type) or not isinstance(content, bytes | bytearray):
            raise UnsafePickleError("it holds an array that is not made of plain bytes")
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise UnsafePickleError(f"it holds an array of the shape {shape!r}")
        if len(content) != math.prod(shape) * kind.numpy().itemsize:
            raise UnsafePickleError(f"it holds {len(content)} bytes for an array of the shape {shape}")
        return np.frombuffer(bytes(content), kind.numpy()).reshape(shape, order="F" if self.fortran else "C").copy()


class _Reader(pickle.Unpickler):
    """Every name in the pickle comes through :meth:`find_class`. Its answers are methods, which a pickle cannot alter."""

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        known: dict[tuple[str, str], Callable[..., object]] = {
            ("numpy", "dtype"): self._type,
            ("numpy", "ndarray"): self._no_instance,
            ("_codecs", "encode"): self._latin1,
        }
        known |= {(source, "_reconstruct"): self._array for source in ARRAY_MODULES}
        known |= {(source, "scalar"): self._scalar for source in ARRAY_MODULES}
        known |= {(source, "_frombuffer"): self._from_buffer for source in BUFFER_MODULES}
        if (module, name) not in known:
            raise UnsafePickleError(f"it asks for {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: object) -> object:
        raise UnsafePickleError("it refers to something outside the file")

    def _type(self, code: object, *_: object) -> _Type:
        return _Type(code)

    def _no_instance(self, *_: object) -> object:
        raise UnsafePickleError("it makes an array in an unusual way")

    def _array(self, *_: object) -> _Array:
        return _Array()

    def _scalar(self, kind: object, content: object = b"") -> _Array:
        array = _Array()
        array.__setstate__((1, (), kind, False, content))
        return array

    def _from_buffer(self, content: object, kind: object, shape: object, order: object) -> _Array:
        array = _Array()
        array.__setstate__((1, shape, kind, order == "F", content))
        return array

    def _latin1(self, text: object, encoding: object) -> bytes:
        """Protocol 2 writes bytes as Latin-1 text."""
        if not isinstance(text, str) or encoding != "latin1":
            raise UnsafePickleError(f"it asks for the codec {encoding!r}")
        return text.encode("latin1")


def load(path: Path) -> object:
    """What the file holds; raises :class:`UnsafePickleError`."""
    content = path.read_bytes()
    if len(content) > LARGEST:
        raise UnsafePickleError(f"{path} has {len(content)} bytes, which is more than such a file can need")
    try:
        return _finished(_Reader(io.BytesIO(content)).load(), 0, itertools.count())
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{path} is not read: {error}. Nothing in it was run.") from error
    except Exception as error:
        raise UnsafePickleError(f"{path} cannot be read as a pickle: {error}") from error


def _finished(value: object, depth: int, counter: Iterator[int]) -> object:
    """The value with arrays for their stand-ins; only the types that are allowed."""
    if depth > DEEPEST or next(counter) > MOST_VALUES:
        raise UnsafePickleError("it is nested too deeply or holds too much")
    if isinstance(value, _Array):
        array = value.numpy()
        return array.item() if array.ndim == 0 else array
    if isinstance(value, dict):
        return {_finished(key, depth + 1, counter): _finished(item, depth + 1, counter) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_finished(item, depth + 1, counter) for item in value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise UnsafePickleError(f"it holds a {type(value).__name__}")
