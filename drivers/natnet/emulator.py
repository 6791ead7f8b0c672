"""An OptiTrack Motive server on any address: a motion clip as true NatNet traffic, with faults on request."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from teleopd.drivers.emulation import EmulatorError, at_rate, check_port, fault_plan, port_or, shown_frame
from teleopd.drivers.human_pose import Array
from teleopd.drivers.motion_file.clip import SEGMENT, MotionClip
from teleopd.drivers.motion_file.resampling import null_pose
from teleopd.drivers.natnet import encode, wire
from teleopd.drivers.natnet.messages import (
    BODY,
    MARKER,
    BodyModel,
    Echo,
    Frame,
    Hello,
    Kind,
    ModelDef,
    ServerInfo,
    SkeletonData,
    SkeletonModel,
    Version,
)
from teleopd.drivers.pacing import Pacer
from teleopd.drivers.source import ProtocolError, SourceUnavailable
from teleopd.drivers.udp import Address, UdpListener

CLOCK_HZ = 10_000_000
"""Ticks per second, as on most Windows computers."""
CLOCK_LEAD_NS = 86_400_000_000_000
"""The emulated computer runs a day longer than this one."""
PIPELINE_NS = 5_400_000
"""Mid-exposure to transmit; median of recorded Motive 2.1 traffic."""
CAMERA_NS = 4_570_000
"""Mid-exposure to data received; same recording."""
KEEP_ALIVE_EXPIRY_NS = 5_000_000_000
"""A unicast client silent for so long is dropped."""
MAX_CLIENTS = 16
VERSIONS: dict[str, Version] = {"3.0": (3, 0), "3.1": (3, 1), "4.0": (4, 0), "4.1": (4, 1), "4.2": (4, 2)}
SKELETON_ID = 1


class Bone(NamedTuple):
    """One of Motive's 21 bones."""

    name: str
    parent: int
    """1-based id; 0 for the root."""
    position: str
    """MVN segment at whose origin it starts."""
    turn: str
    """MVN segment it turns with."""


def _bones() -> tuple[Bone, ...]:
    table = [Bone("Hip", 0, "Pelvis", "Pelvis"), Bone("Ab", 1, "L5", "L5"), Bone("Chest", 2, "T12", "T8"),
             Bone("Neck", 3, "Neck", "Neck"), Bone("Head", 4, "Head", "Head")]  # fmt: skip
    arm = ("Shoulder", "UArm", "FArm", "Hand"), ("Shoulder", "UpperArm", "ForeArm", "Hand")
    leg = ("Thigh", "Shin", "Foot"), ("UpperLeg", "LowerLeg", "Foot")
    for (names, segments), root in ((arm, 3), (leg, 1)):
        for side in ("Left", "Right"):
            first = len(table) + 1
            for k, (name, segment) in enumerate(zip(names, segments, strict=True)):
                table.append(Bone(side[0] + name, root if k == 0 else first + k - 1, side + segment, side + segment))
    table += [Bone("LToe", 16, "LeftToe", "LeftToe"), Bone("RToe", 19, "RightToe", "RightToe")]
    return tuple(table)


BONES = _bones()
_AT = [SEGMENT[bone.position] for bone in BONES]
_TURN = [SEGMENT[bone.turn] for bone in BONES]
RIGID_BODIES = ("Head", "LeftHand", "RightHand", "Pelvis", "LeftFoot", "RightFoot")
BODY_COUNTS = (0, 3, 4, 6)
_RIGID = [SEGMENT[name] for name in RIGID_BODIES]
_TO_Y_UP = [1, 2, 0]
_TO_Y_UP_XYZW = [2, 3, 1, 0]
"""From wxyz, Z-up, to xyzw, Y-up."""


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """Where to serve, how fast, and what goes wrong on the way."""

    host: str = "127.0.0.1"
    """Address to serve on."""
    port: int | None = None
    """Command port; None: Motive's own, 1510."""
    rate_hz: float | None = None
    """Frames per second [Hz]; None: the clip's."""
    natnet: str = "4.1"
    """Bitstream: 3.0, 3.1, 4.0, 4.1 or 4.2."""
    multicast: bool = False
    """Frames to the group instead of to each client."""
    group: str = wire.GROUP
    data_port: int = wire.DATA_PORT
    """Of the group."""
    person: str = "Operator"
    """The skeleton's name."""
    bodies: int = 0
    """Rigid bodies instead of a skeleton: 3 (head, hands), 4 (and pelvis) or 6 (and feet); 0: the skeleton."""
    rigid_bodies: bool = False
    """Head, hands, pelvis and feet as rigid bodies instead of a skeleton."""
    loss: float = 0.0
    """Share of frames lost, 0 to 1."""
    jitter_ms: float = 0.0
    """Largest random extra delay [ms]."""
    dup: float = 0.0
    """Share sent twice, 0 to 1."""
    reorder: float = 0.0
    """Share sent after their successor, 0 to 1."""
    freeze_at_s: float | None = None
    """From this stream time on [s] the pose stands still while counters run."""
    freeze_s: float = 1.0
    """How long it stands still [s]."""
    clock_jump_at_s: float | None = None
    """From this stream time on [s] the server's clock is ahead."""
    clock_jump_s: float = 3600.0
    """By so much [s]."""
    recenter_at_s: float | None = None
    """From this stream time on [s] the origin lies elsewhere, as after a new ground plane."""
    recenter_m: float = 1.0
    """So far along x [m]."""
    seed: int = 0
    """Seed of the faults."""


class NatNetEmulator:
    """Answers commands at any time while it runs, and streams a clip to whoever connected."""

    options = EmulatorOptions

    def __init__(self, clip: MotionClip, options: EmulatorOptions | None = None) -> None:
        """Raises EmulatorError or FaultError for an option outside its range."""
        self._options = options = options or EmulatorOptions()
        if options.natnet not in VERSIONS:
            raise EmulatorError(f"NatNet version is '{options.natnet}'; choose {', '.join(VERSIONS)}")
        self.clip = at_rate(clip, options.rate_hz)
        self.port = port_or(options.port, wire.COMMAND_PORT)
        check_port(options.data_port)
        if options.bodies not in BODY_COUNTS:
            raise EmulatorError(f"bodies is {options.bodies}; give 3 (head, hands), 4 (and pelvis), 6 (and feet) or 0")
        if not _is_group(options.group):
            raise EmulatorError(f"'{options.group}' is no multicast address; Motive's own is {wire.GROUP}")
        self.version = VERSIONS[options.natnet]
        self.sent = 0
        """Frame datagrams handed to the network."""
        self.unsent = 0
        """Datagrams the network refused."""
        self.commands: dict[Kind, int] = {}
        """Kind -> messages heard from clients."""
        self.expired = 0
        """Unicast clients dropped because their keep-alives ended."""
        self._clients: dict[Address, int] = {}
        self._faults = fault_plan(options)
        self._models = models(self.clip, options)
        self._pacer = Pacer(self._send_frame)
        self._socket = _ServerSocket(options.host, self.port, self._hear)
        self._stream_s = 0.0

    @property
    def address(self) -> str:
        """Where it serves, as text."""
        how = f"multicast {self._options.group}:{self._options.data_port}" if self._options.multicast else "unicast"
        return f"natnet://{self._options.host}:{self.port} ({self._options.natnet}, {how})"

    @property
    def skipped(self) -> int:
        """Frames whose deadline had passed by a whole period."""
        return self._pacer.skipped

    async def run(
        self, *, seconds: float | None = None, loop: bool = False, progress: Callable[[float], None] | None = None
    ) -> None:
        """Serve while the clip plays once, or again and again, for at most `seconds` [s].

        Frames are numbered by the clip, so each repetition starts at zero, as when Motive plays a take in a loop.

        Raises:
            SourceUnavailable: the address is not ours, or the port is taken.
        """
        self._socket.open()
        try:
            await self._pacer.play(
                len(self.clip.pos_w), self.clip.fps, self._emit, seconds=seconds, loop=loop, progress=progress
            )
        finally:
            self._socket.close()

    def datagram(self, frame: int, now_ns: int) -> bytes:
        """FRAMEOFDATA of a clip frame sent at `now_ns` [monotonic]."""
        options = self._options
        shown = self._shown(frame)
        pos, quat = self.clip.pos_w[shown], self.clip.quat_w[shown]
        if _past(options.recenter_at_s, frame / self.clip.fps):
            pos = pos + (options.recenter_m, 0.0, 0.0)
        return encode.encode_frame(self._frame(frame, pos, quat, self._server_ns(now_ns)), self.version)

    def _frame(self, number: int, pos_w: Array, quat_w: Array, sent_ns: int) -> Frame:
        bodies = np.empty(0, BODY)
        skeletons: tuple[SkeletonData, ...] = ()
        if (count := _rigid_count(self._options)):
            ids, rows = np.arange(1, count + 1, dtype=np.int64), _RIGID[:count]
            bodies = encode.bodies(ids, pos_w[rows][:, _TO_Y_UP], quat_w[rows][:, _TO_Y_UP_XYZW])
        else:
            ids = (SKELETON_ID << 16) + np.arange(1, len(BONES) + 1, dtype=np.int64)
            bones = encode.bodies(ids, pos_w[_AT][:, _TO_Y_UP], quat_w[_TURN][:, _TO_Y_UP_XYZW])
            skeletons = (SkeletonData(SKELETON_ID, bones),)
        exposed_ns = sent_ns - PIPELINE_NS
        return Frame(
            number, (), np.empty((0, 3), np.float32), bodies, (), skeletons, (), np.empty(0, MARKER), (), (), 0.0, 0, 0,
            exposed_ns / 1e9, _ticks(exposed_ns), _ticks(exposed_ns + CAMERA_NS), _ticks(sent_ns),
            exposed_ns // 1_000_000_000, 0, 0,
        )  # fmt: skip

    def _shown(self, frame: int) -> int:
        return shown_frame(frame, self.clip.fps, self._options.freeze_at_s, self._options.freeze_s)

    def _server_ns(self, now_ns: int) -> int:
        jump = self._options.clock_jump_s if _past(self._options.clock_jump_at_s, self._stream_s) else 0.0
        return now_ns + CLOCK_LEAD_NS + int(jump * 1e9)

    def _emit(self, running: int, due_ns: int) -> None:
        self._stream_s = running / self.clip.fps
        datagram = self.datagram(running % len(self.clip.pos_w), due_ns)
        for leaves_ns in self._faults.departures(due_ns, int(1e9 / self.clip.fps)):
            self._pacer.leave(leaves_ns, datagram)

    def _send_frame(self, datagram: bytes) -> None:
        if self._options.multicast:
            self._send(datagram, (self._options.group, self._options.data_port))
            return
        now_ns = time.monotonic_ns()
        for client, heard_ns in list(self._clients.items()):
            if now_ns - heard_ns > KEEP_ALIVE_EXPIRY_NS:
                del self._clients[client]
                self.expired += 1
            else:
                self._send(datagram, client)

    def _send(self, datagram: bytes, to: Address) -> None:
        if self._socket.send(datagram, to):
            self.sent += datagram[0] == Kind.FRAMEOFDATA
        else:
            self.unsent += 1

    def _hear(self, data: memoryview, client: Address, now_ns: int) -> None:
        """One command; what cannot be read gets no answer."""
        try:
            message = wire.decode(data, self.version)
        except ProtocolError:
            return
        self.commands[message.kind] = self.commands.get(message.kind, 0) + 1
        answer = self._answer(message.kind, message.body, now_ns)
        if message.kind is Kind.CONNECT or (message.kind is Kind.KEEPALIVE and client in self._clients):
            if client in self._clients or len(self._clients) < MAX_CLIENTS:
                self._clients[client] = now_ns
        elif message.kind is Kind.DISCONNECT:
            self._clients.pop(client, None)
        if answer:
            self._send(answer, client)

    def _answer(self, kind: Kind, body: object, now_ns: int) -> bytes:
        if isinstance(body, Hello):
            return wire.encode_server_info(self.server_info())
        if kind is Kind.REQUEST_MODELDEF:
            return encode.encode_modeldef(self._models, self.version)
        if kind is Kind.ECHOREQUEST and isinstance(body, Echo):
            return wire.encode_echo(body.client_stamp, _ticks(self._server_ns(now_ns)))
        if kind is Kind.REQUEST:
            if body == "FrameRate":
                return wire.encode(Kind.RESPONSE, np.float32(self.clip.fps).tobytes())
            return wire.encode(Kind.UNRECOGNIZED, bytes(264))
        return b""

    def server_info(self) -> ServerInfo:
        """What it answers to CONNECT."""
        major, minor = self.version
        options = self._options
        return ServerInfo(
            "Motive (emulated)", (3, 0, 0, 0), (major, minor, 0, 0), CLOCK_HZ, options.data_port, options.multicast,
            options.group,
        )  # fmt: skip


class _ServerSocket(UdpListener):
    def __init__(self, host: str, port: int, hear: Callable[[memoryview, Address, int], None]) -> None:
        super().__init__(host, port, wire.MAX_DATAGRAM, hear)

    def send(self, datagram: bytes, to: Address) -> bool:
        """Whether the network took it."""
        if self._socket is None:
            return False
        for _ in range(2):  # the first error may be the report about an earlier datagram
            try:
                self._socket.sendto(datagram, to)
            except ConnectionRefusedError:
                continue
            except OSError:
                return False
            return True
        return False

    def _prepare(self, sock: socket.socket) -> None:
        """Multicast leaves by the interface that is served."""
        try:
            interface = socket.inet_aton(socket.gethostbyname(self.host))
        except OSError as error:
            raise SourceUnavailable(f"cannot find the address '{self.host}': {error.strerror}") from None
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)


def models(clip: MotionClip, options: EmulatorOptions) -> ModelDef:
    """MODELDEF of the clip's body: the 21 bones with their T-pose offsets, or the six rigid bodies."""
    if (count := _rigid_count(options)):
        named = enumerate(RIGID_BODIES[:count], 1)
        bodies = tuple(BodyModel(name, k, -1, (0.0, 0.0, 0.0)) for k, name in named)
        return ModelDef((), bodies, (), (), 0)
    at = null_pose(clip)[_AT][:, _TO_Y_UP]
    bones = []
    for k, bone in enumerate(BONES):
        x, y, z = (at[k] - (at[bone.parent - 1] if bone.parent else 0.0)).tolist()
        bones.append(BodyModel(f"{options.person}_{bone.name}", k + 1, bone.parent, (x, y, z)))
    return ModelDef((), (), (SkeletonModel(options.person, SKELETON_ID, tuple(bones)),), (), 0)


def _is_group(text: str) -> bool:
    try:
        return ipaddress.IPv4Address(text).is_multicast
    except ValueError:
        return False


def _rigid_count(options: EmulatorOptions) -> int:
    """How many rigid bodies are streamed in the skeleton's place; 0: the skeleton."""
    return options.bodies or (len(RIGID_BODIES) if options.rigid_bodies else 0)


def _ticks(server_ns: int) -> int:
    return server_ns * CLOCK_HZ // 1_000_000_000


def _past(start_s: float | None, now_s: float) -> bool:
    return start_s is not None and now_s >= start_s
