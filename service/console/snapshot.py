"""One look at every slot: what the status line and the browser panel show. Reading never blocks anyone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from teleopd.drivers.source import SourceState
from teleopd.robots.ipc.segment import SegmentMissing
from teleopd.robots.model import JointTargets, LowState, Reference
from teleopd.safety.words import Cause, Mode, SafetyStatus
from teleopd.service.capture.records import FAILED, NO_PICTURE, RECORDING, CameraStatus, RecorderStatus, as_text
from teleopd.service.link_status import LinkStatus
from teleopd.service.streams import LOOPS, MOST_CAMERAS, Bus, HumanView, LoopStatus, PolicyStatus, SourceStatus
from teleopd.service.telemetry.latency import Summary

STATE_SILENT_NS = 1_000_000_000
"""A robot-io that published nothing for so long is shown as silent."""


class Snapshot(NamedTuple):
    """The newest of everything; None where nothing was published yet."""

    now_ns: int
    source: SourceStatus | None
    reference: Reference | None
    shaped: Reference | None
    human: HumanView | None
    targets: JointTargets | None
    state: LowState | None
    safety: SafetyStatus | None
    loops: Mapping[str, LoopStatus]
    latency: Mapping[str, Summary]
    """Stage -> recent latency [ms]."""
    notes: tuple[str, ...] = ()
    """Sentences of the service's parent: a process restarted, rows were lost."""
    policy: PolicyStatus | None = None
    link: LinkStatus | None = None
    recorder: RecorderStatus | None = None
    """None where nothing is recorded."""
    cameras: tuple[CameraStatus, ...] = ()
    """Of the recording."""

    @property
    def mode(self) -> Mode | None:
        """Mode of the ladder, None before robot-io spoke."""
        return None if self.safety is None else Mode(self.safety.mode)

    @property
    def source_age_s(self) -> float | None:
        """Age of the newest frame [s]; None before the first."""
        newest = max(
            self.source.last_pose_ns if self.source else 0,
            self.reference.t_ns if self.reference else 0,
            self.human.t_ns if self.human else 0,
        )
        return None if newest == 0 else max(0, self.now_ns - newest) / 1e9

    @property
    def source_state(self) -> SourceState:
        """Where the source stands."""
        return SourceState.CONNECTING if self.source is None else SourceState(self.source.state)


NOTHING_YET = Snapshot(0, None, None, None, None, None, None, None, {}, {})
"""Before anything was published."""


def read_snapshot(
    bus: Bus, now_ns: int, latency: Mapping[str, Summary] | None = None, notes: tuple[str, ...] = ()
) -> Snapshot:
    """Read every slot once."""

    def newest(name: str) -> Any:
        try:
            return bus.slot(name).read()
        except SegmentMissing:
            return None

    loops = {name: loop for name in LOOPS if (loop := newest(f"loop_{name}")) is not None}
    return Snapshot(
        now_ns, newest("source_status"), newest("reference"), newest("shaped_reference"), newest("human"),
        newest("targets"), newest("state"), newest("safety_status"), loops, latency or {}, notes,
        newest("policy_status"), newest("link_status"), _live(newest("recorder_status"), now_ns),
        tuple(seen for i in range(MOST_CAMERAS) if (seen := newest(f"camera_status_{i}")) is not None),
    )  # fmt: skip


CAMERA_SILENT_NS = 10_000_000_000
"""A camera whose thread said nothing for so long hangs in its driver; opening one may take half of it."""
RECORDER_SILENT_NS = 5_000_000_000
"""A recorder that said nothing for so long is gone."""


def _live(status: RecorderStatus | None, now_ns: int) -> RecorderStatus | None:
    return status if status is not None and now_ns - status.t_ns < RECORDER_SILENT_NS else None


def recording_words(snapshot: Snapshot) -> str:
    """'REC 12 s walk.mcap', or where the recorder stands; empty where nothing is recorded."""
    status = snapshot.recorder
    if status is None:
        return ""
    if status.state != RECORDING:
        return as_text(status.sentence)
    name, lost = as_text(status.path).rpartition("/")[2], f", {status.lost} samples lost" if status.lost else ""
    return f"REC {(snapshot.now_ns - status.t_begun_ns) / 1e9:.0f} s {name}{lost}"


def next_act(snapshot: Snapshot) -> str:
    """What the operator does next, as one short sentence."""
    safety, mode = snapshot.safety, snapshot.mode
    if safety is None or mode is None:
        return "wait: the robot loop has not started"
    blocked = f"blocked by {cause_words(safety.blocked_by)}" if safety.blocked_by >= 0 else ""
    if mode in (Mode.BOOT, Mode.CHECK):
        return blocked or "wait: the robot is being checked"
    if mode is Mode.READY and not safety.ready_to_arm:
        return blocked or "wait: going to the stand pose"
    sentences = {
        Mode.IDLE: "press ready",
        Mode.READY: "press arm",
        Mode.ARMED: "hold to engage",
        Mode.ACTIVE: "release to stop following",
        Mode.HOLD: "keep holding to resume, release to stand",
        Mode.RETURN: "wait: returning to stand, then engage anew",
        Mode.DAMPED: "press reset once the robot is safe",
        Mode.DRYRUN: "nothing is sent to the robot",
    }
    if mode in (Mode.IDLE, Mode.READY, Mode.ARMED, Mode.DAMPED) and blocked:
        return blocked
    return sentences[mode]


def cause_words(cause: int) -> str:
    """A cause in words: 'source stale'."""
    return Cause(cause).name.lower().replace("_", " ")


def warnings(snapshot: Snapshot) -> list[str]:
    """What the operator should know now, most urgent first."""
    found: list[str] = []
    safety = snapshot.safety
    if safety is not None and snapshot.now_ns - safety.t_ns > STATE_SILENT_NS:
        found.append(f"robot-io is silent for {(snapshot.now_ns - safety.t_ns) / 1e9:.1f} s")
    if safety is not None:
        found += [cause_words(cause) for cause in Cause if safety.causes >> cause & 1]
    if safety is not None and safety.refused_commands:
        found.append(f"{safety.refused_commands} operator commands refused")
    if snapshot.source is not None and snapshot.source.rejected:
        sentence = bytes(snapshot.source.last_rejection).rstrip(b"\0").decode("utf-8", "replace")
        frames = "frame" if snapshot.source.rejected == 1 else "frames"
        found.append(f"{snapshot.source.rejected} {frames} rejected" + (f", last: {sentence}" if sentence else ""))
    if snapshot.recorder is not None and snapshot.recorder.state == FAILED:
        found.append(as_text(snapshot.recorder.sentence))
    found += [as_text(camera.sentence) for camera in snapshot.cameras if camera.state == NO_PICTURE]
    found += [
        f"camera '{as_text(camera.name)}' hangs" for camera in snapshot.cameras
        if snapshot.now_ns - camera.t_ns > CAMERA_SILENT_NS and camera.state != NO_PICTURE
    ]  # fmt: skip
    return found + list(snapshot.notes)
