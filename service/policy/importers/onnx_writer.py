"""Writes a small ONNX file byte by byte: the few node kinds our converters need, the same bytes for the same net.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

IR_VERSION = 8
_TYPES = {"float32": 1, "int64": 7}
_INT = 2
"""AttributeProto type of an integer."""


def model(opset: int, nodes: Sequence[bytes], weights: Mapping[str, npt.NDArray[np.generic]],
          inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Sequence[int]]) -> bytes:  # fmt: skip
    """ModelProto of one graph whose inputs and outputs are float32 of the given shapes."""
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "policy")
    graph += b"".join(_field(5, _tensor(name, array)) for name, array in weights.items())
    graph += b"".join(_field(11, _value_info(name, shape)) for name, shape in inputs.items())
    graph += b"".join(_field(12, _value_info(name, shape)) for name, shape in outputs.items())
    return _field(1, IR_VERSION) + _field(2, "teleopd") + _field(7, graph) + _field(8, _field(1, "") + _field(2, opset))


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **integers: int) -> bytes:
    """NodeProto; every attribute is an integer."""
    content = b"".join(_field(1, name) for name in inputs) + b"".join(_field(2, name) for name in outputs)
    content += _field(4, op)
    for name, value in sorted(integers.items()):
        content += _field(5, _field(1, name) + _field(3, value) + _field(20, _INT))
    return content


def _tensor(name: str, array: npt.NDArray[np.generic]) -> bytes:
    raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
    dims = b"".join(_field(1, size) for size in array.shape)
    return dims + _field(2, _TYPES[array.dtype.name]) + _field(8, name) + _field(9, raw)


def _value_info(name: str, shape: Sequence[int]) -> bytes:
    dims = b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, _TYPES["float32"]) + _field(2, dims)))


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
