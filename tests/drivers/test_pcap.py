"""Packet captures written with `struct`: both formats, links, fragments, and files that break off."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.source import ProtocolError
from teleopd.drivers.tap.pcap import MAX_FRAGMENTED, Datagram, read_datagrams


def udp(payload, ports=(1000, 2000)):
    return struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload


def ipv4(body, *, proto=17, flags=0, ident=7, options=b""):
    size = 20 + len(options)
    head = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + len(body), ident, flags, 64, proto, 0)
    return head + bytes([10, 0, 0, 1, 10, 0, 0, 2]) + options + body


def ipv6(body):
    return struct.pack(">IHBB", 6 << 28, len(body), 17, 64) + bytes(15) + b"\x01" + bytes(15) + b"\x02" + body


def ethernet(packet, kind=b"\x08\x00"):
    return bytes(12) + kind + packet


def pcap(packets, link=101, order="<", magic=0xA1B2C3D4):
    raw = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for seconds, fraction, data in packets:
        raw += struct.pack(order + "IIII", seconds, fraction, len(data), len(data)) + data
    return raw


def block(kind, body, order="<"):
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))


def pcapng(packets, link=1, order="<", resolution=None):
    section = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    option = b"" if resolution is None else struct.pack(order + "HHBxxxHH", 9, 1, resolution, 0, 0)
    raw = block(0x0A0D0D0A, section, order) + block(1, struct.pack(order + "HHI", link, 0, 0) + option, order)
    for units, data in packets:
        head = struct.pack(order + "IIIII", 0, units >> 32, units & 0xFFFFFFFF, len(data), len(data))
        raw += block(6, head + data, order)
    return raw + block(5, bytes(12), order)


WHERE = (("10.0.0.1", 1000), ("10.0.0.2", 2000))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_classic_captures(order, magic, unit_ns):
    raw = pcap([(5, 7, ipv4(udp(b"hello")))], order=order, magic=magic)
    assert list(read_datagrams(raw)) == [Datagram(5_000_000_000 + 7 * unit_ns, *WHERE, b"hello")]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("resolution", "ns"), [(None, 3000), (6, 3000), (9, 3), (3, 3_000_000), (0x80 | 1, 1_500_000_000)]
)
def test_next_generation_captures(order, resolution, ns):
    raw = pcapng([(3, ethernet(ipv4(udp(b"x"))))], order=order, resolution=resolution)
    assert list(read_datagrams(raw)) == [Datagram(ns, *WHERE, b"x")]


def test_stamps_of_64_bits_are_exact():
    raw = pcapng([(1_509_244_022_606_067, ethernet(ipv4(udp(b"x"))))])
    assert next(read_datagrams(raw)).t_ns == 1_509_244_022_606_067_000


@pytest.mark.parametrize(
    ("link", "wrap"),
    [
        (1, ethernet),
        (1, lambda p: bytes(12) + b"\x81\x00\x00\x05\x08\x00" + p),
        (101, bytes),
        (228, bytes),
        (0, lambda p: b"\x02\0\0\0" + p),
        (113, lambda p: bytes(14) + b"\x08\x00" + p),
        (276, lambda p: b"\x08\x00" + bytes(18) + p),
    ],
)
def test_links(link, wrap):
    (datagram,) = read_datagrams(pcap([(0, 0, wrap(ipv4(udp(b"payload"), options=bytes(4))))], link=link))
    assert datagram[1:] == (*WHERE, b"payload")


def test_ipv6():
    (datagram,) = read_datagrams(pcap([(0, 0, ethernet(ipv6(udp(b"six")), b"\x86\xdd"))], link=1))
    assert datagram[1:] == (("::1", 1000), ("::2", 2000), b"six")


def test_what_is_no_udp_is_passed_over():
    others = [ethernet(b"arp" * 10, b"\x08\x06"), ethernet(ipv4(b"x" * 20, proto=6)), b"", b"x" * 13, ethernet(b"\x45")]
    packets = [(0, 0, p) for p in [*others, ethernet(ipv4(udp(b"yes"))), ethernet(ipv4(b"short"))]]
    assert [d.payload for d in read_datagrams(pcap(packets, link=1))] == [b"yes"]
    assert list(read_datagrams(pcap([(0, 0, ipv4(udp(b"x")))], link=999))) == []


def test_ethernet_padding_is_left_out():
    assert next(read_datagrams(pcap([(0, 0, ethernet(ipv4(udp(b"x"))) + bytes(17))], link=1))).payload == b"x"


def test_fragments_are_put_together_in_any_order():
    whole = udp(bytes(range(256)) * 10)
    parts = [ipv4(whole[:1480], flags=0x2000), ipv4(whole[1480:], flags=1480 // 8)]
    for order in (parts, parts[::-1], [parts[0], parts[0], parts[1]]):
        assert [d.payload for d in read_datagrams(pcap([(0, 0, p) for p in order]))] == [whole[8:]]
    assert list(read_datagrams(pcap([(0, 0, parts[0])]))) == []


def test_lost_fragments_do_not_pile_up():
    packets = [(0, 0, ipv4(bytes(16), flags=0x2000, ident=k)) for k in range(3 * MAX_FRAGMENTED)]
    whole = udp(b"0123456789abcdef")
    packets += [(0, 0, ipv4(whole[:16], flags=0x2000, ident=9000)), (0, 0, ipv4(whole[16:], flags=2, ident=9000))]
    assert [d.payload for d in read_datagrams(pcap(packets))] == [b"0123456789abcdef"]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "starts with b''; a pcap or pcapng capture is expected"),
        (b"GIF89a", "starts with b'GIF8'; a pcap or pcapng capture is expected"),
        (pcap([])[:20], "breaks off at byte 20, inside the file header"),
        (pcap([(0, 0, b"x" * 9)])[:-10], "breaks off at byte 24, inside a packet header"),
        (pcap([(0, 0, b"x" * 9)])[:-1], "packet at byte 40 declares 9 B; 8 follow"),
        (pcapng([])[:45], "block at byte 28 declares 20 B; 17 follow"),
        (b"\n\r\r\n" + bytes(12), "section at byte 0 has byte-order mark b'\\x00\\x00\\x00\\x00'"),
        (pcapng([]) + block(6, bytes(8)), "packet block at byte 72 is too short"),
        (
            pcapng([]) + block(6, struct.pack("<IIIII", 1, 0, 0, 0, 0)),
            "packet at byte 72 names interface 1; 1 are listed",
        ),
        (pcapng([]) + block(6, struct.pack("<IIIII", 0, 0, 0, 9, 9)), "packet at byte 72 declares 9 B; 0 follow"),
    ],
)
def test_files_that_are_no_capture_say_where(raw, sentence):
    with pytest.raises(ProtocolError) as error:
        list(read_datagrams(raw))
    assert str(error.value) == sentence


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_only_protocol_errors_escape(data):
    packet = ethernet(ipv4(udp(b"hello"), flags=data.draw(st.sampled_from((0, 0x2000, 5)))))
    raw = bytearray(data.draw(st.sampled_from((pcap([(1, 2, packet)], link=1), pcapng([(1, packet)])))))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        list(read_datagrams(bytes(raw[: data.draw(st.integers(0, len(raw)))])))
    except ProtocolError:
        pass
