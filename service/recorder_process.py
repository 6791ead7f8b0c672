"""The recorder process: drains the rings of a recording into episodes. It may die or hang; nothing waits for it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teleopd.robots.ipc.session import Session
from teleopd.robots.rates import Rate, freeze_collector
from teleopd.safety.words import OPERATOR_WRITERS, Act, OperatorCommand, SafetyStatus
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.recorder import Recorder
from teleopd.service.capture.recording import Inputs
from teleopd.service.capture.records import WISH_WRITERS
from teleopd.service.capture.verdict import VerdictMeter
from teleopd.service.capture.video import CAMERA
from teleopd.service.capture.wishes import EpisodeWishes, RemoteKeys
from teleopd.service.capture.writer import EpisodeHeader
from teleopd.service.child import CpuMeter, Ending, loop_status
from teleopd.service.streams import Bus

RATE_HZ = 50.0
NICE = 5
"""On a busy machine the recorder waits for those that move the robot; the rings hold four seconds."""
SYNC_S = 1.0
"""What a power cut may cost."""
STREAMS = ("state", "command", "target", "shaped_reference", "reference", "human", "observation", "event")
ORPHAN_SILENT_NS = 1_000_000_000
ORPHAN_MOST_NS = 20_000_000_000
"""Without its parent the recorder goes on until robot-io is silent, at most so long."""
DISK_ERRORS = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENODEV, errno.ENXIO})


def main(session: Session, robot: str, folder: str, header: EpisodeHeader, balances: bool = True) -> None:
    """Entry of the process. `folder` exists; `balances`: a policy and a robot run."""
    from teleopd.robots.catalog import load_robot

    if multiprocessing.parent_process() is not None:
        os.nice(NICE)
    model = load_robot(robot)
    ending, bus = Ending(), Bus(session, model.n)
    status = bus.slot("recorder_status")
    recorder = Recorder(Path(folder), header, model, session.token, balances=balances, before=status.read())
    VerdictMeter(model)  # compiles the robot's model before an episode waits for it
    watch = Watch(bus, header.cameras)
    remote = RemoteKeys(EpisodeWishes(bus.slot("episode_remote"), session.token))
    syncer = Syncer()
    rate, cpu, loop = Rate(RATE_HZ), CpuMeter(), bus.slot("loop_recorder")
    orphan_ns = 0
    freeze_collector()
    try:
        while not (ending.asked or recorder.ended):
            rate.wait()
            now_ns = time.monotonic_ns()
            if ending.orphaned:
                orphan_ns = orphan_ns or now_ns
                if watch.silent(now_ns) or now_ns - orphan_ns > ORPHAN_MOST_NS:
                    break
            error = syncer.error()
            if error is not None:
                recorder.disk_failed(error)
            given = watch.look(now_ns)
            remote.step(given.rows["state"]["remote"], given.rows["state"]["t_ns"], recorder.status(now_ns))
            status.write(recorder.step(given))
            syncer.watch(recorder.file)
            if rate.ticks % 10 == 0:
                loop.write(loop_status(rate, cpu))
        if not recorder.ended:
            why = "the service was killed" if ending.orphaned else "the run ended"
            status.write(recorder.end(watch.look(time.monotonic_ns()), why))
    finally:
        syncer.stop()


class Watch:
    """Reads everything the recorder needs from the bus."""

    def __init__(self, bus: Bus, cameras: Sequence[str] = ()) -> None:
        """`cameras`: their names, in the order of their rings."""
        self._rings = {name: bus.ring(f"record_{name}") for name in STREAMS}
        self._cameras = {f"{CAMERA}{name}": bus.ring(f"record_camera_{i}") for i, name in enumerate(cameras)}
        self._safety = bus.slot("safety_status")
        self._wishes = [bus.slot(f"episode_{writer}") for writer in WISH_WRITERS]
        self._operators = {writer: bus.slot(f"operator_{writer}") for writer in OPERATOR_WRITERS}
        self._acts = {writer: _seq(slot.read()) for writer, slot in self._operators.items()}

    def look(self, now_ns: int) -> Inputs:
        """Drain the rings and read the slots."""
        safety: SafetyStatus | None = self._safety.read()
        rows: dict[str, Any] = {name: ring.drain() for name, ring in self._rings.items()}
        lost = {name: ring.dropped for name, ring in self._rings.items()}
        rows |= {name: ring.drain() for name, ring in self._cameras.items()}
        return Inputs(
            now_ns, time.time_ns(), -1 if safety is None else safety.mode, rows, lost,
            [slot.read() for slot in self._wishes], self._new_acts(),
        )  # fmt: skip

    def silent(self, now_ns: int) -> bool:
        """Robot-io has said nothing for a while."""
        safety: SafetyStatus | None = self._safety.read()
        return safety is None or now_ns - safety.t_ns > ORPHAN_SILENT_NS

    def _new_acts(self) -> list[tuple[str, str]]:
        found = []
        for writer, slot in self._operators.items():
            command: OperatorCommand | None = slot.read()
            if command is not None and command.seq != self._acts[writer]:
                self._acts[writer] = command.seq
                if command.act in Act._value2member_map_ and command.act != Act.NONE:
                    found.append((writer, Act(command.act).name))
        return found


def _seq(command: OperatorCommand | None) -> int:
    return 0 if command is None else command.seq


class Syncer:
    """Brings the file to the disk once a second from a thread of its own: a disk that is slow holds up nobody."""

    def __init__(self, period_s: float = SYNC_S) -> None:
        self._period_s = period_s
        self._file: PartFile | None = None
        self._error: OSError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="sync")
        self._thread.start()

    def watch(self, file: PartFile | None) -> None:
        """From now on this file, or none."""
        self._file = file

    def error(self) -> OSError | None:
        """What the disk said, once."""
        error, self._error = self._error, None
        return error

    def stop(self) -> None:
        """No more syncs."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            file = self._file
            if file is None:
                continue
            try:
                file.sync()
            except OSError as error:
                if error.errno in DISK_ERRORS:  # else it was closed meanwhile
                    self._error = error
