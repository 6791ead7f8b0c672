"""NamedTuple <-> fixed-size record: the layout of everything that crosses a process border."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Field

T = TypeVar("T", bound=NamedTuple)


class Codec(Generic[T]):
    """Packs one NamedTuple type into a record of fixed dtype and back.

    Arrays are copied both ways, so an unpacked value never changes under its owner.
    """

    def __init__(self, type_: type[T], fields: Sequence[Field]) -> None:
        """
        Raises:
            ValueError: the fields are not those of the type, in order.
        """
        names = tuple(field[0] for field in fields)
        if names != type_._fields:
            raise ValueError(f"layout of {type_.__name__} has fields {names}; the type has {type_._fields}")
        self.type = type_
        self.dtype: np.dtype[Any] = np.dtype(list(fields), align=False)
        self.size = self.dtype.itemsize
        self._is_array = tuple(len(field) == 3 for field in fields)

    @property
    def schema_hash(self) -> int:
        """64-bit hash of the type's name and layout; both sides of a slot must agree on it."""
        text = f"{self.type.__name__}:{self.dtype.descr!r}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")

    def views(self, buffer: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        """One array per field over `buffer` (uint8, (size,)); scalars have shape ()."""
        record = buffer.view(self.dtype)
        return [record[name][0, ...] for name in self.type._fields]

    def pack(self, value: T, views: Sequence[npt.NDArray[Any]]) -> None:
        """Copy `value` into the views of a buffer."""
        for view, item in zip(views, value, strict=True):
            view[...] = item

    def unpack(self, views: Sequence[npt.NDArray[Any]]) -> T:
        """Copy a value out of the views of a buffer."""
        items = [
            view.copy() if is_array else view.item()
            for view, is_array in zip(views, self._is_array, strict=True)
        ]
        return self.type._make(items)
