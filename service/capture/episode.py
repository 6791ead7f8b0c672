"""One recorded demonstration as arrays: what the reader gives and every export starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.service.capture.video import Video


@dataclass(frozen=True, slots=True)
class Stream:
    """One source of data over time."""

    t_ns: npt.NDArray[np.int64]
    """Monotonic time of the recording host [ns], (n,), never decreasing."""
    columns: Mapping[str, Array]
    """Name -> float64 array (n, k); (n, 1) for a scalar. NaN and infinities stand as they were recorded."""

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.t_ns)


@dataclass(frozen=True, slots=True)
class Episode:
    """A whole episode in memory. J joints in motor order of the robot, B bodies of the operator.

    Streams and their columns (absent when nothing was recorded in them):

    `state`, 500 Hz, `t_ns` the receipt of the robot's report, each report once (`LowState`):
        joint_pos (n, J) [rad], joint_vel (n, J) [rad/s], joint_torque (n, J) [N m] as the robot estimates it,
        imu_quat_w (n, 4) wxyz of the pelvis, imu_gyro_b (n, 3) [rad/s], imu_acc_b (n, 3) specific force [m/s^2],
        temperature_c (n, J) [deg C], motor_fault (n, J) fault bits as a number,
        has_odometry (n, 1) 0 or 1, root_pos_w (n, 3) [m] and root_lin_vel_w (n, 3) [m/s], zero without odometry.
    `command`, 500 Hz, `t_ns` the tick of robot-io (`JointCommand`, what the safety gate built):
        joint_pos (n, J) [rad], joint_vel (n, J) [rad/s], joint_torque_ff (n, J) [N m], kp (n, J) [N m/rad],
        kd (n, J) [N m s/rad], mode (n, 1) number of `safety.words.Mode`, sent (n, 1) 0 or 1: it was written to the
        motors, targets_seq (n, 1) the policy tick used last, causes (n, 1) bit set of active `safety.words.Cause`s,
        gate_counts (n, 8) ticks so far with an intervention of each step in `safety.gate.GATE_STEPS`.
    `target`, 50 Hz, `t_ns` the end of the policy tick (`JointTargets`, wanted by the policy):
        joint_pos (n, J) [rad], kp (n, J) [N m/rad], kd (n, J) [N m s/rad], targets_seq (n, 1) counts policy ticks,
        reference_seq (n, 1) the reference consumed, healthy (n, 1) 0 or 1.
    `observation`, 50 Hz, `t_ns` the end of the policy tick (what the network was shown):
        values (n, k) float32 in the order of the policy's card, targets_seq (n, 1).
    `reference`, source rate, `t_ns` the receipt of the frame in it (`Reference`, the retargeted operator):
        root_pos_w (n, 3) [m], root_quat_w (n, 4) wxyz, root_lin_vel_w (n, 3) [m/s], root_ang_vel_w (n, 3) [rad/s],
        joint_pos (n, J) [rad], joint_vel (n, J) [rad/s], reference_seq (n, 1), valid (n, 1) 0 where a refused frame
        repeats the last good one, deadman (n, 1), resets (n, 1), published_after_s (n, 1) [s] since the receipt.
    `shaped_reference`, 50 Hz, `t_ns` the policy tick (what the policy tracked, behind the reference guard):
        root_pos_w, root_quat_w, root_lin_vel_w, root_ang_vel_w, joint_pos, joint_vel as above.
    `human`, source rate, `t_ns` the receipt of the frame (the operator's own pose):
        pos_w (n, 3B) [m] and quat_w (n, 4B) wxyz body by body, valid (n, B) 0 or 1. The B names are the JSON list in
        `metadata["human_bodies"]`.
    """

    path: Path
    robot: str
    """Registered robot name, such as 'unitree_g1'."""
    joint_names: tuple[str, ...]
    """(J,) in motor order."""
    streams: Mapping[str, Stream]
    metadata: Mapping[str, str]
    """As recorded, and as the folder's manifest says anew: operator, task, notes, success ('', 'true', 'false'),
    verdict ('keep', 'maybe', 'drop') and verdict_reasons (JSON list), ended (why), duration_s, t0_mono_ns and
    t0_wall_ns (one instant on both clocks), human_bodies (JSON list), source, link, policy, policy_sha256,
    robot_sha256, config_sha256, software_version, complete ('true', or 'false' for a torn or recovered file),
    damaged_chunks (left out), time_back (JSON: stream -> samples that were written after a later one; they are sorted
    here; absent without any). A torn file has no verdict."""
    attachments: Mapping[str, bytes]
    """File name -> content: config.json, robot.xml, policy_card.toml, operator.toml, qualification.json, where there
    are any."""
    dropped: Mapping[str, int]
    """Stream -> samples lost between the service and the file."""
    events: tuple[tuple[int, dict[str, Any]], ...]
    """(t_ns, event) in order; an event has `kind` ('mode', 'cause', 'operator', 'episode', 'drop') and what it says."""

    videos: Mapping[str, Video] = field(default_factory=dict)
    """Camera -> its pictures, as H.264: `cameras.h264.decoded` gives them."""

    @property
    def t_start_ns(self) -> int:
        """First sample of any stream; 0 without one."""
        return min((int(s.t_ns[0]) for s in self.streams.values() if s.n), default=0)

    @property
    def t_end_ns(self) -> int:
        """Last sample of any stream; 0 without one."""
        return max((int(s.t_ns[-1]) for s in self.streams.values() if s.n), default=0)

    @property
    def duration_s(self) -> float:
        """From the first sample to the last [s]."""
        return (self.t_end_ns - self.t_start_ns) / 1e9
