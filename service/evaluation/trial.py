"""One trial: one policy, one clip, one disturbance, one seed, from engaging to the clip's end or the fall.

Frame checks, retargeter, guard, policy, supervisor, gate and virtual robot are the service's own, in lock step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.robots.catalog import load_robot
from teleopd.robots.model import Reference, RobotModel
from teleopd.safety.words import Cause, Mode
from teleopd.service.evaluation import metrics
from teleopd.service.evaluation.clips import clip_name, open_clip
from teleopd.service.evaluation.disturbances import PUSH_S, Disturbance
from teleopd.service.evaluation.robot_motion import MotionStream, RobotMotion
from teleopd.service.frame_checks import FrameChecks
from teleopd.service.lockstep import Lockstep, PoseStream
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.retarget.retargeter import Retargeter
from teleopd.service.source_process import SourceStage
from teleopd.service.telemetry.tracking import KeyBodyError, TrackingMeter

SETTLE_S = 1.2
"""Of the stream before the operator engages."""
KICK_M_S, KICK_S = 0.15, 0.1
"""Every seed but 0 is pushed to this speed, in a direction of its own, when it engages."""
PRESS_EVERY_S = 0.6
"""An operator whose robot went back to standing presses again."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What to run; small enough to send to another process."""

    robot: str
    label: str
    """What tables and JSON call the policy."""
    policy: ResolvedPolicy
    clip: str
    disturbance: Disturbance
    seed: int = 0
    seconds: float | None = None
    """Longest part of the clip that is played."""


class _Recorder:
    """What `metrics.Track` needs, one row a policy tick in ACTIVE."""

    def __init__(self, session: Lockstep) -> None:
        self._session = session
        m = session.robot.mj_model
        self._soles = [m.site(name).id for name in session.model.sole_sites]
        self._rows: list[tuple[Any, ...]] = []
        self._stretch, self._was_active = 0, False

    def step(self, reference: Reference | None) -> None:
        """Advance the session by one tick and remember it."""
        session = self._session
        state, mode = session.state, session.mode
        soles = session.robot.mj_data.site_xpos[self._soles].copy()
        session.step(reference)
        tick = session.last_tick
        active = mode is Mode.ACTIVE and state is not None and tick is not None and tick.targets.reference_seq > 0
        if active and state is not None and tick is not None:
            self._stretch += not self._was_active
            wanted = tick.shaped
            self._rows.append((
                wanted.q, wanted.root_quat_w, wanted.root_lin_vel_w, state.q, state.dq, state.tau, state.quat_w,
                state.root_lin_vel_w, soles, float(self._stretch),
            ))  # fmt: skip
        self._was_active = active

    @property
    def active_s(self) -> float:
        """Time in which the robot followed the clip [s]."""
        return round(len(self._rows) * metrics.DT_S, 2)

    def track(self) -> metrics.Track | None:
        """All ticks in ACTIVE; None when there was none."""
        return metrics.Track(*(np.array(column) for column in zip(*self._rows, strict=True))) if self._rows else None


def run_trial(
    trial: Trial, *, with_standby: bool = False, watch: Callable[[Lockstep], None] = lambda _session: None
) -> dict[str, Any]:
    """The trial as one row of plain values; deterministic but for `real_time_factor`.

    `watch` gets the session before it begins, and may hear its ticks. `with_standby`: the warm twin runs too.

    Keys are those of the run report where they mean the same. Times count from engaging (without that, from the
    clip's beginning); `fell_at_s` is None while upright; figures are None where nothing could be judged.

    Raises:
        NotAMotion, MotionFileError: the clip cannot be played.
        PolicyError: the policy does not run on that robot.
        RuntimeError: the robot did not get up to ARMED.
    """
    model = load_robot(trial.robot)
    clip = open_clip(trial.clip, model, trial.seconds)
    started = time.perf_counter()
    session = Lockstep(
        model, trial.policy, perturbation=trial.disturbance.on(model), seed=trial.seed, with_standby=with_standby
    )
    watch(session)
    session.arm()
    stream, refused = _stream(model, clip, session.now_ns)
    references = _noisy(stream, trial)
    session.run(references, SETTLE_S)
    begun_s = session.time_s
    engaged = session.engage(references)
    begun_s = session.time_s if engaged else begun_s
    recorder = _Recorder(session)
    if engaged:
        _play(session, stream, references, recorder, trial)
    return {
        "policy": trial.label, "clip": clip_name(trial.clip), "perturbation": trial.disturbance.name,
        "seed": trial.seed, "engaged": engaged, "upright": session.fell_at_s is None,
        "fell_at_s": None if session.fell_at_s is None else round(max(session.fell_at_s - begun_s, 0.0), 2),
        "duration_s": round(session.time_s - begun_s, 2), "active_s": recorder.active_s,
        "modes": [
            [round(max(c.t_s - begun_s, 0.0), 2), c.mode.name, Cause(c.cause).name if c.cause >= 0 else ""]
            for c in session.changes if c.t_s >= begun_s - 0.05
        ],
        "frames": {"rejected": refused(), "left_out": getattr(clip, "left_out", 0)},
        **_figures(model, session, recorder),
        "real_time_factor": round(session.time_s / (time.perf_counter() - started), 2),
    }  # fmt: skip


def _play(
    session: Lockstep, stream: PoseStream | MotionStream, references: Callable[[int], Reference | None],
    recorder: _Recorder, trial: Trial,
) -> None:  # fmt: skip
    """From engaging to the end of the clip or the fall."""
    begun_ns, what = session.now_ns, trial.disturbance
    _drop(stream, what, session)
    if trial.seed:
        angle = np.random.default_rng((trial.seed, 1)).uniform(0.0, 2.0 * np.pi)
        _push(session, session.robot.mass_kg * KICK_M_S / KICK_S, angle, KICK_S)
    pushed, pressed_s = what.push_n == 0.0, 0.0
    while not stream.ended and session.fell_at_s is None:
        elapsed_s = (session.now_ns - begun_ns) / 1e9
        if not pushed and elapsed_s >= what.push_at_s:
            pushed = True
            _push(session, what.push_n, float(np.deg2rad(what.push_deg)), PUSH_S)
        if session.mode is Mode.ARMED:  # it went back to standing: let go, press again
            again = elapsed_s - pressed_s >= PRESS_EVERY_S
            session.engage_held = not again
            pressed_s = elapsed_s if again else pressed_s
        recorder.step(references(session.now_ns))


def _push(session: Lockstep, newton: float, angle: float, seconds: float) -> None:
    """Push the pelvis; `angle` against the robot's heading [rad]."""
    w, x, y, z = session.robot.mj_data.qpos[3:7]
    angle += float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
    session.robot.push((newton * float(np.cos(angle)), newton * float(np.sin(angle)), 0.0), seconds)


def _stream(
    model: RobotModel, clip: MotionClip | RobotMotion, start_ns: int
) -> tuple[PoseStream | MotionStream, Callable[[], int]]:
    """References of the clip, and how many of its frames were refused so far."""
    if isinstance(clip, RobotMotion):
        return MotionStream(model, clip, start_ns), lambda: 0
    person = clip
    stage = SourceStage(FrameChecks(person.skeleton), Retargeter(model, person.skeleton, solver="auto"), source_id=1)
    stream = PoseStream(stage, lambda i: person.pose(i, seq=i, t_ns=0), person.fps, person.frames, start_ns)
    return stream, lambda: stage.rejected


def _drop(stream: PoseStream | MotionStream, what: Disturbance, session: Lockstep) -> None:
    """From now on the source loses frames as the disturbance says."""
    if what.dropouts is None:
        return
    received, lost = what.dropouts
    begun_ns = session.now_ns

    def is_lost(_frame: int) -> bool:
        return (session.now_ns - begun_ns) // 20_000_000 % (received + lost) >= received

    stream.lost = is_lost


def _noisy(stream: PoseStream | MotionStream, trial: Trial) -> Callable[[int], Reference | None]:
    """The stream's references with white noise on the joints, the same for equal seeds."""
    sigma = trial.disturbance.reference_noise_rad
    if sigma == 0.0:
        return stream
    rng = np.random.default_rng((trial.seed, 2))

    def reference(now_ns: int) -> Reference | None:
        found = stream(now_ns)
        return None if found is None else found._replace(q=found.q + rng.normal(0.0, sigma, len(found.q)))

    return reference


def _figures(model: RobotModel, session: Lockstep, recorder: _Recorder) -> dict[str, Any]:
    meter = TrackingMeter(model)
    meter.add_ticks(session.ticks)
    told, track = meter.result(), recorder.track()
    if track is None:
        return {"tracking": None, "foot_slip_m_s": None, "torque_share": None, "energy_j": None}
    errors = KeyBodyError(model).errors(track.q_reference, track.quat_reference_w, track.q, track.quat_w)
    rms, largest = metrics.torque_shares(track, model.limits.tau_max)
    return {
        "tracking": {
            "e_vel_m_s": metrics.e_vel(track), "e_mpkpe_mm": metrics.e_mpkpe(errors),
            "e_mpjpe_rad": metrics.e_mpjpe(track), "joint_rmse_rad": told.joint_rmse_rad,
            "key_body_error_mm": {"median": told.key_body_median_mm, "p95": told.key_body_p95_mm},
            "wrist_error_mm": metrics.wrist_error(errors, model.key_sites),
            "root_drift_m": told.root_drift_m, "yaw_drift_deg": told.yaw_drift_deg, "lag_ms": metrics.lag_ms(track),
        },
        "foot_slip_m_s": metrics.foot_slip_m_s(track), "torque_share": {"rms": rms, "max": largest},
        "energy_j": metrics.energy_j(track),
    }  # fmt: skip
