"""`teleop decode` as a user meets it: one JSON line a packet, real captures and bytes that mean nothing."""

from __future__ import annotations

import json
import os
import struct

import pytest

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.network.emulator import EmulatorOptions as PoseOptions
from teleopd.drivers.network.emulator import NetworkEmulator
from teleopd.drivers.pico.emulator import EmulatorOptions, PicoEmulator
from teleopd.drivers.tap.writer import connections, packet, section
from teleopd.drivers.vmc.emulator import VmcEmulator
from teleopd.launch import cli

EPOCH = 1_700_000_000 * 10**9
HERE, THERE = ("10.0.0.1", 9763), ("10.0.0.2", 50000)


def decode(capsys, *arguments):
    """Exit status, lines as objects, stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["decode", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), [json.loads(line) for line in out.splitlines()], err


def test_the_real_motive_capture(capsys, shared_data):
    code, lines, err = decode(capsys, "natnet", shared_data / "natnet" / "mje-nz" / "raw" / "traffic.pcapng")
    assert (code, err, len(lines)) == (0, "", 550)
    assert [line for line in lines if "error" in line] == []
    kinds = [line["type"] for line in lines]
    assert (kinds.count("FRAMEOFDATA"), kinds.count("ECHOREQUEST"), kinds.count("MODELDEF")) == (518, 9, 1)
    frames = [line for line in lines if line["type"] == "FRAMEOFDATA"]
    assert {line["bitstream"] for line in frames} == {"3.0"}
    numbers = [line["value"]["number"] for line in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 518))
    assert lines[0]["t_s"] == 0.0 and lines[-1]["stamp_ns"] == 1509244029450703000
    assert frames[-1]["source"] == "192.168.0.106:1511" and frames[-1]["destination"] == "239.255.42.99:1511"


def test_every_single_motive_packet(capsys, shared_data):
    files = sorted((shared_data / "natnet").rglob("*.bin"))
    assert len(files) == 10
    for file in files:
        code, (line,), _ = decode(capsys, "optitrack", file)
        assert code == 0 and "error" not in line, line
        assert line["bytes"] == file.stat().st_size and line["offset"] == 0


def test_frames_of_the_network_source_and_of_vmc(capsys, tmp_path):
    clip, path = load_motion("wave"), tmp_path / "poses.pcapng"
    pose = NetworkEmulator(clip, PoseOptions(encoding="msgpack", deadman=True)).frame(7)
    bundles = VmcEmulator(clip).datagrams(7, time_s=1.5)
    packets = [packet(EPOCH + k, raw, THERE, HERE) for k, raw in enumerate((pose, *bundles))]
    path.write_bytes(section() + b"".join(packets))
    code, lines, _ = decode(capsys, "network", path)
    assert (code, len(lines), lines[0]["type"]) == (0, 1 + len(bundles), "Pose")
    assert (lines[0]["value"]["seq"], lines[0]["value"]["deadman"]) == (7, True)
    assert lines[0]["value"]["pos_m"][0] == pytest.approx(clip.pos_w[7][0].tolist())
    assert all(line["reason"] == "malformed" for line in lines[1:])
    code, lines, _ = decode(capsys, "vmc", path)
    assert (lines[0]["reason"], [line["type"] for line in lines[1:]]) == ("not_osc", ["VMC"] * len(bundles))
    assert lines[1]["value"]["time_s"] == 1.5
    names = {name for line in lines[1:] for name in line["value"]["transforms"]}
    assert {"Hips", "Head", "LeftHand", "RightFoot"} <= names


def test_offsets_point_at_the_packets(capsys, shared_data):
    file = shared_data / "xsens" / "boxing_120hz_mxtp02_DERIVED.pcap"
    code, lines, _ = decode(capsys, "xsens", file, "--limit", 40)
    raw = file.read_bytes()
    assert (code, len(lines)) == (0, 40)
    for number, line in enumerate(lines):
        (size,) = struct.unpack_from("<I", raw, line["offset"] + 8)
        datagram = raw[line["offset"] + 16 : line["offset"] + 16 + size][-760:]
        assert datagram[:4] == b"MXTP" and line["packet"] == number + 1
        (x,) = struct.unpack_from(">f", datagram, 24 + 4)
        assert line["value"]["body"]["pos_w"][0][0] == pytest.approx(x, abs=1e-9)


def test_pico_messages_and_bare_json(capsys, tmp_path):
    emulator = PicoEmulator(load_motion("wave"), EmulatorOptions(hands=True, trackers=2))
    raw = emulator.frame(3, EPOCH)
    capture, single, text = tmp_path / "a.pcapng", tmp_path / "a.bin", tmp_path / "a.json"
    capture.write_bytes(section() + connections() + packet(EPOCH, raw, ("127.0.0.1", 60061), ("127.0.0.1", 0)))
    single.write_bytes(raw)
    text.write_bytes(raw[raw.index(b'{"functionName"') :])
    found = [decode(capsys, "pico", file) for file in (capture, single, text)]
    for code, (line,), _ in found:
        assert code == 0 and line["type"] == "Tracking", line
        assert len(line["value"]["joints"]) == 24 and len(line["value"]["joints"][0]) == 7
    assert found[0][1][0]["stamp_ns"] == EPOCH
    assert found[0][1][0]["value"] == found[1][1][0]["value"]


def test_what_cannot_be_read_says_why_on_its_line(capsys, tmp_path):
    file = tmp_path / "t.pcapng"
    packets = [b"MXTP", b"hello, this is no packet", b"\x07\x00\x04\x00" + bytes(4)]
    file.write_bytes(section() + b"".join(packet(EPOCH, data, THERE, HERE) for data in packets) + b"\x06\0")
    code, lines, err = decode(capsys, "xsens", file)
    assert (code, err) == (0, "")
    assert lines[0]["error"] == "datagram of 4 B is shorter than the 24 B header" and lines[0]["reason"] == "truncated"
    assert lines[1]["error"] == "datagram starts with b'hello,', not with b'MXTP' and two digits"
    assert lines[-1]["error"].startswith("breaks off at byte ")
    code, lines, _ = decode(capsys, "natnet", file)
    assert code == 0 and ["error" in line for line in lines] == [True] * 4
    code, lines, _ = decode(capsys, "pico", file)
    assert code == 0 and all("error" in line for line in lines)


@pytest.mark.parametrize("device", ["xsens", "natnet", "pico"])
def test_any_bytes_give_a_line(capsys, tmp_path, device):
    file = tmp_path / "any.bin"
    for seed in range(60):
        file.write_bytes(bytes((seed * 37 + k * (seed + 3)) % 251 for k in range(1, 1 + 9 * seed + 1)))
        code, lines, err = decode(capsys, device, file)
        assert (code, len(lines), err) == (0, 1, "")
        assert "error" in lines[0] or "type" in lines[0]


def test_a_packet_may_come_through_a_pipe(capsys):
    reading, writing = os.pipe()
    os.write(writing, b"no suit sends this" * 4)
    os.close(writing)
    code, (line,), err = decode(capsys, "xsens", f"/dev/fd/{reading}")
    assert (code, line["bytes"], line["reason"], err) == (0, 72, "wrong_magic", "")
    os.close(reading)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("xsens", "/no/such/file"), "teleop: cannot read /no/such/file: No such file or directory\n"),
        (("natnet", "/dev/null", "--natnet", "9.9"),
         "teleop: --natnet is '9.9'; give one of 4.2, 4.1, 4.0, 3.1, 3.0, 2.10, 2.9, 2.7, 2.5\n"),
        (("xsens", "/dev/null", "--limit", "-1"), "teleop: --limit is -1; give 0 or more\n"),
        (("xsens", "/dev/null"),
         "teleop: /dev/null is empty; a capture (pcap, pcapng) or one packet is expected\n"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read(capsys, arguments, sentence):
    assert decode(capsys, *arguments) == (2, [], sentence)
