"""Packets of any device -> plain values that can be printed: what a packet says, or why it cannot be read. Pure."""

from __future__ import annotations

import enum
from typing import Any

import msgspec
import numpy as np

from teleopd.drivers.natnet import wire as natnet
from teleopd.drivers.natnet.messages import Kind, ServerInfo, Version
from teleopd.drivers.network import wire as network
from teleopd.drivers.pico import messages as pico_messages
from teleopd.drivers.pico import wire as pico
from teleopd.drivers.pico.extras import read_extras
from teleopd.drivers.source import ProtocolError
from teleopd.drivers.tap.capture import NOWHERE, Arrival
from teleopd.drivers.vmc import wire as vmc
from teleopd.drivers.xsens import wire as xsens

BITSTREAMS: tuple[Version, ...] = ((4, 2), (4, 1), (4, 0), (3, 1), (3, 0), (2, 10), (2, 9), (2, 7), (2, 5))
"""Tried in this order where nothing says which it is; a frame must end where its datagram does."""


class Decoder:
    """Reads the packets of one file in order; of NatNet the bitstream follows from the SERVERINFO before."""

    def __init__(self, device: str, version: Version | None = None) -> None:
        """`device`: of `DEVICES`; `version`: NatNet bitstream, None: as the server says, else found out."""
        if device == "vmc":
            vmc.check_available()
        readers = {"xsens": _xsens, "optitrack": self._natnet, "pico": _pico, "network": _network, "vmc": _vmc}
        self._read = readers[device]
        self._told = version
        self._version = version

    def line(self, number: int, arrival: Arrival, first_ns: int) -> dict[str, Any]:
        """One packet as a JSON object: number, offset [B], t_s since the first, stamp_ns, addresses, bytes, then
        `type` and `value`, or `error`."""
        line: dict[str, Any] = {
            "packet": number, "offset": arrival.offset, "t_s": (arrival.t_ns - first_ns) / 1e9,
            "stamp_ns": arrival.t_ns, "bytes": len(arrival.payload),
        }  # fmt: skip
        if arrival.source != NOWHERE:
            line["source"], line["destination"] = (f"{ip}:{port}" for ip, port in (arrival.source, arrival.destination))
        try:
            return line | self._read(arrival.payload)
        except ProtocolError as error:
            return line | {"reason": error.reason, "error": str(error)}

    def _natnet(self, data: bytes) -> dict[str, Any]:
        kind, _ = natnet.read_header(data)
        if kind not in (Kind.FRAMEOFDATA, Kind.MODELDEF) or self._version is not None:
            message = natnet.decode(data, self._version or natnet.NEWEST)
            if isinstance(message.body, ServerInfo) and self._told is None:
                self._version = natnet.bitstream(message.body.natnet_version)
            version = self._version if kind in (Kind.FRAMEOFDATA, Kind.MODELDEF) else None
            return {"type": kind.name, **_bitstream(version), "value": plain(message.body)}
        newest: ProtocolError | None = None
        for version in BITSTREAMS:
            try:
                body = natnet.decode(data, version).body
            except ProtocolError as error:
                newest = newest or error
                continue
            return {"type": kind.name, **_bitstream(version), "guessed": True, "value": plain(body)}
        assert newest is not None
        raise newest


def _bitstream(version: Version | None) -> dict[str, str]:
    return {} if version is None else {"bitstream": f"{version[0]}.{version[1]}"}


def _xsens(data: bytes) -> dict[str, Any]:
    message = xsens.decode(data)
    value = {"header": plain(message.header), "body": plain(message.body)}
    return {"type": f"MXTP{message.header.kind:02d}", "value": value}


def _network(data: bytes) -> dict[str, Any]:
    """A frame as it was sent, its defaults filled in."""
    return {"type": "Pose", "value": msgspec.to_builtins(network.decode(data))}


def _vmc(data: bytes) -> dict[str, Any]:
    """What a datagram says about the body; `skipped` counts its other messages."""
    return {"type": "VMC", "value": plain(vmc.decode(data))}


def _pico(data: bytes) -> dict[str, Any]:
    """A `ServerFeedback`, or the JSON text of a device's state alone."""
    if data[:1] == b"{":
        feedback = pico.Feedback(pico.STATE, "", None, data)
    else:
        feedback = pico.decode_feedback(data)
    value: dict[str, Any] = {"device": feedback.device}
    if feedback.status is not None:
        value["status"] = feedback.status
    if feedback.name == pico.STATE and feedback.content is not None:
        tracking = pico_messages.read_tracking(feedback.content)
        if tracking is None:
            value["state"] = feedback.content.decode("utf-8", "replace")
        else:
            return {"type": "Tracking", "value": value | _tracking(tracking)}
    elif feedback.content is not None:
        value["content"] = feedback.content.hex()
    if not feedback.name:
        raise ProtocolError("no_name", "a message carries no name; it is none of the PC service's")
    return {"type": feedback.name, "value": value}


def _tracking(tracking: pico_messages.Tracking) -> dict[str, Any]:
    """Poses are rows of x, y, z [m], qx, qy, qz, qw in the device's axes; the extras are in world axes."""
    value: dict[str, Any] = {"stamp_ns": tracking.stamp_ns, "input": tracking.input}
    if tracking.app is not None:
        value["focus"] = bool(tracking.app.focus)
    if tracking.body is not None and tracking.body.joints:
        joints = pico_messages.body_joints(tracking)
        value["joint_times"] = [joint.t for joint in joints]
        value["joints"] = plain(pico_messages.read_poses([joint.p for joint in joints]))
    if tracking.controller is not None:
        value["controllers"] = msgspec.to_builtins(tracking.controller)
    value["extras"] = plain(read_extras(tracking, 0))
    return value


def plain(value: Any) -> Any:
    """Named tuples as objects, arrays as lists, bytes as hexadecimal text, enums by name."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(part) for name, part in zip(value._fields, value, strict=True)}
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    return value.hex() if isinstance(value, (bytes, memoryview)) else value


def _array(values: np.ndarray[Any, Any]) -> Any:
    names = values.dtype.names
    if names is None:
        return values.tolist()
    return [{name: row[name].tolist() for name in names} for row in values]
