"""`--tap` and `--source tap` between the configuration and the source."""

from __future__ import annotations

import pytest

from teleopd.drivers.source import SourceUnavailable
from teleopd.drivers.tap.source import TapSource
from teleopd.drivers.tap.tapped import TappedSource
from teleopd.drivers.tap.writer import packet, section
from teleopd.drivers.xsens import wire
from teleopd.drivers.xsens.source import XsensSource
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.sources import begin_tap, make_source, source_options


def test_options_of_a_capture(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.pcapng").write_bytes(section())
    config = RunConfig(source="tap", file="~/a.pcapng", device={"speed": "2", "keep_deadman": "true"})
    assert source_options(config) == {"file": "~/a.pcapng", "speed": 2.0, "keep_deadman": True}


def test_a_capture_that_is_none_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "empty").touch()
    for path, sentence in (
        (tmp_path / "none", f"cannot read {tmp_path}/none: No such file or directory"),
        (tmp_path, f"cannot read {tmp_path}: Is a directory"),
        (tmp_path / "a\0b", f"cannot read '{tmp_path}/a\\x00b': no file has a NUL character in its name"),
        (tmp_path / "empty", f"{tmp_path}/empty is empty; a capture (pcap, pcapng) or one packet is expected"),
    ):
        with pytest.raises(SourceUnavailable) as error:
            source_options(RunConfig(source="tap", file=str(path)))
        assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (RunConfig(source="tap"), "source tap feeds back a capture; give one with --file FILE"),
        (RunConfig(source="tap", file="a", loop=True),
         "source tap feeds a capture back once; --loop is for source motion_file"),
        (RunConfig(file="a"), "file a is for source tap; source xsens plays no capture"),
        (RunConfig(source="tap", file="a", link="unitree_dds", device={"keep_deadman": "yes"}),
         "keep_deadman is refused on link 'unitree_dds': a recorded deadman is nobody's hand, "
         "only a virtual robot may follow it"),
    ],
)  # fmt: skip
def test_what_does_not_fit(config, sentence):
    with pytest.raises(ConfigError) as error:
        source_options(config)
    assert str(error.value) == sentence


@pytest.mark.parametrize("config", [RunConfig(source="motion_file", motion="wave", tap="t"),
                                    RunConfig(source="tap", file="a", tap="t")])  # fmt: skip
def test_a_file_cannot_be_tapped(config):
    with pytest.raises(SourceUnavailable) as error:
        source_options(config)
    assert str(error.value) == f"source {config.source} receives no packets that a tap could record"


def test_a_tapped_source_is_the_source(tmp_path):
    path = tmp_path / "t.pcapng"
    begin_tap(path)
    source = make_source("xsens", {"host": "127.0.0.1", "port": 0}, str(path))
    assert isinstance(source, TappedSource) and isinstance(source.source, XsensSource)
    assert (source.name, source.counters, source.port) == ("xsens", source.source.counters, source.source.port)
    source.writer.close()
    assert path.read_bytes() == section()


def test_a_run_begins_with_an_empty_tap(tmp_path):
    path = tmp_path / "t.pcapng"
    path.write_bytes(b"yesterday's")
    begin_tap(path)
    assert path.read_bytes() == b""
    with pytest.raises(SourceUnavailable) as error:
        begin_tap(tmp_path)
    assert str(error.value) == f"cannot write the tap {tmp_path}: Is a directory"


def test_a_capture_is_opened(tmp_path, mxtp):
    path = tmp_path / "t.pcapng"
    path.write_bytes(section() + packet(1, mxtp, ("10.0.0.2", 5), ("10.0.0.1", wire.DEFAULT_PORT)))
    source = make_source("tap", source_options(RunConfig(source="tap", file=str(path))))
    assert isinstance(source, TapSource) and source.device == "xsens"


@pytest.fixture
def mxtp():
    """24 B header of a type that is no pose."""
    return b"MXTP25" + bytes(3) + b"\x01\x80" + bytes(13)
