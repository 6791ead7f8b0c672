"""The network itself: one ONNX session on one CPU thread."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from teleopd.service.policy.card import Card
from teleopd.service.policy.errors import NotOnnx, Unsupported, WrongWidth
from teleopd.service.policy.onnx_file import OnnxFile

Float32 = npt.NDArray[np.float32]


class Network:
    """An ONNX session with one thread whose input and output live in two fixed buffers."""

    def __init__(self, card: Card, onnx: OnnxFile) -> None:
        """Load the file.

        Raises:
            NotOnnx: onnxruntime refuses it.
            WrongWidth: names, sizes or operator set are not the card's.
            Unsupported: it wants inputs that the card does not describe.
        """
        if onnx.opset != card.model.opset:
            raise WrongWidth(card.name, "opset", card.model.opset, onnx.opset)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        # A spinning pool takes the core from the 500 Hz loop: worst case 6-19 ms (reference measurement).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(onnx.content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a different class for each way a file can be broken
            raise NotOnnx(onnx.path, f"onnxruntime refuses it: {' '.join(str(error).split())[:200]}") from None
        _check_signature(card, self._session)
        self._input = np.zeros((1, card.model.input_width), dtype=np.float32)
        self._output = np.zeros((1, card.model.output_width), dtype=np.float32)
        self._action: Float32 = self._output[0]
        self._binding = self._session.io_binding()
        # On the CPU an OrtValue shares the array's memory: nothing is copied or allocated a tick.
        self._values = [ort.OrtValue.ortvalue_from_numpy(array) for array in (self._input, self._output)]
        self._binding.bind_ortvalue_input(card.model.input, self._values[0])
        self._binding.bind_ortvalue_output(card.model.output, self._values[1])

    def run(self, observation: Float32) -> Float32:
        """The output for one observation (1, input_width), shape (output_width,): overwritten by the next run."""
        self._input[:] = observation
        self._session.run_with_iobinding(self._binding)
        return self._action


def _check_signature(card: Card, session: ort.InferenceSession) -> None:
    for what, name, width, tensors in (
        ("input", card.model.input, card.model.input_width, session.get_inputs()),
        ("output", card.model.output, card.model.output_width, session.get_outputs()),
    ):
        found = {tensor.name: tensor for tensor in tensors}
        if name not in found:
            raise WrongWidth(card.name, f"the {what} is called", f"'{name}'", ", ".join(f"'{n}'" for n in found))
        if what == "input" and len(found) > 1:
            raise Unsupported(card.name, f"feeds '{name}', the ONNX wants {len(found)} inputs: {', '.join(found)}")
        shape = found[name].shape
        if found[name].type != "tensor(float)" or len(shape) != 2:
            kind = f"{found[name].type} {shape}"
            raise WrongWidth(card.name, f"{what} '{name}' is", f"tensor(float) [1, {width}]", kind)
        if shape[1] != width:
            raise WrongWidth(card.name, f"{what} width", width, shape[1])
