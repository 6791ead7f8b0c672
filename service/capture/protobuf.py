"""Messages of fixed size in protobuf's wire format: viewers plot them by name, and a batch packs in one numpy step.

Every value is written, zeros too, so that all messages of a channel have the same bytes except where the values are.
The schema is a `FileDescriptorSet` as MCAP asks for, built here: 60 lines instead of a dependency and a compiler.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array

PACKAGE = "teleopd"
_DOUBLE, _FLOAT, _MESSAGE, _OPTIONAL = 1, 2, 11, 1
_FIXED64, _LENGTH, _FIXED32 = 1, 2, 5
"""Wire types."""


@dataclass(frozen=True, slots=True)
class Column:
    """One array of a message."""

    name: str
    kind: Literal["f4", "f8"]
    """Precision in the file."""
    labels: tuple[tuple[str, ...], ...] = ()
    """Names along each axis; () is a scalar, ((29 joints),) a vector, ((23 bodies), ('x', 'y', 'z')) a table."""

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod([len(names) for names in self.labels], dtype=np.int64))


class LayoutError(ValueError):
    """Bytes that are not a message of this layout."""


def varint(value: int) -> bytes:
    """A non-negative number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def identifiers(names: Sequence[str]) -> tuple[str, ...]:
    """The names as field names: letters, digits and underscores, no digit in front, no two alike."""
    found: list[str] = []
    for name in names:
        word = re.sub(r"[^A-Za-z0-9_]", "_", name) or "_"
        word = f"_{word}" if word[0].isdigit() else word
        candidate, count = word, 2
        while candidate in found:
            candidate, count = f"{word}_{count}", count + 1
        found.append(candidate)
    return tuple(found)


class Packing:
    """The layout of one message type: its schema, and batches of arrays <-> messages."""

    def __init__(self, message: str, columns: Sequence[Column]) -> None:
        """`message`: its name without package."""
        self.name = f"{PACKAGE}.{message}"
        self.columns = tuple(columns)
        self._at: list[npt.NDArray[np.intp]] = []
        self._sizes = [column.size for column in self.columns]
        self._kinds = [np.dtype(f"<{column.kind}") for column in self.columns]
        template, starts = bytearray(), []
        for number, column in enumerate(self.columns, start=1):
            body, places = _values(number, column.labels, column.kind)
            starts.append(np.array(places, dtype=np.intp) + len(template))
            template += body
        self._template: npt.NDArray[np.uint8] = np.frombuffer(bytes(template), dtype=np.uint8).copy()
        for column, places_of in zip(self.columns, starts, strict=True):
            width = 4 if column.kind == "f4" else 8
            self._at.append((places_of[:, None] + np.arange(width)).ravel())
        self._fixed: npt.NDArray[np.bool_] = np.ones(self.size, dtype=bool)
        for at in self._at:
            self._fixed[at] = False
        self.schema = _descriptor_set(message, self.columns)

    @property
    def size(self) -> int:
        """Bytes of every message."""
        return len(self._template)

    def pack(self, arrays: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.uint8]:
        """m messages, (m, size) bytes, from one array (m, k) for each column."""
        m = len(arrays[0])
        out = np.empty((m, self.size), dtype=np.uint8)
        out[:] = self._template
        for kind, size, at, values in zip(self._kinds, self._sizes, self._at, arrays, strict=True):
            out[:, at] = np.ascontiguousarray(values, dtype=kind).reshape(m, size).view(np.uint8)
        return out

    def unpack(self, messages: Sequence[bytes]) -> list[Array]:
        """One float64 array (m, k) for each column.

        Raises:
            LayoutError: a message has another layout.
        """
        m = len(messages)
        if any(len(message) != self.size for message in messages):
            raise LayoutError(f"a message of {self.name} has another size than its schema says")
        data = np.frombuffer(b"".join(messages), dtype=np.uint8).reshape(m, self.size)
        if m and not np.array_equal(data[:, self._fixed], np.broadcast_to(self._template[self._fixed], (m, int(
            self._fixed.sum())))):  # fmt: skip
            raise LayoutError(f"a message of {self.name} has other fields than its schema says")
        return [
            np.ascontiguousarray(data[:, at]).view(kind).astype(np.float64).reshape(m, size)
            for kind, size, at in zip(self._kinds, self._sizes, self._at, strict=True)
        ]


def _values(number: int, labels: tuple[tuple[str, ...], ...], kind: str) -> tuple[bytes, list[int]]:
    """Bytes of one field with zeros for values, and where in them each value begins."""
    if not labels:
        tag = varint(number << 3 | (_FIXED32 if kind == "f4" else _FIXED64))
        return tag + bytes(4 if kind == "f4" else 8), [len(tag)]
    body, places = bytearray(), []
    for child in range(1, len(labels[0]) + 1):
        part, inside = _values(child, labels[1:], kind)
        places += [len(body) + at for at in inside]
        body += part
    head = varint(number << 3 | _LENGTH) + varint(len(body))
    return head + bytes(body), [len(head) + at for at in places]


def field_bytes(number: int, value: bytes | int) -> bytes:
    """One field: a number that is not negative as a varint, anything else with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | _LENGTH) + varint(len(value)) + value


def _field_descriptor(name: str, number: int, kind: str, type_name: str = "") -> bytes:
    type_number = _MESSAGE if type_name else (_FLOAT if kind == "f4" else _DOUBLE)
    found = field_bytes(1, name.encode()) + field_bytes(3, number)
    found += field_bytes(4, _OPTIONAL) + field_bytes(5, type_number)
    return found + (field_bytes(6, type_name.encode()) if type_name else b"")


def _message_descriptor(name: str, scope: str, fields: Sequence[Column]) -> bytes:
    """A `DescriptorProto`; columns with labels become nested messages named after them."""
    full = f"{scope}.{name}"
    body, nested = field_bytes(1, name.encode()), b""
    for number, column in enumerate(fields, start=1):
        if not column.labels:
            body += field_bytes(2, _field_descriptor(column.name, number, column.kind))
            continue
        inner = "".join(word.capitalize() for word in column.name.split("_"))
        inner = inner if inner != name else f"{inner}Values"
        body += field_bytes(2, _field_descriptor(column.name, number, column.kind, f"{full}.{inner}"))
        parts = [Column(label, column.kind, column.labels[1:]) for label in identifiers(column.labels[0])]
        nested += field_bytes(3, _message_descriptor(inner, full, parts))
    return body + nested


def _descriptor_set(message: str, columns: Sequence[Column]) -> bytes:
    """A `FileDescriptorSet` with one proto3 file that holds the message."""
    file = field_bytes(1, f"{PACKAGE}/{message}.proto".encode()) + field_bytes(2, PACKAGE.encode())
    file += field_bytes(4, _message_descriptor(message, f".{PACKAGE}", columns)) + field_bytes(12, b"proto3")
    return field_bytes(1, file)
