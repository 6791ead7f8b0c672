"""PICO: a ServerFeedback, or the JSON text of a device's state alone."""

from __future__ import annotations

import json
from functools import partial

from engine import Feed, Target
from feeding import JSON, clip, line, receiver

from teleopd.drivers.pico import messages, skeleton
from teleopd.drivers.pico import wire as pico
from teleopd.drivers.pico.emulator import EmulatorOptions as PicoOptions
from teleopd.drivers.pico.emulator import PicoEmulator
from teleopd.drivers.pico.extras import read_extras
from teleopd.drivers.pico.source import PicoSource
from teleopd.drivers.source import ProtocolError


def _pico_parse(data: bytes) -> None:
    content: bytes | None = data
    if data[:1] != b"{":
        if len(data) < 64:
            try:
                pico.decode_control(data)
            except ProtocolError:
                pass
        content = pico.decode_feedback(data).content
    tracking = messages.read_tracking(content) if content is not None else None
    if tracking is None:
        return
    read_extras(tracking, 0)
    skeleton.to_mvn(messages.read_poses([joint.p for joint in messages.body_joints(tracking)]))


def _pico_receiver() -> Feed:
    source = PicoSource()
    feed = receiver(lambda data, _sender, now_ns: source.receive(bytes(data), now_ns))
    feed(pico.encode_feedback(pico.Feedback(pico.CONNECT, "PA9E10", 1)))
    return lambda data: feed(_in_feedback(data) if data[:1] == b"{" else data)


def _in_feedback(text: bytes) -> bytes:
    return pico.encode_feedback(pico.Feedback(pico.STATE, "PA9E10", None, text))


def _pico_seeds() -> list[bytes]:
    motion, wall_ns = clip(), 1_700_000_000_000_000_000
    options = PicoOptions(digits=6, hands=True, trackers=3)
    frame = PicoEmulator(motion, options).frame(0, wall_ns)
    body = PicoEmulator(motion, PicoOptions(digits=6)).frame(1, wall_ns)
    text = pico.decode_feedback(body).content
    assert text is not None
    pose = "0,1,0,0,0,0,1"
    small = {
        "timeStampNs": 5, "Input": 1, "appState": {"focus": True}, "Head": {"pose": pose, "status": 3},
        "Controller": {side: {"pose": pose, "axisX": 0.5, "grip": 1, "primaryButton": True}
                       for side in ("left", "right")},
        "Body": {"joints": [{"p": pose, "t": 1.5}] * 24},
        "Hand": {"leftHand": {"isActive": 1, "scale": 1.0, "HandJointLocations": [{"p": pose, "r": 0.01}] * 26}},
        "Motion": {"joints": [{"p": pose, "sn": "T1"}]},
    }  # fmt: skip
    nested = json.dumps({"functionName": "Tracking", "value": json.dumps(small)}).encode()
    plain = json.dumps({"functionName": "Tracking", "value": small}).encode()
    feedback = pico.Feedback
    return [
        frame, body, text, nested, plain, b'{"functionName":"Battery","value":"7"}', _in_feedback(nested),
        *(pico.encode_feedback(each) for each in (
            feedback(pico.FIND, "PA9E10"), feedback(pico.MISSING, "PA9E10"), feedback(pico.CONNECT, "PA9E10", 1),
            feedback(pico.CUSTOM, "PA9E10", None, b"\1\2\3"),
        )),
        pico.encode_pid(4711), pico.encode_control("PA9E10", b"{}"),
    ]  # fmt: skip


PICO = Target(
    "pico", _pico_parse, _pico_receiver, partial(line, "pico"), ("drivers/pico/",), _pico_seeds,
    (b"\x0a\x0fdeviceStateJson", b"\x7a", b'"p":', b'"joints":', b'"Body":', b'"Hand":', b'"t":',
    b'"timeStampNs":', *JSON),
)  # fmt: skip
