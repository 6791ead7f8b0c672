"""Tells systemd that the service is up and that every stage makes progress: sd_notify(3) over its own socket."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

from teleopd.launch.operator_script import BALANCING
from teleopd.launch.processes import Processes
from teleopd.launch.silence import WORDS
from teleopd.safety.words import Mode
from teleopd.service.streams import Bus

LOOK_NS = 500_000_000
"""How often progress is judged; the units' WatchdogSec is several times that."""
STUCK_NS = 4_000_000_000
"""A stage that said nothing new for so long makes no progress; on a busy machine one may be late by a second."""
GIVEN_NS = 15_000_000_000
"""A stage whose process was (re)started within this may still be silent: importing takes seconds on a slow host."""
BYSTANDERS = frozenset({"telemetry"})
"""Watched for silence, yet no stage of the motion."""
ON_ITS_FEET_ALONE = frozenset({"source", "standby"})
"""Stages a robot that balances can do without: their loss must not make anyone end the service under it."""


class Notifier:
    """The service manager's socket, where there is one (NOTIFY_SOCKET); else nobody is told anything."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        address = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        self._address = "\0" + address[1:] if address.startswith("@") else address
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)  # a manager that does not listen stalls nobody

    def tell(self, *words: str) -> None:
        """Send 'READY=1', 'STATUS=...' and the like; a manager that is gone is no reason to fail."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(words).encode(), self._address)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Watchdog:
    """READY once every stage has spoken; WATCHDOG only while every stage goes on speaking. Owned by the parent."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._looked_ns = 0
        self._spoke: dict[str, int] = {}
        self._moved_ns: dict[str, int] = {}
        self._ready = self._stopping = False
        self._status = ""

    def look(self, processes: Processes, bus: Bus, mode: Mode | None, now_ns: int) -> None:
        """One look at every stage, at most every `LOOK_NS`."""
        if now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        stages = [name for name in WORDS if name in processes.children and name not in BYSTANDERS]
        for name in stages:
            self._hear(name, bus, now_ns)
        if not self._ready:
            if any(name not in self._moved_ns for name in stages):
                return
            self._ready = True
            self._notifier.tell("READY=1")
        stuck = [name for name in stages if now_ns - self._moved_ns.get(name, 0) > STUCK_NS]
        balancing = mode in BALANCING
        late = [
            name for name in stuck
            if not (balancing and name in ON_ITS_FEET_ALONE)
            and now_ns - processes.children[name].started_ns > GIVEN_NS
        ]  # fmt: skip
        words = [] if late else ["WATCHDOG=1"]
        status = f"STATUS={'' if mode is None else mode.name}" + (f"; no progress of {', '.join(late)}" if late else "")
        if status != self._status:
            self._status = status
            words.append(status)
        if words:
            self._notifier.tell(*words)

    def stopping(self) -> None:
        """Tell, once, that the service is on its way down."""
        if not self._stopping:
            self._stopping = True
            self._notifier.tell("STOPPING=1")

    def _hear(self, name: str, bus: Bus, now_ns: int) -> None:
        """Note when that stage last said anything new."""
        words = [bus.slot(slot).read() for slot in WORDS[name]]
        spoke_ns = max((word.t_ns for word in words if word is not None), default=0)
        if spoke_ns > self._spoke.get(name, 0):
            self._spoke[name], self._moved_ns[name] = spoke_ns, now_ns
