"""An Xsens MVN network streamer on any host and port: a motion clip as true MVN datagrams, with faults on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from teleopd.drivers.emulation import EmulatorError, at_rate, fault_plan, port_or, shown_frame
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.resampling import null_pose
from teleopd.drivers.pacing import Pacer
from teleopd.drivers.udp_sender import UdpSender
from teleopd.drivers.xsens import emulated_types, wire
from teleopd.drivers.xsens.tables import FINGERS
from teleopd.drivers.xsens.tcp_sender import TcpSender

INFO_PERIOD_S = 1.0
"""Name (12) and null pose (13) are repeated so often, so that a receiver that joins late learns them."""

TYPES = (wire.POSE, wire.POSE_EULER, wire.POSE_UNITY, wire.META, wire.SCALE, wire.JOINT_ANGLES, wire.TIME_CODE)
"""Emulated, in the order of sending: 01, 02, 05, 20 and 25 with every frame, 12 and 13 once a second."""
APART_M = 1.0
"""Distance of several characters, along the world's y [m]."""


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """Where to send, how fast, and what goes wrong on the way."""

    host: str = "127.0.0.1"
    """Receiver's address."""
    port: int | None = None
    """Receiver's port; None: MVN's own, 9763."""
    rate_hz: float | None = None
    """Frames per second [Hz]; None: the clip's."""
    character: int = 0
    """MVN character id, 0 to 255; of the first where there are several."""
    characters: int = 1
    """People, 1 to 8, side by side in the same motion."""
    datagram: str = "02,12,13"
    """Message types, of 01, 02, 05, 12, 13, 20 and 25."""
    transport: Literal["udp", "tcp"] = "udp"
    props: int = 0
    """Objects in the right hand, 0 to 4."""
    fingers: bool = False
    """With the 40 finger segments."""
    split: int = 0
    """Segments in one type 02 datagram, 1 to 67, the rest in further ones; 0: all in one."""
    loss: float = 0.0
    """Share of pose datagrams lost, 0 to 1."""
    jitter_ms: float = 0.0
    """Largest random extra delay [ms]."""
    dup: float = 0.0
    """Share sent twice, 0 to 1."""
    reorder: float = 0.0
    """Share sent after their successor, 0 to 1."""
    freeze_at_s: float | None = None
    """From this stream time on [s] the pose stands still while counters run, as when a sensor drops out of MVN."""
    freeze_s: float = 1.0
    """How long it stands still [s]."""
    seed: int = 0
    """Seed of the faults."""


class XsensEmulator:
    """Sends a clip at absolute deadlines; one missed by a whole period is skipped, never caught up in a burst."""

    options = EmulatorOptions

    def __init__(self, clip: MotionClip, options: EmulatorOptions | None = None) -> None:
        """Raises EmulatorError or FaultError for an option outside its range."""
        self._options = options = options or EmulatorOptions()
        if not 0 <= options.character <= 255:
            raise EmulatorError(f"character is {options.character}; give 0 to 255")
        if not 1 <= options.characters <= min(8, 256 - options.character):
            raise EmulatorError(f"characters is {options.characters}; give 1 to 8, with ids of 255 at most")
        if not 0 <= options.props <= 4:
            raise EmulatorError(f"props is {options.props}; give 0 to 4")
        if not 0 <= options.split <= wire.MAX_ITEMS:
            raise EmulatorError(f"split is {options.split}; give 0 to {wire.MAX_ITEMS} segments")
        self._types = _types(options.datagram)
        self.clip = at_rate(clip, options.rate_hz)
        self.port = port_or(options.port, wire.DEFAULT_PORT)
        self.sent = 0
        """Datagrams of frames handed to the network; 12 and 13 are not counted."""
        self.skipped = 0
        """Frames whose deadline had passed by a whole period."""
        self.unsent = 0
        """Datagrams the network refused."""
        self._faults = fault_plan(options)
        self._null_pose = null_pose(self.clip)

    @property
    def address(self) -> str:
        """Where the datagrams go, as text."""
        return f"{self._options.transport}://{self._options.host}:{self.port}"

    async def run(
        self, *, seconds: float | None = None, loop: bool = False, progress: Callable[[float], None] | None = None
    ) -> None:
        """Send the clip once, or again and again, for at most `seconds` [s]; `progress` hears the stream time [s].

        Each repetition is a new recording: counter and time code start at zero, as MVN's do.

        Raises:
            SourceUnavailable: the receiver's address cannot be reached, or over TCP it hung up.
        """
        host = self._options.host
        if self._options.transport == "udp":
            with UdpSender(host, self.port) as udp:
                await self._play(udp, seconds, loop, progress)
            return
        tcp = TcpSender(host, self.port)
        await tcp.connect()
        try:
            await self._play(tcp, seconds, loop, progress)
        finally:
            await tcp.close()

    def datagrams(self, frame: int) -> tuple[bytes, list[bytes]]:
        """First datagram of a frame, and the character information that goes along with it (mostly none)."""
        frames, info = self.frame(frame), self.information(frame)
        return frames[0] if frames else b"", info

    def frame(self, number: int) -> list[bytes]:
        """Datagrams of a frame of the clip: every type but 12 and 13, of every character."""
        found: list[bytes] = []
        for person in range(self._options.characters):
            for kind in self._types:
                found += self._datagrams_of(kind, number, person)
        return found

    def information(self, number: int) -> list[bytes]:
        """Types 12 and 13, once a second."""
        if number % max(1, round(INFO_PERIOD_S * self.clip.fps)):
            return []
        found = []
        for person in range(self._options.characters):
            stamp = self._stamp(number, person)
            name = self.clip.name.replace("\n", " ") + (f" {person + 1}" if person else "")
            if wire.META in self._types:
                tags = {"name": name, "xmid": "emulated", "color": "3399ff"}
                found.append(wire.encode_meta(tags, **stamp))
            if wire.SCALE in self._types:
                found.append(wire.encode_null_pose(self._null_pose, **stamp))
        return found

    def _datagrams_of(self, kind: int, number: int, person: int) -> list[bytes]:
        options, stamp, shown = self._options, self._stamp(number, person), self._shown(number)
        pos, quat = self.clip.pos_w[shown] + (0.0, person * APART_M, 0.0), self.clip.quat_w[shown]
        counts = {"props": options.props, "fingers": FINGERS if options.fingers else 0}
        if kind in (wire.POSE, wire.POSE_EULER):
            ids, pos, quat = emulated_types.with_extras(pos, quat, options.props, options.fingers)
            if kind == wire.POSE_EULER:
                rows = emulated_types.euler_rows(ids, pos, quat)
                return [wire.datagram(kind, rows, len(ids), **stamp, **counts)]
            return self._split(wire.pose_rows(ids, pos, quat), len(ids), stamp, counts)
        if kind == wire.POSE_UNITY:
            return [wire.datagram(kind, emulated_types.unity_rows(pos, quat), wire.SEGMENTS, **stamp, **counts)]
        if kind == wire.JOINT_ANGLES:
            rows = emulated_types.joint_angle_rows(quat)
            return [wire.datagram(kind, rows, wire.SEGMENTS - 1, **stamp, **counts)]
        if kind == wire.TIME_CODE:
            return [wire.datagram(kind, emulated_types.time_code(number / self.clip.fps), 1, **stamp, **counts)]
        return []

    def _split(self, rows: bytes, items: int, stamp: dict[str, int], counts: dict[str, int]) -> list[bytes]:
        each, size = self._options.split or items, len(rows) // items
        starts = range(0, items, each)
        return [
            wire.datagram(
                wire.POSE, rows[start * size : (start + each) * size], min(each, items - start), **stamp, **counts,
                counter=part | (0x80 if part == len(starts) - 1 else 0),
            )
            for part, start in enumerate(starts)
        ]  # fmt: skip

    def _stamp(self, number: int, person: int) -> dict[str, int]:
        time_code_ms = int(1000 * number / self.clip.fps + 0.5)
        return {"sample": number, "time_code_ms": time_code_ms, "character": self._options.character + person}

    def _shown(self, frame: int) -> int:
        return shown_frame(frame, self.clip.fps, self._options.freeze_at_s, self._options.freeze_s)

    async def _play(
        self, sender: UdpSender | TcpSender, seconds: float | None, loop: bool,
        progress: Callable[[float], None] | None,
    ) -> None:  # fmt: skip
        pacer, frames, period_ns, told = Pacer(sender.send), len(self.clip.pos_w), int(1e9 / self.clip.fps), 0

        def emit(running: int, due_ns: int) -> None:
            nonlocal told
            number = running % frames
            before = sender.sent
            for datagram in self.information(number):
                sender.send(datagram)
            told += sender.sent - before
            for datagram in self.frame(number):
                for leaves_ns in self._faults.departures(due_ns, period_ns):
                    pacer.leave(leaves_ns, datagram)

        try:
            await pacer.play(frames, self.clip.fps, emit, seconds=seconds, loop=loop, progress=progress)
        finally:
            self.skipped += pacer.skipped
            self.sent += sender.sent - told
            self.unsent += sender.unsent


def _types(text: str) -> tuple[int, ...]:
    """Message types of a list, in the order of sending.

    Raises:
        EmulatorError: none, or one that is not emulated.
    """
    words = [word.strip() for word in text.split(",")]
    known = {f"{kind:02d}" for kind in TYPES}
    for word in words:
        if word.zfill(2) not in known:
            raise EmulatorError(f"datagram is '{word}'; give some of {', '.join(sorted(known))}, as 02,20")
    return tuple(kind for kind in TYPES if kind in {int(word) for word in words})
