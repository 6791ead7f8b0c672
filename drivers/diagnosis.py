"""Why nothing arrives, in plain words: facts about source and network -> findings, each with what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from teleopd.drivers.health import mirrored
from teleopd.drivers.human_pose import HumanPose
from teleopd.drivers.network_facts import Holder, Interface, Route, routed
from teleopd.drivers.udp import Address

LISTENERS = ("xsens", "network", "vmc")
"""Sources that listen on a port and ask nobody."""
WIRES = {"udp": "UDP", "tcp": "TCP", "websocket": "TCP"}
"""Transport of a listener -> what its port is of."""
ANYWHERE = ("0.0.0.0", "::", "")
LOSS_SHARE = 0.02
"""More lost than this and the network is to blame."""
FROZEN_POSES = 30
"""So many poses that are the same bit for bit: nobody is measured."""
OK, NOTE, PROBLEM = "ok", "note", "problem"


class Finding(NamedTuple):
    """One line of the doctor."""

    level: str
    """ok, note or problem."""
    what: str
    """What is so, as a sentence without the full stop."""
    do: str = ""
    """What to do about it; '' where there is nothing."""


@dataclass(frozen=True, slots=True)
class Content:
    """What all the poses that came have in common."""

    poses: int = 0
    zero: bool = False
    """Every one has all bodies in one place."""
    identity: bool = False
    """Every one has all bodies turned as in the T-pose."""
    frozen: bool = False
    """All are the same, bit for bit."""
    mirrored: bool = False
    """Left and right hand and foot are in the same place in every one."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen in so many seconds of listening on the real wire."""

    source: str
    seconds: float
    host: str = "0.0.0.0"
    """Where it listened, or whom it asked."""
    port: int = 0
    transport: str = "udp"
    """Of a source that listens: udp, tcp or websocket."""
    refused: str = ""
    """Why the source could not be opened; '' when it was."""
    holders: tuple[Holder, ...] = ()
    """Other programs on that port."""
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] | None = None
    """None: cannot be told."""
    received: int = 0
    lost: int = 0
    foreign: int = 0
    foreign_senders: tuple[Address, ...] = ()
    sender: str = ""
    """Who is listened to."""
    rejected: dict[str, int] = field(default_factory=dict)
    last_rejection: str = ""
    trouble: str = ""
    """The source's own word about its silence."""
    group: str = ""
    """Multicast group the frames come by; '' for unicast or unknown."""
    content: Content = Content()


_ADVICE = {
    "wrong_type": "switch the other pose types off and type 02 on in MVN's network streamer",
    "wrong_magic": "another program sends to this port: point it elsewhere, or choose another port with --port",
    "wrong_kind": "another program sends to this port, or --port is not Motive's command port (1510)",
    "other_character": "choose the person with --character",
    "two_skeletons": "choose the person with --device person=NAME",
    "no_such_skeleton": "correct --device person=NAME",
    "no_person": "in Motive, Edit > Settings > Streaming: switch 'Skeletons' on",
    "not_streamed": "in Motive, Edit > Settings > Streaming: switch 'Skeletons' and 'Rigid Bodies' on",
    "local_coordinates": "in Motive, Edit > Settings > Streaming: 'Skeleton Coordinates: Global'",
    "wrong_up_axis": "set --device up_axis=y or z as 'Up Axis' in Motive's streaming settings",
    "not_tracked": "let the cameras see the markers; is the person in the volume?",
    "no_models": "allow UDP from Motive's command port through the firewalls of both computers",
    "wrong_version": "choose a NatNet version of 2.5 to 4.x in Motive",
    "trailing": "Motive streams another bitstream than it says: switch 'Broadcast Frame Data' off and on",
    "implausible_position": "check units and calibration of the device: metres are expected",
    "no_body": "choose full-body tracking in XRoboToolkit on the headset and calibrate the trackers",
    "zero_body": "put the headset on and calibrate the body tracking: the device sends zeros",
    "stale_body": "put the headset on, or calibrate the trackers again",
    "focus_lost": "close the menu on the headset and bring XRoboToolkit to the front",
    "device_missing": "switch the headset on and connect it in XRoboToolkit",
    "no_stamp": "update XRoboToolkit on the headset",
    "multicast": "name this computer's address on Motive's network with --device local=ADDRESS, or use group=none",
}


def diagnose(facts: Facts) -> list[Finding]:
    """All that can be said, the worst first."""
    found: list[Finding] = []
    if facts.refused:
        found += _refused(facts)
    elif facts.content.poses:
        found += _streaming(facts)
    else:
        found += _silent(facts)
    found += _rejections(facts)
    found += _foreign(facts)
    if not facts.content.poses:
        found += _network(facts)
    order = (PROBLEM, NOTE, OK)
    return sorted(found, key=lambda finding: order.index(finding.level))


def content_of(poses: list[HumanPose]) -> Content:
    """What the poses of one source (MVN segments) have in common."""
    if not poses:
        return Content()
    pos, quat = np.array([p.pos_w for p in poses]), np.array([p.quat_w for p in poses])
    same = len(poses) >= FROZEN_POSES and bool((pos == pos[0]).all() and (quat == quat[0]).all())
    return Content(
        poses=len(poses),
        zero=bool((pos == pos[:, :1]).all()),
        identity=bool((np.abs(quat[..., 0]) == 1.0).all()),
        frozen=same,
        mirrored=all(mirrored(p.skeleton, p.pos_w, p.valid) for p in poses),
    )


def _refused(facts: Facts) -> list[Finding]:
    do = "mend that first; nothing was listened to"
    if facts.holders:
        do = "; ".join(f"stop {_who(holder)}" for holder in facts.holders[:3]) + ", or choose another port with --port"
    return [Finding(PROBLEM, facts.refused, do)]


def _who(holder: Holder) -> str:
    return f"{holder.name} (process {holder.pid})" if holder.pid else "a process of another user, or in a container"


def _streaming(facts: Facts) -> list[Finding]:
    content = facts.content
    rate = content.poses / facts.seconds
    found = [Finding(OK, f"{content.poses} poses arrived in {facts.seconds:g} s, {rate:.0f} a second")]
    if content.zero:
        found.append(Finding(PROBLEM, "every pose has all bodies in one place: the device sends zeros",
                             "calibrate the device, and let it see the person"))  # fmt: skip
    elif content.identity:
        found.append(Finding(PROBLEM, "every pose is the T-pose exactly: nobody is tracked",
                             "calibrate the device and start the body tracking"))  # fmt: skip
    elif content.frozen:
        found.append(Finding(PROBLEM, f"{content.poses} poses are the same bit for bit: the device repeats its last",
                             "start the playback or the tracking on the device again"))  # fmt: skip
    elif content.mirrored:
        found.append(Finding(PROBLEM, "left and right hand and foot are in the same place",
                             "calibrate the device again: its trackers are assigned twice"))  # fmt: skip
    share = facts.lost / max(facts.lost + content.poses, 1)
    if share > LOSS_SHARE:
        found.append(Finding(NOTE, f"{share:.0%} of the frames were lost",
                             "use a cable or 5 GHz WLAN with nothing else on it"))  # fmt: skip
    return found


def _silent(facts: Facts) -> list[Finding]:
    if facts.source == "optitrack":
        return _silent_motive(facts)
    if facts.source == "pico":
        return _silent_pico(facts)
    if facts.received:
        return [Finding(PROBLEM, f"{facts.received} packets arrived, but no pose could be made of them",
                        "see the lines below")]  # fmt: skip
    where = f"{WIRES[facts.transport]} port {facts.port}" if facts.source in LISTENERS else f"port {facts.port}"
    what = "not one datagram arrived" if facts.transport == "udp" else "nobody connected and sent anything"
    found = [Finding(PROBLEM, f"{what} on {where} of {facts.host} in {facts.seconds:g} s",
                     _sending_advice(facts))]  # fmt: skip
    if facts.host not in ANYWHERE and facts.host.startswith("127."):
        found.append(Finding(NOTE, f"{facts.host} hears programs of this computer only",
                             "listen on all addresses with --host 0.0.0.0"))  # fmt: skip
    found += [_firewall(where)]
    return found


def _sending_advice(facts: Facts) -> str:
    ours = " or ".join(i.address for i in _usable(facts) if not i.loopback) or "this computer's address"
    if facts.source == "xsens":
        return (
            f"in MVN, Options > Preferences > Network Streamer: destination {ours}, port {facts.port}, "
            f"{WIRES[facts.transport]}, "
            "'Position + Orientation (Quaternion)', and switch the stream on"
        )
    if facts.transport == "websocket":
        return f"have the sender connect to ws://{ours.split(' or ')[0]}:{facts.port}/pose"
    return f"have the sender send to {ours}, port {facts.port}"


def _silent_motive(facts: Facts) -> list[Finding]:
    if not facts.sender or not facts.received:
        found = [Finding(PROBLEM, facts.trouble or "no Motive answered",
                         "in Motive, Edit > Settings > Streaming: switch on 'Enable' (Broadcast Frame Data) and choose "
                         "the 'Local Interface' this computer can reach, not loopback; or name Motive's computer with "
                         "--host")]  # fmt: skip
        found.append(_firewall("UDP ports 1510 and 1511, and the answers to a port of our own"))
        return found
    found = [Finding(PROBLEM, facts.trouble or f"{facts.sender} answers, but no pose came",
                     "in Motive: is it live or playing, is a skeleton in the scene and streamed?")]  # fmt: skip
    return found + _multicast(facts)


def _multicast(facts: Facts) -> list[Finding]:
    if not facts.group:
        return []
    found = []
    if facts.routes is not None and not routed(facts.group, list(facts.routes)):
        name = next((i.name for i in _usable(facts) if not i.loopback), "INTERFACE")
        found.append(Finding(PROBLEM, f"no route leads to the multicast group {facts.group}",
                             f"sudo ip route add 224.0.0.0/4 dev {name}, or use unicast: --device group=none"))
    if not any(i.multicast and not i.loopback for i in _usable(facts)):
        found.append(Finding(PROBLEM, "no interface of this computer does multicast",
                             "use unicast: --device group=none, and 'Transmission Type: Unicast' in Motive"))
    elif len([i for i in _usable(facts) if not i.loopback]) > 1:
        found.append(Finding(NOTE, f"the frames of {facts.group} come on one of several interfaces",
                             "name the one on Motive's network with --device local=ADDRESS"))
    return found


def _silent_pico(facts: Facts) -> list[Finding]:
    where = f"{facts.host}:{facts.port}"
    if facts.received:
        return [Finding(PROBLEM, facts.trouble or "frames arrive, but no body in them can be used",
                        "see the lines below")]  # fmt: skip
    if not facts.sender:
        local = facts.host in (*ANYWHERE, "localhost") or facts.host.startswith("127.")
        if local and not facts.holders:
            return [Finding(PROBLEM, f"the PC service does not run: nothing listens on TCP port {facts.port}",
                            "start XRoboToolkit's PC service, or name its computer with --host")]  # fmt: skip
        return [Finding(PROBLEM, facts.trouble or f"no PC service answers at {where}",
                        "start XRoboToolkit's PC service there, and close other clients: it serves one"),
                _firewall(f"TCP port {facts.port}")]  # fmt: skip
    return [Finding(PROBLEM, facts.trouble or "the PC service runs, but sends nothing",
                    "on the headset, in XRoboToolkit: connect to this computer and switch 'Send' on")]  # fmt: skip


def _rejections(facts: Facts) -> list[Finding]:
    """One line a reason; the newest sentence goes with its own when there is one reason only."""
    found = []
    level = NOTE if facts.content.poses else PROBLEM
    for reason, count in sorted(facts.rejected.items(), key=lambda item: -item[1]):
        sentence = f": {facts.last_rejection}" if facts.last_rejection and len(facts.rejected) == 1 else ""
        what = f"{count} packets could not be used, {reason.replace('_', ' ')}{sentence}"
        found.append(Finding(level, what, _ADVICE.get(reason, "record them with --tap FILE and look at teleop decode")))
    if len(facts.rejected) > 1 and facts.last_rejection:
        found.append(Finding(NOTE, f"the newest of them: {facts.last_rejection}"))
    return found


def _foreign(facts: Facts) -> list[Finding]:
    if not facts.foreign:
        return []
    who = ", ".join(f"{ip}:{port}" for ip, port in facts.foreign_senders[:4]) or "others"
    heard = f"; {facts.sender} is listened to" if facts.sender else ""
    return [Finding(NOTE, f"{facts.foreign} datagrams came from {who}{heard}",
                    "stop the other sender, or give each a port of its own")]  # fmt: skip


def _network(facts: Facts) -> list[Finding]:
    usable = _usable(facts)
    if not facts.interfaces:
        return []
    if not any(not i.loopback for i in usable):
        down = ", ".join(i.name for i in facts.interfaces if not i.up)
        return [Finding(PROBLEM, "this computer has no address but loopback" + (f"; down: {down}" if down else ""),
                        "plug in the cable, or join the WLAN")]  # fmt: skip
    listed = ", ".join(f"{i.name} {i.address}" for i in usable)
    found = [Finding(NOTE, f"addresses of this computer: {listed}", "the device must be on the network of one of them")]
    own = [i.address for i in usable]
    if facts.source in LISTENERS and facts.host not in (*ANYWHERE, "localhost", *own) and own:
        found.append(Finding(PROBLEM, f"{facts.host} is none of them", "listen on all with --host 0.0.0.0"))
    return found


def _usable(facts: Facts) -> list[Interface]:
    return [i for i in facts.interfaces if i.up and i.address]


def _firewall(what: str) -> Finding:
    return Finding(NOTE, "a firewall may drop what comes, without a word", f"allow {what} in this computer's firewall")
