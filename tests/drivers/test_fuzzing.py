"""The stored corpus through every parser of foreign bytes, some mutations of it, and the fuzzer's own promises."""

from __future__ import annotations

import struct
import sys
import time
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "fuzzing"))

import corpus
from engine import MAX_MEMORY, Fuzzer, Target, minimised
from targets import TARGETS

from teleopd.drivers.source import ProtocolError
from teleopd.drivers.tap import pcap

MUTATIONS = 2500


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def failures(tally):
    """What broke, but for CPU time: a busy machine must not fail a test; `make fuzz` checks it."""
    return [finding.sentence for finding in tally.findings if finding.stage != "time"]


@pytest.mark.parametrize("name", TARGETS)
def test_stored_corpus_breaks_nothing(name):
    stored = corpus.load(name)
    tally = Fuzzer(TARGETS[name], stored, 0).replay()
    assert failures(tally) == []
    assert tally.packets == len(stored) >= 8
    assert tally.read >= 3 and sum(tally.rejected.values()) >= 2
    assert tally.largest < MAX_MEMORY


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_it_break_nothing(name):
    tally = Fuzzer(TARGETS[name], corpus.load(name), 7).run(MUTATIONS)
    assert failures(tally) == []
    assert tally.packets == MUTATIONS
    assert tally.read and tally.rejected


@pytest.mark.parametrize("name", TARGETS)
def test_true_packets_are_read(name):
    """Every seed that the encoders and emulators make passes its parser, so that mutation begins behind the checks."""
    refused = 0
    for data in TARGETS[name].seeds():
        try:
            TARGETS[name].parse(data)
        except ProtocolError:
            refused += 1
    assert refused <= {"natnet": 1, "pico": 5, "vmc": 0, "network": 0, "tap": 0, "xsens": 2, "xsens_tcp": 3}[name]


@pytest.mark.parametrize("name", TARGETS)
def test_every_prefix_is_read_or_refused(name):
    """A packet that grows by one byte at a time, as a stream delivers it."""
    for data in corpus.load(name)[:12]:
        for size in range(min(len(data), 400)):
            try:
                TARGETS[name].parse(data[:size])
            except ProtocolError as error:
                assert error.reason and "\n" not in str(error)


def test_a_capture_that_grows_byte_by_byte_yields_the_same_packets():
    for data in TARGETS["tap"].seeds():
        whole = list(pcap.read_packets(data))
        for size in range(len(data)):
            found = []
            try:
                for packet in pcap.read_packets(data[:size]):
                    found.append(packet)
            except ProtocolError:
                pass
            assert found == whole[: len(found)]


def test_the_corpus_stays_small():
    assert sum(path.stat().st_size for path in corpus.FOLDER.iterdir()) < 300_000


# --- the fuzzer itself: it must find what is there -------------------------------------------------------------------


def target(parse, receive=lambda data: None, line=lambda data: None):
    """A parser with a fault."""
    return Target("faulty", parse, lambda: receive, line, ("test_fuzzing",), lambda: [b"good packet"])


def test_same_seed_same_packets():
    seen: list[list[bytes]] = [[], [], []]
    for packets, seed in zip(seen, (1, 1, 2), strict=True):

        def kept(data, packets=packets):
            packets.append(data)
            return data

        faulty = target(lambda data: None)._replace(repair=kept)  # the parser itself sees slow packets again
        Fuzzer(faulty, [b"good packet", b"another one"], seed).run(400)
    assert seen[0] == seen[1] != seen[2]
    assert len(set(seen[0])) > 100


def test_an_escaping_error_is_found_once_and_minimised():
    def parse(data):
        if data[:1] == b"X":
            raise ProtocolError("malformed", "as it should be")
        if b"p" in data and b"a" in data:
            return data[999]

    tally = Fuzzer(target(parse), [b"good packet"], 0).run(500)
    assert [finding.stage for finding in tally.findings] == ["parse"]
    assert sorted(tally.findings[0].inputs[0]) == sorted(b"pa")
    assert tally.findings[0].sentence.startswith("IndexError escapes at ")


def test_what_escapes_the_source_is_found_with_all_that_led_to_it():
    class Source:
        def __init__(self):
            self.heard = 0

        def receive(self, data):
            self.heard += 1
            if self.heard == 3:
                raise ProtocolError("malformed", "a source raises nothing")

    faulty = target(lambda data: None)._replace(receiver=lambda: Source().receive)
    tally = Fuzzer(faulty, [b"good packet"], 0).run(20)
    assert [finding.stage for finding in tally.findings] == ["receive"]
    assert len(tally.findings[0].inputs) == 3


def test_cost_is_found():
    def slow(data):
        end = time.thread_time_ns() + 6_000_000
        while time.thread_time_ns() < end:
            pass

    tally = Fuzzer(target(slow), [b"good packet"], 0).run(1)
    assert [finding.stage for finding in tally.findings] == ["time"]
    tally = Fuzzer(target(lambda data: bytes(11_000_000)), [b"good packet"], 0).run(1)
    assert "memory" in [finding.stage for finding in tally.findings]


def test_inputs_that_take_new_steps_are_kept():
    def parse(data):
        if len(data) > 20:
            return 1
        return 2

    tally = Fuzzer(target(parse), [b"good packet"], 0).run(500)
    assert len(tally.kept) >= 1
    assert len(tally.kept[0]) > 20


def test_minimised_keeps_what_matters():
    assert minimised(b"a long input with NEEDLE in it", lambda data: b"NEEDLE" in data) == b"NEEDLE"


def test_many_fragments_cost_no_more_than_few():
    """8192 fragments of 8 B: the datagram is given up, not joined anew with each of them."""
    assembly: pcap.Assembly = {}
    for k in range(8192):
        flags = k | (0x2000 if k < 8191 else 0)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 28, 1, flags, 64, 17, 0) + bytes(8)
        assert pcap.udp_of(pcap.Packet(0, pcap.RAW, head + bytes(8), 0), assembly) is None
        assert all(len(parts) <= pcap.MAX_FRAGMENTS + 1 for parts in assembly.values())


def test_vlan_tags_without_end_are_no_packet():
    frame = bytes(12) + b"\x81\x00\x00\x01" * 5 + b"\x08\x00" + bytes(40)
    assert pcap.udp_of(pcap.Packet(0, pcap.ETHERNET, frame, 0), {}) is None
