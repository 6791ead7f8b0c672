"""What an ONNX file says of itself, read without loading it: opset, hash, metadata, weights, and whether it is whole.

An ONNX file is one protobuf message (ModelProto, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); only the
levels needed are walked here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from teleopd.service.policy.errors import DataAbsent, FileAbsent, NonFiniteWeights, NotOnnx

MAX_BYTES = 512 * 1024 * 1024
"""No policy that runs at 50 Hz on a CPU comes near; keeps a wrong path from filling memory."""

_IR_VERSION, _GRAPH, _OPSET_IMPORT, _METADATA = 1, 7, 8, 14
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOATS: Mapping[int, str] = {1: "<f4", 10: "<f2", 11: "<f8"}
"""TensorProto data types that can hold NaN -> numpy type."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """One complete ONNX file."""

    path: Path
    content: bytes
    sha256: str
    opset: int
    """Version of the default operator set."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """`metadata_props`: what the exporter noted."""
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes; a free dimension is -1."""
    outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    data: tuple[tuple[str, str], ...] = ()
    """File with weights beside it -> its sha256."""
    graph: bytes = b""


def read_onnx(path: Path) -> OnnxFile:
    """Read a file and see that it is a complete ONNX model.

    Raises:
        FileAbsent: there is no such file.
        NotOnnx: it is something else, or ends too early.
        DataAbsent: its weights lie in a file that is not there.
    """
    if not path.is_file():
        raise FileAbsent(path)
    content = _content(path)
    try:
        fields = list(_fields(content))
        opsets = [_opset(value) for number, value in fields if number == _OPSET_IMPORT and isinstance(value, bytes)]
        metadata = dict(_pair(value) for number, value in fields if number == _METADATA and isinstance(value, bytes))
        numbers = {number for number, _ in fields}
        if _GRAPH not in numbers or _IR_VERSION not in numbers:
            raise NotOnnx(path, "it holds no graph")
        standard = [version for domain, version in opsets if domain in (b"", b"ai.onnx")]
        if not standard:
            raise NotOnnx(path, "it names no operator set, so its end is missing or its exporter is broken")
        graph = next(value for number, value in fields if number == _GRAPH and isinstance(value, bytes))
        parts = list(_fields(graph))
        inputs = dict(_value(value) for number, value in parts if number == _INPUT and isinstance(value, bytes))
        outputs = dict(_value(value) for number, value in parts if number == _OUTPUT and isinstance(value, bytes))
        tensors = list(_tensors(parts))
    except _Malformed as error:
        raise NotOnnx(path, str(error)) from None
    initial = {tensor.name for tensor in tensors}
    inputs = {name: shape for name, shape in inputs.items() if name not in initial}
    files = sorted({tensor.location for tensor in tensors if tensor.location})
    data = tuple((name, hashlib.sha256(_beside(path, name)).hexdigest()) for name in files)
    sha256 = hashlib.sha256(content).hexdigest()
    return OnnxFile(path, content, sha256, standard[0], metadata, inputs, outputs, data, graph)


def check_weights(onnx: OnnxFile) -> None:
    """See that every weight is finite; constants inside nodes may be infinite, never NaN.

    Raises:
        NonFiniteWeights: names the tensor.
    """
    beside = {name: _beside(onnx.path, name) for name, _ in onnx.data}
    for tensor in _tensors(list(_fields(onnx.graph))):
        if tensor.data_type not in _FLOATS:
            continue
        raw = tensor.raw
        if tensor.location:
            end = len(beside[tensor.location]) if tensor.length is None else tensor.offset + tensor.length
            raw = beside[tensor.location][tensor.offset : end]
        itemsize = np.dtype(_FLOATS[tensor.data_type]).itemsize
        if len(raw) % itemsize:
            raise NotOnnx(onnx.path, f"the weights '{tensor.name}' have {len(raw)} bytes, no multiple of {itemsize}")
        values = np.frombuffer(raw, dtype=_FLOATS[tensor.data_type])
        # A lone infinity is a bound or a mask, not a weight.
        bad = int(np.count_nonzero(np.isnan(values) if tensor.constant or values.size == 1 else ~np.isfinite(values)))
        if bad:
            raise NonFiniteWeights(onnx.path, tensor.name, bad, values.size)


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise NotOnnx(path, f"it has {size} bytes, more than the {MAX_BYTES} a policy may have")
        return path.read_bytes()
    except OSError as error:
        raise NotOnnx(path, f"it cannot be read ({error})") from None


def _beside(path: Path, name: str) -> bytes:
    """Content of a weights file, which may only lie in the ONNX file's own folder."""
    if PurePosixPath(name).name != name or name in ("", ".", ".."):
        raise NotOnnx(path, f"its weights are said to lie in '{name}', which is not a file beside it")
    if not (path.parent / name).is_file():
        raise DataAbsent(path, name)
    return _content(path.parent / name)


class _Malformed(ValueError):
    pass


def _opset(content: bytes) -> tuple[bytes, int]:
    """Domain and version of an OperatorSetIdProto."""
    fields = dict(_fields(content))
    domain, version = fields.get(1, b""), fields.get(2, 0)
    if not isinstance(domain, bytes) or not isinstance(version, int):
        raise _Malformed("its operator set is not readable")
    return domain, version


def _pair(content: bytes) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto."""
    fields = dict(_fields(content))
    key, value = fields.get(1, b""), fields.get(2, b"")
    if not isinstance(key, bytes) or not isinstance(value, bytes):
        raise _Malformed("its metadata are not readable")
    return key.decode("utf-8", "replace"), value.decode("utf-8", "replace")


def _value(content: bytes) -> tuple[str, tuple[int, ...]]:
    """Name and shape of a ValueInfoProto; a free dimension is -1."""
    name, shape = "", []
    for number, value in _fields(content):
        if number == 1 and isinstance(value, bytes):
            name = value.decode("utf-8", "replace")
        elif number == 2:
            for dimension in _inside(value, (1, 2, 1)):
                size = dict(_fields(dimension)).get(1, -1)
                shape.append(size if isinstance(size, int) else -1)
    return name, tuple(shape)


def _inside(value: int | bytes, path: tuple[int, ...]) -> Iterator[bytes]:
    """Messages found by following field numbers."""
    if not isinstance(value, bytes):
        return
    if not path:
        yield value
        return
    for number, inner in _fields(value):
        if number == path[0]:
            yield from _inside(inner, path[1:])


@dataclass(slots=True)
class _Tensor:
    name: str = ""
    data_type: int = 0
    raw: bytes = b""
    location: str = ""
    offset: int = 0
    length: int | None = None
    constant: bool = False
    """It is a node's attribute."""


def _tensors(parts: list[tuple[int, int | bytes]]) -> Iterator[_Tensor]:
    """Weights of a graph: its initializers, and the tensors in its nodes' attributes."""
    for number, value in parts:
        if number == _INITIALIZER and isinstance(value, bytes):
            yield _tensor(value)
        elif number == _NODE:
            for content in _inside(value, (5, 5)):
                tensor = _tensor(content)
                tensor.constant = True
                yield tensor


def _tensor(content: bytes) -> _Tensor:
    """TensorProto: data_type 2, float_data 4, name 8, raw_data 9, double_data 10, external_data 13."""
    tensor = _Tensor()
    single: list[bytes] = []
    for number, value in _fields(content):
        if number == 2 and isinstance(value, int):
            tensor.data_type = value
        elif number == 8 and isinstance(value, bytes):
            tensor.name = value.decode("utf-8", "replace")
        elif number in (4, 9, 10) and isinstance(value, bytes):
            single.append(value)
        elif number == 13 and isinstance(value, bytes):
            _external(tensor, *_pair(value))
    tensor.raw = b"".join(single)
    return tensor


def _external(tensor: _Tensor, key: str, value: str) -> None:
    if key == "location":
        tensor.location = value
    elif key in ("offset", "length"):
        if not value.isdigit():
            raise _Malformed(f"the weights '{tensor.name}' lie at {key} '{value}'")
        setattr(tensor, key, int(value))


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
