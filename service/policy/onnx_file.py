"""What an ONNX file says of itself, read without loading it: opset, hash, and whether it is whole.

An ONNX file is one protobuf message (ModelProto, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); only its
outermost level is walked here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from teleopd.service.policy.errors import FileAbsent, NotOnnx

MAX_BYTES = 512 * 1024 * 1024
"""No policy that runs at 50 Hz on a CPU comes near; keeps a wrong path from filling memory."""

_IR_VERSION, _GRAPH, _OPSET_IMPORT = 1, 7, 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """One complete ONNX file."""

    path: Path
    content: bytes
    sha256: str
    opset: int
    """Version of the default operator set."""


def read_onnx(path: Path) -> OnnxFile:
    """Read a file and see that it is a complete ONNX model.

    Raises:
        FileAbsent: there is no such file.
        NotOnnx: it is something else, or ends too early.
    """
    if not path.is_file():
        raise FileAbsent(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise NotOnnx(path, f"it has {size} bytes, more than the {MAX_BYTES} a policy may have")
        content = path.read_bytes()
    except OSError as error:
        raise NotOnnx(path, f"it cannot be read ({error})") from None
    try:
        fields = list(_fields(content))
        opsets = [_opset(value) for number, value in fields if number == _OPSET_IMPORT and isinstance(value, bytes)]
    except _Malformed as error:
        raise NotOnnx(path, str(error)) from None
    numbers = {number for number, _ in fields}
    if _GRAPH not in numbers or _IR_VERSION not in numbers:
        raise NotOnnx(path, "it holds no graph")
    standard = [version for domain, version in opsets if domain in (b"", b"ai.onnx")]
    if not standard:
        raise NotOnnx(path, "it names no operator set, so its end is missing or its exporter is broken")
    return OnnxFile(path, content, hashlib.sha256(content).hexdigest(), standard[0])


class _Malformed(ValueError):
    pass


def _opset(content: bytes) -> tuple[bytes, int]:
    """Domain and version of an OperatorSetIdProto."""
    fields = dict(_fields(content))
    domain, version = fields.get(1, b""), fields.get(2, 0)
    if not isinstance(domain, bytes) or not isinstance(version, int):
        raise _Malformed("its operator set is not readable")
    return domain, version


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of every field of one protobuf message."""
    at = 0
    while at < len(content):
        start = at
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(content, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise _Malformed(f"byte {start} is no protobuf field")
        if number == 0:
            raise _Malformed(f"byte {start} is no protobuf field")
        if at + length > len(content):
            missing = at + length - len(content)
            raise _Malformed(f"it ends {missing} bytes too early: truncated, or no ONNX file at all")
        yield number, content[at : at + length]
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            raise _Malformed("it ends inside a number: truncated, or no ONNX file at all")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Malformed(f"byte {at - 10} is no protobuf field")
