"""An ONNX file is taken as complete only when it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleopd.service.policy import onnx_file
from teleopd.service.policy.errors import FileAbsent, NotOnnx
from teleopd.service.policy.onnx_file import read_onnx


def test_opset_and_hash(tmp_path, write_onnx):
    path = tmp_path / "a.onnx"
    write_onnx(path, np.zeros((9, 3)), np.zeros(3), opset=17)
    onnx = read_onnx(path)
    assert onnx.opset == 17
    assert onnx.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_truncation_is_noticed(tmp_path, write_onnx):
    path = tmp_path / "a.onnx"
    write_onnx(path, np.ones((9, 3)), np.zeros(3))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(NotOnnx):
            read_onnx(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it holds no graph"),
        (b"\x08\x08\x3a\x20abc", "it ends 29 bytes too early: truncated, or no ONNX file at all"),
        (b"\x08\x08\x3a\x01a", "it names no operator set"),
        (b"\x08\x08\xff", "it ends inside a number"),
        (b"\x0b", "byte 0 is no protobuf field"),
        (b"\x08" + b"\xff" * 12, "byte 1 is no protobuf field"),
    ],
)
def test_what_is_not_onnx_is_said_so(tmp_path, content, problem):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(NotOnnx, match=f"a.onnx is not a usable ONNX model: {problem}"):
        read_onnx(path)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(tmp_path_factory, content):
    path = Path(tmp_path_factory.getbasetemp()) / "fuzz.onnx"
    path.write_bytes(content)
    with pytest.raises(NotOnnx):
        read_onnx(path)


def test_a_missing_file_and_a_huge_one(tmp_path, monkeypatch):
    with pytest.raises(FileAbsent, match=r"policy file .*none.onnx does not exist"):
        read_onnx(tmp_path / "none.onnx")
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 10)
    (tmp_path / "a.onnx").write_bytes(b"x" * 11)
    with pytest.raises(NotOnnx, match="it has 11 bytes, more than the 10 a policy may have"):
        read_onnx(tmp_path / "a.onnx")
