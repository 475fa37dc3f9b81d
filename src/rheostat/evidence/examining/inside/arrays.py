"""Send numpy's arrays and scalars as plain data, if numpy is in use.

Runs inside the sandbox, on both sides: standard library only, and numpy if the other side has it.
"""

from __future__ import annotations

import base64
import importlib
from typing import Any


def is_array(value: Any) -> bool:
    """Whether a value is a numpy array of numbers, times or text; an array of objects isn't data."""
    kind = type(value)
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray" and not value.dtype.hasobject


def is_scalar(value: Any) -> bool:
    """Whether a value is a numpy scalar."""
    kind = type(value)
    return kind.__module__ == "numpy" and hasattr(kind, "dtype") and hasattr(kind, "tobytes") and not is_array(value)


def content_of(value: Any) -> list[Any]:
    """[numpy's description of the items, shape, bytes in base64] of an array or a scalar."""
    items = value.dtype.str if value.dtype.names is None else _formats().dtype_to_descr(value.dtype)
    return [items, list(value.shape), base64.b64encode(value.tobytes()).decode()]


def array_of(content: list[Any]) -> Any:
    """The array of a content that `content_of` made.

    Raises:
        ValueError: The items are objects.
    """
    numpy = importlib.import_module("numpy")
    items = _formats().descr_to_dtype(content[0])
    if items.hasobject:
        raise ValueError("an array of objects")  # its bytes would be addresses
    return numpy.frombuffer(base64.b64decode(content[2]), dtype=items).reshape(content[1]).copy()


def _formats() -> Any:
    return importlib.import_module("numpy.lib.format")
