"""The tap's file against the pcapng tables, and what it does when the disk is slow, full or gone."""

from __future__ import annotations

import struct
import subprocess
import threading

import pytest

from teleopd.drivers.source import SourceUnavailable
from teleopd.drivers.tap import writer as tap
from teleopd.drivers.tap.capture import NOWHERE, read_capture
from teleopd.drivers.tap.pcap import Datagram, read_datagrams, read_packets
from teleopd.drivers.tap.writer import MAX_WAITING, MAX_WAITING_BYTES, TapWriter, packet, section

HERE, THERE = ("10.0.0.1", 9763), ("10.0.0.2", 50000)
EPOCH = 1_700_000_000 * 10**9


def written(tmp_path, *packets, epoch_ns=EPOCH):
    path = tmp_path / "tap.pcapng"
    writer = TapWriter(path, epoch_ns)
    for data, source, destination, now_ns in packets:
        writer.take(data, source, destination, now_ns)
    writer.close()
    assert (writer.dropped, writer.trouble, writer.written) == (0, "", len(packets))
    return path


def test_what_is_taken_is_read_back_to_the_nanosecond(tmp_path):
    packets = [(bytes([k]) * (k + 1), THERE, HERE, 123_456_789 + k) for k in range(9)]
    path = written(tmp_path, *packets)
    expected = [Datagram(EPOCH + now_ns, THERE, HERE, data) for data, _, _, now_ns in packets]
    assert list(read_datagrams(path.read_bytes())) == expected


def test_a_reused_buffer_is_copied(tmp_path):
    buffer = bytearray(b"first")
    writer = TapWriter(tmp_path / "tap.pcapng", 0)
    writer.take(memoryview(buffer), THERE, HERE, 1)
    buffer[:] = b"other"
    writer.close()
    (datagram,) = read_datagrams(writer.path.read_bytes())
    assert datagram.payload == b"first"


@pytest.mark.parametrize("size", [0, 1, 760, 65507])
def test_headers_are_sound(tmp_path, size):
    """IPv4 lengths and header checksum (RFC 791) computed here; the longest datagram there is fits."""
    path = written(tmp_path, (bytes(size), THERE, HERE, 0))
    (raw,) = read_packets(path.read_bytes())
    assert raw.link == 101 and len(raw.data) == 28 + size
    words = struct.unpack(">10H", raw.data[:20])
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    assert struct.unpack(">HHHH", raw.data[20:28]) == (50000, 9763, 8 + size, 0)
    assert words[1] == 28 + size and raw.data[12:20] == bytes([10, 0, 0, 2, 10, 0, 0, 1])


def test_ipv6_and_its_checksum(tmp_path):
    path = written(tmp_path, (b"abc", ("fe80::1%eth0", 5), ("::1", 6), 0))
    (raw,) = read_packets(path.read_bytes())
    udp, pseudo = raw.data[40:], raw.data[8:40] + struct.pack(">II", 11, 17)
    total = sum(struct.unpack(f">{(len(pseudo) + 12) // 2}H", pseudo + udp + b"\0"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    assert next(read_datagrams(path.read_bytes()))[1:] == (("fe80::1", 5), ("::1", 6), b"abc")


def test_messages_of_a_connection_may_be_long(tmp_path):
    message = bytes(range(256)) * 400
    path = written(tmp_path, (message, ("127.0.0.1", 60061), ("127.0.0.1", 0), 7))
    (raw,) = read_packets(path.read_bytes())
    assert (raw.link, raw.data, raw.t_ns) == (147, message, EPOCH + 7)
    (arrival,) = read_capture(path).arrivals
    assert (arrival.payload, arrival.source, arrival.destination) == (message, NOWHERE, NOWHERE)


def test_blocks_are_what_the_format_says(tmp_path):
    """Section header, interface, packets, the second interface before its first: lengths front and back, byte order."""
    connected = (HERE[0], 0)
    packets = ((b"x", THERE, HERE, 0), (b"y", THERE, connected, 1), (b"z", THERE, connected, 2))
    raw, at, kinds = written(tmp_path, *packets).read_bytes(), 0, []
    while at < len(raw):
        kind, size = struct.unpack_from("<II", raw, at)
        assert size % 4 == 0 and struct.unpack_from("<I", raw, at + size - 4) == (size,)
        kinds.append(kind)
        at += size
    assert kinds == [0x0A0D0D0A, 1, 6, 1, 6, 6] and raw[8:12] == b"\x4d\x3c\x2b\x1a"


def test_a_file_is_continued_behind_its_last_whole_block(tmp_path):
    path = written(tmp_path, (b"one", THERE, HERE, 1))
    path.write_bytes(path.read_bytes() + packet(2, b"half", THERE, HERE)[:-5])
    written(tmp_path, (b"two", THERE, HERE, 3))
    capture = read_capture(path)
    assert ([a.payload for a in capture.arrivals], capture.trouble) == ([b"one", b"two"], "")


def test_what_is_no_pcapng_is_replaced_by_one(tmp_path):
    (tmp_path / "tap.pcapng").write_bytes(b"notes, not packets")
    assert [a.payload for a in read_capture(written(tmp_path, (b"x", THERE, HERE, 1))).arrivals] == [b"x"]


@pytest.mark.parametrize(("size", "fit"), [(100, MAX_WAITING), (1 << 20, MAX_WAITING_BYTES >> 20)])
def test_a_slow_disk_drops_and_counts(tmp_path, monkeypatch, size, fit):
    """The writer is held in its first packet: the queue fills to its bound, the rest is counted, no call waits."""
    held, entered = threading.Event(), threading.Event()

    def block(waiting):
        entered.set()
        held.wait(20)
        return b""

    monkeypatch.setattr(tap, "_packet_block", block)
    writer = TapWriter(tmp_path / "tap.pcapng", 0)
    writer.take(b"", THERE, HERE, 0)
    assert entered.wait(20)
    for _ in range(fit + 5):
        writer.take(bytes(size), THERE, HERE, 0)
    assert writer.dropped == 5
    held.set()
    writer.close()
    assert writer.written == fit + 1


def test_a_full_disk_ends_the_tap_and_not_the_source():
    heard, told = [], threading.Event()

    def hear(sentence):
        heard.append(sentence)
        told.set()

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def write(self, _):
            raise OSError(28, "No space left on device")

    class OnFull(TapWriter):
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tap, "_continued", lambda path: Full())
        writer = OnFull("/data/tap.pcapng", 0, hear)
    writer.take(b"x", THERE, HERE, 0)
    assert told.wait(20)
    sentence = "the tap /data/tap.pcapng ended after 0 packets: No space left on device; the source goes on without"
    assert heard == [sentence] == [writer.trouble]
    for _ in range(3):
        writer.take(b"x", THERE, HERE, 0)
    writer.close()
    writer.close()
    assert heard == [sentence] and len(writer._waiting) == 0


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    path = tmp_path / "none" / "tap.pcapng"
    with pytest.raises(SourceUnavailable) as error:
        TapWriter(path, 0)
    assert str(error.value) == f"cannot write the tap {path}: No such file or directory"


def test_tcpdump_reads_it(tmp_path):
    path = tmp_path / "t.pcapng"
    path.write_bytes(section() + packet(EPOCH, b"abc", THERE, HERE))
    try:
        done = subprocess.run(["tcpdump", "-nr", str(path)], capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        pytest.skip("tcpdump is not installed")
    assert "10.0.0.2.50000 > 10.0.0.1.9763: UDP, length 3" in done.stdout
