"""The networks themselves: ONNX sessions on one CPU thread, with everything they want beside the observation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from teleopd.service.policy.card import Card, Extra, ModelFile
from teleopd.service.policy.errors import HashMismatch, NotOnnx, Unsupported, WrongWidth
from teleopd.service.policy.onnx_file import OnnxFile, read_onnx

Float32 = npt.NDArray[np.float32]
_TENSOR = {"float32": "tensor(float)", "int64": "tensor(int64)", "bool": "tensor(bool)"}
_NUMPY: dict[str, Any] = {"float32": np.float32, "int64": np.int64, "bool": np.bool_}


class Network:
    """An ONNX session with one thread whose inputs and outputs live in fixed buffers."""

    def __init__(self, card: Card, onnx: OnnxFile, model: ModelFile | None = None) -> None:
        """Load the file; `model` is the card's own unless given.

        Raises:
            NotOnnx: onnxruntime refuses it.
            WrongWidth: names, sizes or operator set are not the card's.
            Unsupported: it wants inputs that the card does not describe.
        """
        self._model = model = card.model if model is None else model
        if onnx.opset != model.opset:
            raise WrongWidth(card.name, "opset", model.opset, onnx.opset)
        self._session = _session(onnx)
        _check_signature(card, model, self._session)
        self._input = np.zeros((1, model.input_width), dtype=np.float32)
        self._output = np.zeros((1, model.output_width), dtype=np.float32)
        self._action: Float32 = self._output[0]
        self._binding = self._session.io_binding()
        self._values: list[Any] = []
        self._bind_input(model.input, self._input)
        self._bind_output(model.output, self._output)
        self._observed: list[tuple[Any, int, int]] = []
        self._recurrent: list[tuple[Any, Any]] = []
        self._set: dict[str, list[Any]] = {"clip_time": [], "first_tick": [], "force_limit": []}
        at = model.input_width
        for extra in model.extras:
            at = self._bind_extra(extra, at)

    def _bind_extra(self, extra: Extra, at: int) -> int:
        array = np.full(extra.shape, extra.value if extra.source == "constant" else 0, dtype=_NUMPY[extra.dtype])
        self._bind_input(extra.input, array)
        if extra.source == "observation":
            self._observed.append((array.reshape(-1), at, at + extra.size))
            return at + extra.size
        if extra.source == "recurrent":
            output = np.zeros_like(array)
            self._bind_output(extra.output, output)
            self._recurrent.append((array, output))
        elif extra.source != "constant":
            self._set[extra.source].append(array)
        return at

    def _bind_input(self, name: str, array: Any) -> None:
        # On the CPU an OrtValue shares the array's memory: nothing is copied or allocated a tick.
        self._values.append(ort.OrtValue.ortvalue_from_numpy(array))
        self._binding.bind_ortvalue_input(name, self._values[-1])

    def _bind_output(self, name: str, array: Any) -> None:
        self._values.append(ort.OrtValue.ortvalue_from_numpy(array))
        self._binding.bind_ortvalue_output(name, self._values[-1])

    def run(self, observation: Float32) -> Float32:
        """The output for one observation (1, width), shape (output_width,): overwritten by the next run."""
        self._input[:] = observation if not self._observed else observation[:, : self._model.input_width]
        for array, start, stop in self._observed:
            array[:] = observation[0, start:stop]
        self._session.run_with_iobinding(self._binding)
        return self._action

    def rehearse(self) -> None:
        """Compute the last run's inputs again for nothing but warm caches; what it gives is not to be read."""
        self._session.run_with_iobinding(self._binding)

    def set(self, source: str, value: float) -> None:
        """Give an extra input its value: 'clip_time', 'first_tick' or 'force_limit'."""
        for array in self._set[source]:
            array[...] = value

    def commit(self) -> None:
        """The last run counts: what it gave of the recurrent state is what the next one starts from."""
        for state, output in self._recurrent:
            state[...] = output

    def reset(self) -> None:
        """Recurrent state to zeros."""
        for state, _ in self._recurrent:
            state[...] = 0

    @property
    def state_is_finite(self) -> bool:
        """Whether the recurrent state after the last run is finite."""
        return all(bool(np.isfinite(output).all()) for _, output in self._recurrent)

    def probe(self, clip_time: int, outputs: Sequence[str]) -> dict[str, Any]:
        """Other outputs at a tick of the motion inside, for a zero observation. For set-up only.

        Raises:
            WrongWidth: there is no such output.
        """
        known = [tensor.name for tensor in self._session.get_outputs()]
        for name in outputs:
            if name not in known:
                listed = ", ".join(f"'{n}'" for n in known)
                raise WrongWidth(self._model.file, "an output is called", f"'{name}'", listed)
        feeds: dict[str, Any] = {self._model.input: np.zeros_like(self._input)}
        for extra in self._model.extras:
            value = clip_time if extra.source == "clip_time" else extra.value
            feeds[extra.input] = np.full(extra.shape, value, dtype=_NUMPY[extra.dtype])
        return dict(zip(outputs, self._session.run(list(outputs), feeds), strict=True))


class Pipeline:
    """The card's network, with its encoder in front where it has one. Same calls as `Network`."""

    def __init__(self, card: Card, onnx: OnnxFile) -> None:
        """Raises: as `Network`; HashMismatch and FileAbsent for the encoder's file."""
        self.policy = Network(card, onnx)
        self.encoder: Network | None = None
        if card.encoder is not None:
            encoder = read_onnx(onnx.path.parent / Path(card.encoder.file).name)
            check_hash(card, card.encoder, encoder)
            self.encoder = Network(card, encoder, card.encoder)
            self._split, self._token = card.encoder.input_width, card.encoder.output_width
            self._joined = np.zeros((1, self._token + card.inputs_width - self._split), dtype=np.float32)

    def run(self, observation: Float32) -> Float32:
        """The output for one whole observation (1, width)."""
        if self.encoder is None:
            return self.policy.run(observation)
        self._joined[0, : self._token] = self.encoder.run(observation[:, : self._split])
        self._joined[0, self._token :] = observation[0, self._split :]
        return self.policy.run(self._joined)

    def rehearse(self) -> None:
        """As `Network.rehearse`, for both."""
        if self.encoder is not None:
            self.encoder.rehearse()
        self.policy.rehearse()

    def set(self, source: str, value: float) -> None:
        """As `Network.set`, for both."""
        self.policy.set(source, value)
        if self.encoder is not None:
            self.encoder.set(source, value)

    def commit(self) -> None:
        """As `Network.commit`, for both."""
        self.policy.commit()
        if self.encoder is not None:
            self.encoder.commit()

    def reset(self) -> None:
        """As `Network.reset`, for both."""
        self.policy.reset()
        if self.encoder is not None:
            self.encoder.reset()

    @property
    def state_is_finite(self) -> bool:
        """As `Network.state_is_finite`, for both."""
        return self.policy.state_is_finite and (self.encoder is None or self.encoder.state_is_finite)


def check_hash(card: Card, model: ModelFile, onnx: OnnxFile) -> None:
    """See that the file, and the files with its weights, are the card's.

    Raises:
        HashMismatch: names both hashes.
        WrongWidth: the card and the ONNX name different weight files.
    """
    if onnx.sha256 != model.sha256:
        raise HashMismatch(card.name, model.sha256, onnx.path, onnx.sha256)
    wanted, found = {d.file: d.sha256 for d in model.data}, dict(onnx.data)
    if set(wanted) != set(found):
        names = (", ".join(sorted(files)) or "none" for files in (wanted, found))
        raise WrongWidth(card.name, "weights in the files", *names)
    for name, sha256 in wanted.items():
        if found[name] != sha256:
            raise HashMismatch(card.name, sha256, onnx.path.parent / name, found[name])


def _session(onnx: OnnxFile) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # A spinning pool takes the core from the 500 Hz loop: worst case 6-19 ms (reference measurement).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Weights in another file are found relative to the path, so such a model is loaded from there.
    source = str(onnx.path) if onnx.data else onnx.content
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a different class for each way a file can be broken
        raise NotOnnx(onnx.path, f"onnxruntime refuses it: {' '.join(str(error).split())[:200]}") from None


def _check_signature(card: Card, model: ModelFile, session: ort.InferenceSession) -> None:
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    for what, name, width, found in (
        ("input", model.input, model.input_width, inputs),
        ("output", model.output, model.output_width, outputs),
    ):
        if name not in found:
            raise WrongWidth(card.name, f"the {what} is called", f"'{name}'", ", ".join(f"'{n}'" for n in found))
        if what == "input":
            _check_extras(card, model, inputs, outputs)
        shape = found[name].shape
        if found[name].type != "tensor(float)" or len(shape) != 2:
            kind = f"{found[name].type} {shape}"
            raise WrongWidth(card.name, f"{what} '{name}' is", f"tensor(float) [1, {width}]", kind)
        if shape[1] != width:
            raise WrongWidth(card.name, f"{what} width", width, shape[1])


def _check_extras(card: Card, model: ModelFile, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    fed = [model.input, *(extra.input for extra in model.extras)]
    if not set(inputs) <= set(fed):
        quoted = ", ".join(f"'{name}'" for name in fed)
        raise Unsupported(card.name, f"feeds {quoted}, the ONNX wants {len(inputs)} inputs: {', '.join(inputs)}")
    for extra in model.extras:
        pairs = [("input", extra.input, inputs)]
        if extra.source == "recurrent":
            pairs.append(("output", extra.output, outputs))
        for what, name, found in pairs:
            if name not in found:
                listed = ", ".join(f"'{n}'" for n in found)
                raise WrongWidth(card.name, f"an {what} is called", f"'{name}'", listed)
            tensor = found[name]
            fits = len(tensor.shape) == len(extra.shape) and all(
                not isinstance(size, int) or size == wanted
                for size, wanted in zip(tensor.shape, extra.shape, strict=True)
            )
            if tensor.type != _TENSOR[extra.dtype] or not fits:
                wanted_kind = f"{_TENSOR[extra.dtype]} {list(extra.shape)}"
                raise WrongWidth(card.name, f"{what} '{name}' is", wanted_kind, f"{tensor.type} {tensor.shape}")
