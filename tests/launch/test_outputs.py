"""Where results go: what cannot hold them is refused in one sentence that names the flag."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from teleopd.launch import outputs
from teleopd.launch.errors import CommandError
from teleopd.launch.outputs import folder_to_make, output_file, output_folder, output_folder_for


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
        (tmp_path / "file" / "x", f"--out {tmp_path}/file/x cannot be made: {tmp_path}/file is not a folder"),
    ):
        with pytest.raises(CommandError) as raised:
            output_folder("--out", path)
        assert str(raised.value) == sentence
    monkeypatch.setattr(outputs.os, "access", lambda *_: False)
    with pytest.raises(CommandError) as raised:
        output_folder("--out", tmp_path)
    assert str(raised.value) == f"--out {tmp_path} may not be written to"


def test_what_can_be_written_to_is_not_refused_for_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As /dev/stdout for anybody but root."""
    file = tmp_path / "theirs.json"
    file.touch()
    monkeypatch.setattr(outputs.os, "access", lambda path, _mode: Path(path) == file)
    assert output_file("--report", file) == file
    with pytest.raises(CommandError, match="may not be written to"):
        output_file("--video", file, drafted=True)


def test_what_is_written_beside_its_place_first_replaces_no_device(tmp_path: Path):
    pipe, link = tmp_path / "pipe", tmp_path / "stdout"
    os.mkfifo(pipe)
    link.symlink_to("/proc/self/fd/1")
    for path in (pipe, link, Path("/dev/null")):
        assert output_file("--report", path) == path
        with pytest.raises(CommandError) as raised:
            output_file("--video", path, drafted=True)
        assert str(raised.value) == f"--video {path} is no file that could be replaced; give one"


def test_a_home_folder_of_nobody_is_one_sentence():
    for check in (output_file, output_folder, folder_to_make):
        with pytest.raises(CommandError) as raised:
            check("--out", Path("~no-such-user/a"))
        assert str(raised.value).startswith("--out ~no-such-user/a: there is no user 'no-such-user' here; write the")


def test_a_folder_is_checked_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert folder_to_make("--record", tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(outputs.os, "access", lambda *_: False)
    with pytest.raises(CommandError) as raised:
        folder_to_make("--record", tmp_path / "a" / "b")
    assert str(raised.value) == f"--record {tmp_path}/a/b cannot be made: {tmp_path} may not be written to"


def test_a_folder_made_for_work_that_is_refused_goes_again(tmp_path: Path):
    with pytest.raises(CommandError), output_folder_for("--out", tmp_path / "a" / "b") as folder:
        assert folder.is_dir()
        raise CommandError("refused")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CommandError), output_folder_for("--out", tmp_path / "a" / "b") as folder:
        (folder / "result").touch()
        raise CommandError("too late")
    with pytest.raises(CommandError), output_folder_for("--out", tmp_path / "a"):
        raise CommandError("refused")
    assert (tmp_path / "a" / "b" / "result").exists()
