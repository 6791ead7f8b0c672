"""Names, files and nothing -> a policy, or one sentence that says what to do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from teleopd.service.policy import library
from teleopd.service.policy.errors import (
    FileAbsent,
    HashMismatch,
    NoCard,
    NotOnnx,
    UnknownPolicy,
    WeightsAbsent,
    WrongRobot,
)
from teleopd.service.policy.library import absent_sentence, resolve, search_folders, shipped_cards


@pytest.fixture
def shipped(tiny, tripod):
    """The tripod's card shipped as 'tiny'; its weights, not yet in any searched folder."""
    text, path = tiny()
    (tripod.mjcf.parent / "policies" / "tiny.toml").write_text(text)
    return path


def refusal(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def test_a_name_finds_weights_in_a_folder_or_one_below(tripod, shipped, tmp_path):
    for place in ("flat/tiny.onnx", "deep/any/tiny.onnx"):
        target = tmp_path / place
        target.parent.mkdir(parents=True)
        shutil.copy(shipped, target)
        found = resolve("tiny", tripod, folders=[tmp_path / "absent", tmp_path / place.split("/")[0]])
        assert found is not None
        assert found.onnx_path == target
        assert found.card.name == "tiny"
        assert found.card_path == tripod.mjcf.parent / "policies" / "tiny.toml"
    found = resolve(None, tripod, folders=[tmp_path / "flat"])
    assert found is not None
    assert found.onnx_path == tmp_path / "flat" / "tiny.onnx"


def test_nothing_given_and_nothing_found(tripod, shipped, tmp_path):
    assert resolve(None, tripod, folders=[tmp_path / "none"]) is None
    assert absent_sentence(tripod, folders=[tmp_path / "none"]) == (
        "no policy weights for tripod were found, so the robot is shown kinematically and does not balance; "
        f"put 'tiny.onnx' (tiny) into one of {tmp_path / 'none'}, or name a file with --policy FILE"
    )


def test_an_unknown_name_lists_the_valid_ones(tripod, shipped):
    message = (
        "unknown policy 'tony' for robot 'tripod'; did you mean 'tiny'? Valid: tiny, or the path of an ONNX file"
    )
    with refusal(UnknownPolicy, message):
        resolve("tony", tripod, folders=[])


def test_absent_weights_say_where_to_put_them(tripod, shipped, tmp_path):
    message = (
        f"policy 'tiny' needs the weights 'tiny.onnx', which are in none of {tmp_path / 'x'}, {tmp_path / 'y'}: "
        "put the file into one of these folders, or name it with --policy FILE"
    )
    with refusal(WeightsAbsent, message):
        resolve("tiny", tripod, folders=[tmp_path / "x", tmp_path / "y"])


def test_other_weights_under_the_right_name(tripod, shipped, tmp_path, write_onnx):
    """A wrong file is refused when it is the only one, and passed over when the right one is further on."""
    (tmp_path / "first").mkdir()
    found = write_onnx(tmp_path / "first" / "tiny.onnx", np.ones((9, 3)), np.zeros(3))
    with pytest.raises(HashMismatch, match=f"{tmp_path / 'first' / 'tiny.onnx'} has {found}$"):
        resolve("tiny", tripod, folders=[tmp_path / "first"])
    policy = resolve("tiny", tripod, folders=[tmp_path / "first", shipped.parent])
    assert policy is not None
    assert policy.onnx_path == shipped


def test_a_file_is_matched_with_a_shipped_card_by_its_hash(tripod, shipped, tmp_path):
    renamed = tmp_path / "renamed.onnx"
    shutil.copy(shipped, renamed)
    policy = resolve(str(renamed), tripod)
    assert policy is not None
    assert (policy.onnx_path, policy.card.name) == (renamed, "tiny")


def test_a_card_beside_the_file_wins(tripod, shipped):
    beside = shipped.with_suffix(".toml")
    text = (tripod.mjcf.parent / "policies" / "tiny.toml").read_text()
    beside.write_text(text.replace('name = "tiny"', 'name = "mine"'))
    for given in (shipped, beside):
        policy = resolve(str(given), tripod)
        assert policy is not None
        assert (policy.card.name, policy.onnx_path, policy.card_path) == ("mine", shipped, beside)
    beside.write_text(text.replace('robot = "tripod"', 'robot = "biped"'))
    with refusal(WrongRobot, "card 'tiny' is for robot 'biped', this robot is 'tripod'"):
        resolve(str(shipped), tripod)


def test_a_card_beside_another_file(tripod, shipped, write_onnx):
    shipped.with_suffix(".toml").write_text((tripod.mjcf.parent / "policies" / "tiny.toml").read_text())
    write_onnx(shipped, np.ones((9, 3)), np.zeros(3))
    with pytest.raises(HashMismatch, match=r"^card 'tiny' is for the model with sha256 "):
        resolve(str(shipped), tripod)


def test_a_file_without_a_card(tripod, shipped, tmp_path, write_onnx):
    other = tmp_path / "other.onnx"
    sha256 = write_onnx(other, np.ones((9, 3)), np.zeros(3))
    message = (
        f"{other} has no card: the shipped cards (tiny) are not for it (sha256 {sha256[:16]}); "
        f"describe it in {tmp_path / 'other.toml'}, which a card under robots/*/policies shows how to write"
    )
    with refusal(NoCard, message):
        resolve(str(other), tripod)


def test_files_that_are_absent_truncated_or_something_else(tripod, shipped, tmp_path):
    with refusal(FileAbsent, f"policy file {tmp_path / 'no.onnx'} does not exist"):
        resolve(str(tmp_path / "no.onnx"), tripod)
    with refusal(FileAbsent, f"policy file {tmp_path / 'no.toml'} does not exist"):
        resolve(str(tmp_path / "no.toml"), tripod)
    shipped.write_bytes(shipped.read_bytes()[:-10])
    with pytest.raises(NotOnnx, match="is not a usable ONNX model: "):
        resolve(str(shipped), tripod)
    shipped.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(NotOnnx, match="is not a usable ONNX model: "):
        resolve(str(shipped), tripod)


def test_a_card_file_without_its_model(tripod, shipped):
    card = tripod.mjcf.parent / "policies" / "tiny.toml"
    with pytest.raises(WeightsAbsent, match=f"which are in none of {card.parent}: "):
        resolve(str(card), tripod)


def test_search_folders_in_order(monkeypatch):
    folders = search_folders({"TELEOPD_POLICY_PATH": "/a:~/b:"})
    assert folders[:3] == [Path("/a"), Path("~/b").expanduser(), Path("~/.local/share/teleopd/policies").expanduser()]
    checkout = Path(library.__file__).resolve().parents[2]
    expected = [checkout.parent / "shared" / "data" / "policies"] if (checkout / "pyproject.toml").is_file() else []
    assert folders[3:] == expected
    monkeypatch.setattr(library, "__file__", "/site-packages/teleopd/service/policy/library.py")
    assert search_folders({}) == [Path("~/.local/share/teleopd/policies").expanduser()]


def test_cards_are_found_beside_the_robot(g1):
    assert "twist2" in shipped_cards(g1)
