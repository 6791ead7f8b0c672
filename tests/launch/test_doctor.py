"""The doctor: every verdict from facts made up, and the command against emulators and silence on loopback."""

from __future__ import annotations

import json
import os
import socket
import threading
from dataclasses import replace

import numpy as np
import pytest

from teleopd.drivers.diagnosis import FROZEN_POSES, Content, Facts, content_of, diagnose
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.network_facts import Holder, Interface, Route, holders, interfaces, routed, routes
from teleopd.drivers.xsens import wire
from teleopd.launch import cli

LO = Interface("lo", "127.0.0.1", True, True, False)
ETH = Interface("eth0", "192.168.1.5", True, False, True)
WLAN = Interface("wlan0", "10.1.1.5", True, False, True)
BASE = Facts(source="xsens", seconds=3.0, port=9763, interfaces=(LO, ETH), routes=(Route("eth0", "0.0.0.0/0"),))
MOTIVE = replace(BASE, source="optitrack", port=1510, received=9, sender="192.168.1.9", group="239.255.42.99")
PICO = replace(BASE, source="pico", host="127.0.0.1", port=60061)
GOOD = Content(poses=300)


def said(facts, level="problem"):
    return [(finding.what, finding.do) for finding in diagnose(facts) if finding.level == level]


@pytest.mark.parametrize(
    ("facts", "what", "do"),
    [
        (BASE, "not one datagram arrived on UDP port 9763 of 0.0.0.0 in 3 s", "192.168.1.5, port 9763"),
        (replace(BASE, transport="tcp"), "nobody connected and sent anything on TCP port 9763 of 0.0.0.0 in 3 s",
         "destination 192.168.1.5, port 9763, TCP, 'Position"),
        (replace(BASE, source="network", transport="websocket", port=9870),
         "nobody connected and sent anything on TCP port 9870 of 0.0.0.0 in 3 s", "to ws://192.168.1.5:9870/pose"),
        (replace(BASE, refused="UDP port 9763 on 0.0.0.0 is in use", holders=(Holder("0.0.0.0", 77, "mvn"),)),
         "UDP port 9763 on 0.0.0.0 is in use", "stop mvn (process 77), or choose another port with --port"),
        (replace(BASE, refused="in use", holders=(Holder("0.0.0.0", 0, ""),)), "in use", "a process of another user"),
        (replace(BASE, interfaces=(LO, ETH._replace(up=False))),
         "this computer has no address but loopback; down: eth0", "plug in the cable"),
        (replace(BASE, host="192.168.9.9"), "192.168.9.9 is none of them", "--host 0.0.0.0"),
        (replace(BASE, received=5, rejected={"wrong_type": 5}, last_rejection="pose type 05 is streamed"),
         "5 packets could not be used, wrong type: pose type 05 is streamed", "type 02 on in MVN"),
        (replace(MOTIVE, received=0, sender="", trouble="192.168.1.9, command port 1510: the server does not answer"),
         "192.168.1.9, command port 1510: the server does not answer", "Local Interface"),
        (replace(MOTIVE, routes=(Route("eth0", "192.168.1.0/24"),)),
         "no route leads to the multicast group 239.255.42.99", "sudo ip route add 224.0.0.0/4 dev eth0"),
        (replace(MOTIVE, interfaces=(LO, ETH._replace(multicast=False))),
         "no interface of this computer does multicast", "group=none"),
        (replace(MOTIVE, rejected={"no_person": 40}, last_rejection="no skeleton"),
         "40 packets could not be used, no person: no skeleton", "switch 'Skeletons' on"),
        (replace(MOTIVE, rejected={"not_streamed": 4}), "4 packets could not be used, not streamed", "'Skeletons'"),
        (PICO, "the PC service does not run: nothing listens on TCP port 60061", "start XRoboToolkit's PC service"),
        (replace(PICO, host="10.0.0.9", trouble="no PC service answers at 10.0.0.9:60061"),
         "no PC service answers at 10.0.0.9:60061", "it serves one"),
        (replace(PICO, sender="127.0.0.1:60061", trouble="a headset is connected, but sends no tracking"),
         "a headset is connected, but sends no tracking", "switch 'Send' on"),
        (replace(PICO, received=9, sender="x", rejected={"zero_body": 9}),
         "9 packets could not be used, zero body", "the device sends zeros"),
        (replace(BASE, received=9, content=replace(GOOD, zero=True)),
         "every pose has all bodies in one place: the device sends zeros", "calibrate"),
        (replace(BASE, content=replace(GOOD, identity=True)),
         "every pose is the T-pose exactly: nobody is tracked", "calibrate"),
        (replace(BASE, content=replace(GOOD, frozen=True)),
         "300 poses are the same bit for bit: the device repeats its last", "start the playback"),
        (replace(BASE, content=replace(GOOD, mirrored=True)),
         "left and right hand and foot are in the same place", "calibrate"),
    ],
)  # fmt: skip
def test_every_cause_has_its_words(facts, what, do):
    found = dict(said(facts))
    assert what in found
    assert do in found[what]


def test_a_good_stream_is_no_problem():
    assert [f.level for f in diagnose(replace(BASE, received=300, content=GOOD))] == ["ok"]
    assert diagnose(replace(BASE, content=GOOD))[0].what == "300 poses arrived in 3 s, 100 a second"


def test_notes_beside_a_good_stream():
    facts = replace(BASE, content=GOOD, lost=100, foreign=7, foreign_senders=(("10.0.0.3", 4),), sender="10.0.0.2:5")
    assert [what for what, _ in said(facts, "note")] == [
        "25% of the frames were lost", "7 datagrams came from 10.0.0.3:4; 10.0.0.2:5 is listened to",
    ]  # fmt: skip
    assert said(facts) == []
    assert said(replace(BASE, content=GOOD, lost=6), "note") == []


def test_several_interfaces_are_named_where_the_wrong_one_may_be_joined():
    notes = dict(said(replace(MOTIVE, interfaces=(LO, ETH, WLAN)), "note"))
    assert "the frames of 239.255.42.99 come on one of several interfaces" in notes
    assert "addresses of this computer: lo 127.0.0.1, eth0 192.168.1.5, wlan0 10.1.1.5" in notes
    silent = "a firewall may drop what comes, without a word"
    assert dict(said(BASE, "note"))[silent] == "allow UDP port 9763 in this computer's firewall"
    assert "TCP port 9763" in dict(said(replace(BASE, transport="tcp"), "note"))[silent]


def test_problems_come_first():
    levels = [f.level for f in diagnose(replace(BASE, foreign=2))]
    assert levels == sorted(levels, key=["problem", "note", "ok"].index) and levels[0] == "problem"


def test_content_of_poses():
    clip = load_motion("wave")
    moving = [clip.pose(k, seq=k, t_ns=k) for k in range(FROZEN_POSES)]
    assert content_of(moving) == Content(poses=FROZEN_POSES)
    still = [moving[0]._replace(seq=k) for k in range(FROZEN_POSES)]
    assert content_of(still).frozen and not content_of(still[1:]).frozen
    zero = moving[0]._replace(pos_w=np.zeros((23, 3)), quat_w=np.tile([1.0, 0, 0, 0], (23, 1)))
    assert content_of([zero]) == Content(poses=1, zero=True, identity=True, mirrored=True)
    assert content_of([]) == Content()


def test_routes_are_read_and_matched(tmp_path):
    (tmp_path / "net").mkdir()
    head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    rows = ["eth0 0001A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0", "eth1 000000E0 00000000 0001 0 0 0 000000F0 0 0 0",
            "eth2 00000000 01010101 0000 0 0 0 00000000 0 0 0"]  # fmt: skip
    (tmp_path / "net" / "route").write_text(head + "\n".join(rows) + "\n")
    table = routes(tmp_path)
    assert table == [Route("eth0", "192.168.1.0/24"), Route("eth1", "224.0.0.0/4")]
    assert routed("239.255.42.99", table) and not routed("239.255.42.99", table[:1])
    assert routes(tmp_path / "none") is None


def test_the_holder_of_a_port_is_found():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, socket.create_server(("127.0.0.1", 0)) as server:
        sock.bind(("127.0.0.1", 0))
        udp, tcp = sock.getsockname()[1], server.getsockname()[1]
        (holder,), (listener,) = holders(udp), holders(tcp, "tcp")
        assert (holder.address, holder.pid) == ("127.0.0.1", os.getpid()) == (listener.address, listener.pid)
        assert holder.name
    assert holders(udp) == []


def test_this_computer_has_loopback():
    assert any(i.loopback and i.up and i.address == "127.0.0.1" for i in interfaces())


def doctor(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--json", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), json.loads(out) if out else {}, err


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_silence(capsys):
    port = free_port()
    code, found, _ = doctor(capsys, "--source", "xsens", "--host", "127.0.0.1", "--port", port, "--seconds", 0.2)
    assert code == 1 and not found["ok"]
    assert found["findings"][0]["what"] == f"not one datagram arrived on UDP port {port} of 127.0.0.1 in 0.2 s"


def test_silence_over_tcp(capsys):
    port = free_port()
    code, found, _ = doctor(capsys, "--source", "xsens", "--host", "127.0.0.1", "--port", port, "--seconds", 0.2,
                            "--device", "transport=tcp")  # fmt: skip
    what = f"nobody connected and sent anything on TCP port {port} of 127.0.0.1 in 0.2 s"
    assert (code, found["findings"][0]["what"], found["facts"]["transport"]) == (1, what, "tcp")


@pytest.mark.parametrize(("kind", "transport"), [(socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")])
def test_a_port_that_is_taken_names_the_process(capsys, kind, transport):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if transport == "tcp":
            sock.listen()
        port = sock.getsockname()[1]
        code, found, _ = doctor(capsys, "--source", "xsens", "--host", "127.0.0.1", "--port", port, "--seconds", 0.2,
                                "--device", f"transport={transport}")  # fmt: skip
    first = found["findings"][0]
    assert code == 1 and "is in use by another program" in first["what"] and f"(process {os.getpid()})" in first["do"]


@pytest.mark.parametrize("good", [True, False])
def test_a_suit_that_streams(capsys, good):
    """Real datagrams on loopback: the right type, and one that MVN may be set to instead."""
    port, over, clip = free_port(), threading.Event(), load_motion("wave")

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for k in range(clip.frames):
                raw = wire.encode_pose(clip.pos_w[k], clip.quat_w[k], sample=k, time_code_ms=k * 10)
                sock.sendto(raw if good else raw.replace(b"MXTP02", b"MXTP05"), ("127.0.0.1", port))
                if over.wait(0.01):
                    return

    sending = threading.Thread(target=send)
    sending.start()
    try:
        code, found, _ = doctor(capsys, "--source", "xsens", "--host", "127.0.0.1", "--port", port, "--seconds", 0.6)
    finally:
        over.set()
        sending.join()
    assert (code, found["ok"]) == ((0, True) if good else (1, False))
    assert found["facts"]["received"] > 5
    if good:
        assert found["findings"][0]["what"].endswith("a second")
    else:
        assert found["facts"]["rejected"].keys() == {"wrong_type"}


def test_no_service_for_a_headset(capsys):
    port = free_port()
    code, found, _ = doctor(capsys, "--source", "pico", "--port", port, "--seconds", 0.3)
    assert code == 1
    assert found["findings"][0]["what"] == f"the PC service does not run: nothing listens on TCP port {port}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--seconds", "0"), "teleop: --seconds is 0; give a positive number\n"),
        (("--source", "tap"), "teleop: source tap reads a file; the doctor is for sources that hear a device\n"),
        (("--source", "stick"),
         "teleop: source stick is buttons in the browser view of teleop serve: there is no device to hear\n"),
    ],
)
def test_what_it_cannot_do(capsys, arguments, sentence):
    assert doctor(capsys, *arguments) == (2, {}, sentence)
