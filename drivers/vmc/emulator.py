"""A program that performs: a motion clip as Virtual Motion Capture protocol, with faults on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from teleopd.drivers.emulation import at_rate, fault_plan, port_or, shown_frame
from teleopd.drivers.human_pose import Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.clip import SEGMENT, MotionClip
from teleopd.drivers.pacing import Pacer
from teleopd.drivers.udp_sender import UdpSender
from teleopd.drivers.vmc import wire
from teleopd.drivers.vmc.humanoid import BONES, PARENT_OF, SEGMENT_OF, to_unity

BUNDLE_BYTES = 1400
"""Longest bundle [B], so that none is split on its way."""
BLEND_SHAPES = ("A", "Blink")

_AT = np.array([SEGMENT[SEGMENT_OF[bone]] for bone in BONES])
_CHILD = np.array([i for i, bone in enumerate(BONES) if bone in PARENT_OF])
_PARENT = np.array([BONES.index(PARENT_OF[BONES[i]]) for i in _CHILD])


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """Where to send, how fast, and what goes wrong on the way."""

    host: str = "127.0.0.1"
    """Receiver's address."""
    port: int | None = None
    """Receiver's UDP port; None: a marionette's, 39539."""
    rate_hz: float | None = None
    """Frames per second [Hz]; None: the clip's."""
    loss: float = 0.0
    """Share of datagrams lost, 0 to 1; a frame is two."""
    jitter_ms: float = 0.0
    """Largest random extra delay of a datagram [ms]."""
    dup: float = 0.0
    """Share sent twice, 0 to 1."""
    reorder: float = 0.0
    """Share sent after their successor, 0 to 1."""
    freeze_at_s: float | None = None
    """From this stream time on [s] the pose stands still while the clock runs."""
    freeze_s: float = 1.0
    """How long it stands still [s]."""
    seed: int = 0
    """Seed of the faults."""


class VmcEmulator:
    """Sends a clip at absolute deadlines; one missed by a whole period is skipped, never caught up in a burst."""

    options = EmulatorOptions

    def __init__(self, clip: MotionClip, options: EmulatorOptions | None = None) -> None:
        """Raises EmulatorError or FaultError for an option outside its range, SourceUnavailable without python-osc."""
        wire.check_available()
        self._options = options = options or EmulatorOptions()
        self.clip = at_rate(clip, options.rate_hz)
        self.port = port_or(options.port, wire.DEFAULT_PORT)
        self.sent = 0
        """Datagrams handed to the network."""
        self.skipped = 0
        """Frames whose deadline had passed by a whole period."""
        self._faults = fault_plan(options)

    @property
    def address(self) -> str:
        """Where the datagrams go, as text."""
        return f"udp://{self._options.host}:{self.port}"

    async def run(
        self, *, seconds: float | None = None, loop: bool = False, progress: Callable[[float], None] | None = None
    ) -> None:
        """Send the clip once, or again and again, for at most `seconds` [s]; `progress` hears the stream time [s].

        The sender's clock runs on over repetitions, as a program's does.

        Raises:
            SourceUnavailable: the receiver's address cannot be reached.
        """
        frames, period_ns = len(self.clip.pos_w), int(1e9 / self.clip.fps)
        with UdpSender(self._options.host, self.port) as sender:
            pacer = Pacer(sender.send)

            def emit(number: int, due_ns: int) -> None:
                for datagram in self.datagrams(number % frames, time_s=number / self.clip.fps):
                    for leaves_ns in self._faults.departures(due_ns, period_ns):
                        pacer.leave(leaves_ns, datagram)

            try:
                await pacer.play(frames, self.clip.fps, emit, seconds=seconds, loop=loop, progress=progress)
            finally:
                self.sent += sender.sent
                self.skipped += pacer.skipped

    def datagrams(self, number: int, *, time_s: float | None = None) -> list[bytes]:
        """The bundles of a frame of the clip; `time_s`: on the sender's clock [s], None for that of the clip."""
        stamp_s = number / self.clip.fps if time_s is None else time_s
        shown = self._shown(number)
        messages = [
            wire.encode_message(wire.STATUS, 1, wire.CALIBRATED, 0, 1),
            wire.encode_message(wire.TIME, float(stamp_s)),
            wire.encode_message(wire.ROOT, "root", *(0.0,) * 6, 1.0),
        ]
        for bone, values in zip(BONES, self._locals(shown), strict=True):
            messages.append(wire.encode_message(wire.BONE, bone, *values.tolist()))
        messages += [wire.encode_message("/VMC/Ext/Blend/Val", name, 0.0) for name in BLEND_SHAPES]
        messages.append(wire.encode_message("/VMC/Ext/Blend/Apply"))
        return _bundles(messages)

    def _locals(self, shown: int) -> Array:
        """Transforms of the bones against their parents, Unity's axes, (n, 7)."""
        pos, quat = self.clip.pos_w[shown][_AT], self.clip.quat_w[shown][_AT]
        back = rot.conjugate(quat[_PARENT])
        local_pos, local_quat = pos.copy(), quat.copy()
        local_pos[_CHILD] = rot.rotate(back, pos[_CHILD] - pos[_PARENT])
        local_quat[_CHILD] = rot.multiply(back, quat[_CHILD])
        return to_unity(local_pos, local_quat)

    def _shown(self, number: int) -> int:
        return shown_frame(number, self.clip.fps, self._options.freeze_at_s, self._options.freeze_s)


def _bundles(messages: list[bytes]) -> list[bytes]:
    bundles: list[list[bytes]] = [[]]
    size = 0
    for message in messages:
        if size + len(message) + 4 > BUNDLE_BYTES:
            bundles.append([])
            size = 0
        bundles[-1].append(message)
        size += len(message) + 4
    return [wire.encode_bundle(each) for each in bundles]
