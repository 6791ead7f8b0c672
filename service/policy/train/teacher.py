"""The teacher: TWIST2's tracker, asked for a whole batch at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from teleopd.service.policy.train.channels import Float32
from teleopd.service.policy.train.features import ACTION_CLIP


class Teacher:
    """An ONNX session that answers a batch."""

    def __init__(self, onnx_path: Path, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(str(onnx_path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, observation: Float32) -> Float32:
        """Raw actions (k, 29), clipped as they are used."""
        out: Float32 = self._session.run(None, {self._input: observation})[0]
        return np.clip(out, -ACTION_CLIP, ACTION_CLIP)
