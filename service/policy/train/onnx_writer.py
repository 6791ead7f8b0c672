"""ONNX files written as the protobuf they are: the few message fields a small network needs.

Field numbers: onnx/onnx.proto of the ONNX project (ModelProto, GraphProto, NodeProto, TensorProto, ValueInfoProto).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

OPSET = 13
IR_VERSION = 7
"""The one that came with operator set 13."""
_FLOAT, _INT64 = 1, 7
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT = 1, 2


Matrix = npt.NDArray[np.float32]


class Node(NamedTuple):
    """One operator."""

    op: str
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, int | float] = {}


def layers(linears: Sequence[tuple[Matrix, Matrix]], constants: dict[str, Any]) -> list[Node]:
    """Linear layers (weight, bias) from "x0" to "out", SiLU between them; their numbers are added to `constants`."""
    nodes, last = [], len(linears) - 1
    for i, (weight, bias) in enumerate(linears):
        constants[f"weight{i}"], constants[f"bias{i}"] = weight, bias
        out = "out" if i == last else f"y{i}"
        nodes.append(Node("Gemm", (f"x{i}", f"weight{i}", f"bias{i}"), out, {"transB": 1}))
        if i < last:
            nodes += [Node("Sigmoid", (f"y{i}",), f"s{i}"), Node("Mul", (f"y{i}", f"s{i}"), f"x{i + 1}")]
    return nodes


def model(
    nodes: Sequence[Node], constants: Mapping[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]],
    inputs: tuple[str, int], outputs: tuple[str, int], producer: str,
    more_inputs: Sequence[tuple[str, int]] = (), more_outputs: Sequence[tuple[str, int]] = (),
) -> bytes:  # fmt: skip
    """A file's bytes; inputs and outputs are (name, width) of float matrices with any number of rows."""
    graph = b"".join(_message(1, _node(node, i)) for i, node in enumerate(nodes))
    graph += _text(2, "policy")
    graph += b"".join(_message(5, _tensor(name, value)) for name, value in constants.items())
    graph += b"".join(_message(11, _matrix(*one)) for one in (inputs, *more_inputs))
    graph += b"".join(_message(12, _matrix(*one)) for one in (outputs, *more_outputs))
    opset = _text(1, "") + _number(2, OPSET)
    return _number(1, IR_VERSION) + _text(2, producer) + _message(7, graph) + _message(8, opset)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, content: str) -> bytes:
    return _message(field, content.encode())


def _node(node: Node, index: int) -> bytes:
    out = b"".join(_text(1, name) for name in node.inputs) + _text(2, node.output)
    out += _text(3, f"{node.op.lower()}_{index}") + _text(4, node.op)
    for name, value in node.attributes.items():
        if isinstance(value, int):
            attribute = _text(1, name) + _number(3, value) + _number(20, _ATTRIBUTE_INT)
        else:
            attribute = _text(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value)
            attribute += _number(20, _ATTRIBUTE_FLOAT)
        out += _message(5, attribute)
    return out


def _tensor(name: str, value: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> bytes:
    """Raises:
    TypeError: neither float32 nor int64.
    """
    kinds = {np.dtype(np.float32): _FLOAT, np.dtype(np.int64): _INT64}
    if value.dtype not in kinds:
        raise TypeError(f"constant '{name}' is {value.dtype}; written are float32 and int64")
    out = b"".join(_number(1, size) for size in value.shape)
    little = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"))
    return out + _number(2, kinds[value.dtype]) + _text(8, name) + _message(9, little.tobytes())


def _matrix(name: str, width: int) -> bytes:
    shape = _message(1, _text(2, "batch")) + _message(1, _number(1, width))
    return _text(1, name) + _message(2, _message(1, _number(1, _FLOAT) + _message(2, shape)))
