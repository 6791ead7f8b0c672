"""unitree_rl_gym's `motion.pt` -> ONNX, without torch and without running anything in the file.

A TorchScript file is a zip: `data.pkl` names the tensors, `data/<n>` hold them. It is read with an unpickler that knows
only tensors, containers and module names; code in the file is never executed. The network is fixed: one LSTM layer and
an actor of Linear, ELU, Linear (`PolicyExporterLSTM` of legged_gym), whose hidden and cell state become inputs and
outputs of the ONNX.
"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from teleopd.service.policy.errors import CannotImport, FileAbsent
from teleopd.service.policy.importers.onnx_writer import model, node

MAX_BYTES = 64 * 1024 * 1024
OPSET = 13
_STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8", "BoolStorage": "?"}
_TAGS = ("restore_type_tag", "build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")
Float32 = npt.NDArray[np.float32]


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip, as every TorchScript file is."""
    return path.is_file() and zipfile.is_zipfile(path)


def convert(path: Path) -> bytes:
    """The ONNX file for a recurrent velocity policy of unitree_rl_gym; the same bytes every time.

    Raises:
        FileAbsent: there is no such file.
        CannotImport: it is something else.
    """
    if not path.is_file():
        raise FileAbsent(path)
    found = tensors(path)
    try:
        w, r = found["memory.weight_ih_l0"], found["memory.weight_hh_l0"]
        bias_w, bias_r = found["memory.bias_ih_l0"], found["memory.bias_hh_l0"]
        layers = [(found[f"actor.{i}.weight"], found[f"actor.{i}.bias"]) for i in (0, 2)]
    except KeyError as error:
        known = f"only unitree_rl_gym's LSTM policies are known; it has {', '.join(sorted(found)) or 'none'}"
        raise CannotImport(path, f"it has no weights {error}; {known}") from None
    hidden, width = r.shape[1], w.shape[1]
    (first, first_bias), (last, last_bias) = layers
    shapes = {
        "memory.weight_ih_l0": (w, (4 * hidden, width)), "memory.weight_hh_l0": (r, (4 * hidden, hidden)),
        "memory.bias_ih_l0": (bias_w, (4 * hidden,)), "memory.bias_hh_l0": (bias_r, (4 * hidden,)),
        "actor.0.weight": (first, (len(first_bias), hidden)),
        "actor.2.weight": (last, (len(last_bias), len(first_bias))),
    }  # fmt: skip
    for name, (tensor, shape) in shapes.items():
        if tensor.shape != shape:
            shapes_of = f"the shape {list(tensor.shape)}, {list(shape)} was expected"
            raise CannotImport(path, f"its weights '{name}' have {shapes_of}")
    weights: dict[str, npt.NDArray[Any]] = {
        "lstm_w": _gates(w, hidden)[None], "lstm_r": _gates(r, hidden)[None],
        "lstm_b": np.concatenate([_gates(bias_w, hidden), _gates(bias_r, hidden)])[None],
        "w0": first, "b0": first_bias, "w1": last, "b1": last_bias,
        "sequence": np.array([1, 1, width], dtype=np.int64), "row": np.array([1, hidden], dtype=np.int64),
    }  # fmt: skip
    nodes = [
        node("Reshape", ("obs", "sequence"), ("x",)),
        node(
            "LSTM", ("x", "lstm_w", "lstm_r", "lstm_b", "", "h_in", "c_in"), ("", "h_out", "c_out"), hidden_size=hidden
        ),
        node("Reshape", ("h_out", "row"), ("h",)),
        node("Gemm", ("h", "w0", "b0"), ("a",), transB=1),
        node("Elu", ("a",), ("e",)),
        node("Gemm", ("e", "w1", "b1"), ("actions",), transB=1),
    ]
    state = (1, 1, hidden)
    return model(
        OPSET, nodes, weights, {"obs": (1, width), "h_in": state, "c_in": state},
        {"actions": (1, len(last_bias)), "h_out": state, "c_out": state},
    )  # fmt: skip


def _gates(tensor: Float32, hidden: int) -> Float32:
    """torch stacks the gates input, forget, cell, output; ONNX input, output, forget, cell."""
    i, f, c, o = (tensor[k * hidden : (k + 1) * hidden] for k in range(4))
    return np.concatenate([i, o, f, c])


class _Module:
    """Stands for every class of the file: keeps its attributes and does nothing."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _rebuild(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> npt.NDArray[Any]:
    """`torch._utils._rebuild_tensor_v2` for tensors that lie in one piece."""
    count = int(np.prod(size, dtype=np.int64))
    expected = tuple(int(np.prod(size[i + 1 :], dtype=np.int64)) for i in range(len(size)))
    if tuple(stride) != expected or offset < 0 or offset + count > len(storage):
        raise pickle.UnpicklingError("a tensor does not lie in one piece")
    return np.array(storage[offset : offset + count]).reshape(size)


def _untagged(value: Any, *_: Any) -> Any:
    """A container that was marked with its element type."""
    return value


class _Unpickler(pickle.Unpickler):
    """Knows tensors, ordered dictionaries and module names; everything else is refused."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch.jit._pickle" and name in _TAGS:
            return _untagged
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in _STORAGES:
            return name
        if module.startswith("__torch__."):
            return _Module
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, pid: Any) -> Any:
        _, kind, key, _, count = pid
        values = np.frombuffer(self._archive.read(f"{self._root}/data/{int(key)}"), dtype=_STORAGES[kind])
        if len(values) != count:
            raise pickle.UnpicklingError(f"tensor data {key} has {len(values)} values, {count} were announced")
        return values


def tensors(path: Path) -> dict[str, Float32]:
    """Dotted name -> weights, of every tensor in the module tree of a TorchScript file.

    Raises:
        CannotImport: it is none, or holds other things than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise CannotImport(path, f"it unpacks to more than {MAX_BYTES} bytes")
            roots = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(roots) != 1:
                raise CannotImport(path, "it is no TorchScript file: a zip with one data.pkl")
            tree = _Unpickler(archive, roots[0]).load()
    except CannotImport:
        raise
    except Exception as error:  # a broken zip or pickle fails in many ways; all mean the same to the user
        raise CannotImport(path, f"it is not readable as TorchScript: {' '.join(str(error).split())[:200]}") from None
    found: dict[str, Float32] = {}
    _collect(tree, "", found)
    return found


def _collect(value: Any, name: str, found: dict[str, Float32]) -> None:
    if isinstance(value, _Module) and isinstance(getattr(value, "state", None), dict):
        for key, item in value.state.items():
            _collect(item, f"{name}.{key}" if name else str(key), found)
    elif isinstance(value, np.ndarray) and value.dtype == np.float32:
        found[name] = value
