"""Where results go: what cannot hold them is refused in one sentence that names the flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from teleopd.launch import outputs
from teleopd.launch.errors import CommandError
from teleopd.launch.outputs import output_file, output_folder


def test_a_file_is_found_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert output_file("--out", Path("a.json")) == output_file("--out", Path("~/a.json")) == tmp_path / "a.json"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made_with_those_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert output_folder("--out", Path("~/a/b")) == tmp_path / "a" / "b"
    assert output_folder("--out", tmp_path / "a" / "b").is_dir()


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    missing = tmp_path / "none" / "a.json"
    for path, sentence in (
        (missing, f"--out {missing}: the folder {missing.parent} does not exist"),
        (tmp_path, f"--out {tmp_path} is a folder; give a file"),
    ):
        with pytest.raises(CommandError) as raised:
            output_file("--out", path)
        assert str(raised.value) == sentence
    monkeypatch.setattr(outputs.os, "access", lambda *_: False)
    with pytest.raises(CommandError) as raised:
        output_file("--out", tmp_path / "a.json")
    assert str(raised.value) == f"--out {tmp_path}/a.json: the folder {tmp_path} may not be written to"


def test_folders_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    for path, sentence in (
        (tmp_path / "file", f"--out {tmp_path}/file is a file; give a folder"),
        (tmp_path / "file" / "x", f"--out {tmp_path}/file/x cannot be made: Not a directory"),
    ):
        with pytest.raises(CommandError) as raised:
            output_folder("--out", path)
        assert str(raised.value) == sentence
    monkeypatch.setattr(outputs.os, "access", lambda *_: False)
    with pytest.raises(CommandError) as raised:
        output_folder("--out", tmp_path)
    assert str(raised.value) == f"--out {tmp_path} may not be written to"
