"""From configuration to the constructor arguments of a source."""

from __future__ import annotations

import pytest

from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.source import MotionFileSource
from teleopd.drivers.xsens.source import XsensSource
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.registry import UnknownName
from teleopd.launch.sources import make_source, source_options


def test_only_what_was_asked_for_is_passed_on():
    assert source_options(RunConfig()) == {}
    asked = RunConfig(host="127.0.0.1", port=9000, character=0)
    assert source_options(asked) == {"host": "127.0.0.1", "port": 9000, "character": 0}


def test_a_suit_listens_where_it_was_told():
    source = make_source("xsens", source_options(RunConfig(host="127.0.0.1", port=9001, character=2)))
    assert isinstance(source, XsensSource)
    assert source.port == 9001
    assert source._character == 2
    assert make_source("xsens", source_options(RunConfig()))._character is None  # type: ignore[attr-defined]


def test_a_motion_file_needs_a_motion():
    with pytest.raises(ConfigError, match=r"^source motion_file plays a motion; give one with --motion FILE"):
        source_options(RunConfig(source="motion_file"))
    source = make_source("motion_file", source_options(RunConfig(source="motion_file", motion="wave", loop=True)))
    assert isinstance(source, MotionFileSource)
    assert source.clip.name == "wave"


def test_a_motion_that_is_none_is_refused_before_anything_starts(tmp_path):
    for motion, sentence in (
        ("wlak", r"^no built-in motion and no file 'wlak' \(did you mean walk\?\)"),
        (str(tmp_path), rf"^{tmp_path} is not a file; give a BVH file or one of "),
    ):
        with pytest.raises(MotionFileError, match=sentence):
            source_options(RunConfig(source="motion_file", motion=motion))


def test_characters_are_a_suits():
    with pytest.raises(ConfigError) as error:
        source_options(RunConfig(source="motion_file", motion="wave", character=1))
    assert str(error.value) == "character 1 is for source xsens; source motion_file has no characters"


def test_an_unknown_source_is_refused_before_anything_starts():
    with pytest.raises(UnknownName):
        source_options(RunConfig(source="kinect"))


def test_a_character_may_be_chosen_as_the_devices_option():
    options = source_options(RunConfig(device={"character": "2", "transport": "tcp"}))
    assert options == {"character": 2, "transport": "tcp"}
    with pytest.raises(ConfigError, match=r"^source xsens has no option 'character'; valid: transport$"):
        source_options(RunConfig(character=1, device={"character": "2"}))
    with pytest.raises(ConfigError, match=r"^option 'transport' of source xsens is 'sctp'; give one of: udp, tcp$"):
        source_options(RunConfig(device={"transport": "sctp"}))
