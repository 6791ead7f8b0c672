"""The words every part of the service speaks: what a robot is, what it is told, what it reports.

All arrays are float64 in motor order of the `RobotModel`. Quaternions are wxyz. Suffix `_w` means world frame
(right-handed, Z up, X forward), `_b` the robot's base (pelvis) frame. Times are `time.monotonic_ns()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Field = tuple[str, str] | tuple[str, str, tuple[int, ...]]
"""One field of a shared-memory record: name, numpy scalar type, shape."""


class UnknownJoint(KeyError):
    """A joint name the robot does not have."""

    def __init__(self, name: str, robot: str, available: Sequence[str]) -> None:
        super().__init__(name)
        self.name, self.robot, self.available = name, robot, tuple(available)

    def __str__(self) -> str:
        return f"{self.robot} has no joint '{self.name}'; its joints are: {', '.join(self.available)}"


class WrongHardware(ValueError):
    """The robot reports a hardware variant for which there is no limit table."""

    def __init__(self, robot: str, mode_machine: int, known: Sequence[int]) -> None:
        super().__init__(
            f"{robot} reports mode_machine {mode_machine}, for which there are no limits; known: {sorted(known)}"
        )


@dataclass(frozen=True, slots=True)
class JointLimits:
    """What the joints of one hardware variant may do; each array of shape (n,)."""

    q_lower: Array
    """Lowest joint position [rad]."""
    q_upper: Array
    """Highest joint position [rad]."""
    dq_max: Array
    """Largest joint speed [rad/s]."""
    tau_max: Array
    """Largest joint torque [N m]: the smallest figure the vendor publishes."""


@dataclass(frozen=True, slots=True)
class ArmControl:
    """How a robot's own balance controller is lent its upper body (`rt/arm_sdk`)."""

    joint_names: tuple[str, ...]
    """Joints that are taken from it; the others stay its own."""
    weight_slot: int
    """Motor slot whose q is the share of our commands, 0 to 1."""


@dataclass(frozen=True, slots=True)
class RobotModel:
    """Immutable facts of one robot. Every number's origin is in `provenance`."""

    name: str
    title: str
    joint_names: tuple[str, ...]
    """In motor order, which is the order of every (n,) array in the project."""
    limits_by_mode_machine: Mapping[int, JointLimits]
    """Limits keyed by the hardware variant the robot reports in LowState."""
    default_mode_machine: int
    """The variant the MJCF describes and the virtual robot reports."""
    kp_ready: Array
    """Position gains for the ramp to the stand pose [N m/rad]."""
    kd_ready: Array
    """Damping gains for the ramp to the stand pose [N m s/rad]."""
    kd_damp: Array
    """Damping gains of the damping command [N m s/rad]; its kp is zero."""
    q_stand: Array
    """Joint positions of the stand pose [rad]."""
    stand_height_m: float
    """Height of the pelvis frame above the floor in the stand pose [m]."""
    mjcf: Path
    root_body: str
    imu_sites: Mapping[str, str]
    """'pelvis' and, where the robot has one, 'torso' -> MJCF site."""
    key_sites: tuple[str, ...]
    """The nine sites of the key-body error: head, wrists, elbows, knees, ankles."""
    sole_sites: tuple[str, ...]
    """Contact points under the feet, four a foot, left foot first."""
    wire: Literal["hg", "go"]
    """Unitree message family of LowCmd and LowState."""
    wire_slot: tuple[int, ...]
    """Slot of each joint in the motor arrays of the wire messages."""
    provenance: Mapping[str, str]
    """Field -> where its numbers come from."""
    arms: ArmControl | None = None
    """None: the robot's own controller cannot be lent its arms."""

    @property
    def n(self) -> int:
        """Number of joints."""
        return len(self.joint_names)

    @property
    def limits(self) -> JointLimits:
        """Limits of the default hardware variant."""
        return self.limits_by_mode_machine[self.default_mode_machine]

    def limits_for(self, mode_machine: int) -> JointLimits:
        """Limits of the variant the robot reports.

        Raises:
            WrongHardware: there is no table for that variant.
        """
        try:
            return self.limits_by_mode_machine[mode_machine]
        except KeyError:
            raise WrongHardware(self.name, mode_machine, list(self.limits_by_mode_machine)) from None

    def indices(self, names: Sequence[str]) -> IntArray:
        """Motor indices of `names`, in the order given, shape (len(names),).

        Raises:
            UnknownJoint: a name is not one of this robot's.
            ValueError: a name occurs twice.
        """
        position = {name: i for i, name in enumerate(self.joint_names)}
        for name in names:
            if name not in position:
                raise UnknownJoint(name, self.name, self.joint_names)
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            raise ValueError(f"joint named twice: {', '.join(twice)}")
        return np.array([position[name] for name in names], dtype=np.intp)


class LowState(NamedTuple):
    """What the robot measures."""

    t_ns: int
    """Monotonic time of receipt."""
    tick: int
    """The robot's own millisecond counter."""
    mode_machine: int
    q: Array
    """Joint positions [rad], (n,)."""
    dq: Array
    """Joint velocities [rad/s], (n,)."""
    tau: Array
    """Estimated joint torques [N m], (n,)."""
    quat_w: Array
    """Pelvis orientation in the world, wxyz, (4,)."""
    gyro_b: Array
    """Angular velocity of the pelvis in its own frame [rad/s], (3,)."""
    accel_b: Array
    """Specific force at the pelvis IMU in its own frame [m/s^2], (3,)."""
    temperature_c: Array
    """Hottest reading of each motor [deg C], (n,)."""
    motor_fault: npt.NDArray[np.uint32]
    """Fault bits of each motor, (n,); 0 is healthy."""
    remote: npt.NDArray[np.uint8]
    """Raw bytes of the vendor's remote control, (40,); all zero when there is none."""
    has_odometry: bool
    """Whether the next two fields are measured (the virtual robot on request; mocap of the robot)."""
    root_pos_w: Array
    """Pelvis position [m], (3,); zero without odometry."""
    root_lin_vel_w: Array
    """Pelvis velocity [m/s], (3,); zero without odometry."""


def low_state_fields(n: int) -> list[Field]:
    """Shared-memory layout of a `LowState` of n joints."""
    return [
        ("t_ns", "<i8"), ("tick", "<u4"), ("mode_machine", "<i4"),
        ("q", "<f8", (n,)), ("dq", "<f8", (n,)), ("tau", "<f8", (n,)),
        ("quat_w", "<f8", (4,)), ("gyro_b", "<f8", (3,)), ("accel_b", "<f8", (3,)),
        ("temperature_c", "<f8", (n,)), ("motor_fault", "<u4", (n,)), ("remote", "<u1", (40,)),
        ("has_odometry", "?"), ("root_pos_w", "<f8", (3,)), ("root_lin_vel_w", "<f8", (3,)),
    ]  # fmt: skip


class Reference(NamedTuple):
    """What the policy tracks, and what safety needs to judge it without knowing any driver."""

    seq: int
    """Counts references of this source, from 1."""
    source_id: int
    """Which start of which source it came from; changes when the source restarts."""
    t_ns: int
    """Monotonic receipt time of the newest frame in it."""
    t_content_ns: int
    """Receipt time of the last frame whose content differed from the one before (frozen streams age here)."""
    t_published_ns: int
    """When the source process published it."""
    valid: bool
    """False when the frame checks refused the newest frame and this repeats the last good one."""
    deadman: bool
    """The operator holds the source's own deadman (PICO grip ...); False where the source has none."""
    resets: int
    """How often the motion restarted (re-acquisition, origin jump, new recording); a change asks for a blend."""
    nominal_hz: float
    """Frame rate the source declares or shows [Hz]."""
    root_pos_w: Array
    """(3,) [m]"""
    root_quat_w: Array
    """(4,) wxyz"""
    root_lin_vel_w: Array
    """(3,) [m/s]"""
    root_ang_vel_w: Array
    """(3,) [rad/s]"""
    q: Array
    """(n,) [rad]"""
    dq: Array
    """(n,) [rad/s]"""


def reference_fields(n: int) -> list[Field]:
    """Shared-memory layout of a `Reference` of n joints."""
    return [
        ("seq", "<i8"), ("source_id", "<i8"), ("t_ns", "<i8"), ("t_content_ns", "<i8"),
        ("t_published_ns", "<i8"), ("valid", "?"), ("deadman", "?"), ("resets", "<i8"), ("nominal_hz", "<f8"),
        ("root_pos_w", "<f8", (3,)), ("root_quat_w", "<f8", (4,)),
        ("root_lin_vel_w", "<f8", (3,)), ("root_ang_vel_w", "<f8", (3,)),
        ("q", "<f8", (n,)), ("dq", "<f8", (n,)),
    ]  # fmt: skip


class JointTargets(NamedTuple):
    """Wanted by the policy; not yet permitted. Carries what the supervisor judges about the reference."""

    seq: int
    """Counts policy ticks, from 1."""
    t_ns: int
    """Monotonic time the policy finished."""
    q: Array
    """Wanted joint positions [rad], (n,); may lie outside the joint range (policies use them as torque proxies)."""
    kp: Array
    """(n,) [N m/rad]"""
    kd: Array
    """(n,) [N m s/rad]"""
    healthy: bool
    """The policy's output was finite and of the right shape."""
    ready: bool
    """The policy is warmed up and running on live robot state."""
    reference_seq: int
    """Reference consumed this tick; 0 when there is none yet."""
    reference_source_id: int
    t_reference_ns: int
    """Receipt time of the newest good frame of the source; 0 when there is none yet."""
    t_content_ns: int
    reference_valid: bool
    reference_hz: float
    deadman: bool
    """The source's own deadman."""
    pose_error_rad: float
    """Largest joint difference between the operator's reference and the pose held now [rad]; inf without one."""
    tilt_rp: Array
    """Roll and pitch of the reference the policy tracks [rad], (2,)."""
    limb_held: bool = False
    """The reference would have driven one part of the robot into another; the limb was held back."""


def joint_targets_fields(n: int) -> list[Field]:
    """Shared-memory layout of `JointTargets` of n joints."""
    return [
        ("seq", "<i8"), ("t_ns", "<i8"), ("q", "<f8", (n,)), ("kp", "<f8", (n,)), ("kd", "<f8", (n,)),
        ("healthy", "?"), ("ready", "?"), ("reference_seq", "<i8"), ("reference_source_id", "<i8"),
        ("t_reference_ns", "<i8"), ("t_content_ns", "<i8"), ("reference_valid", "?"), ("reference_hz", "<f8"),
        ("deadman", "?"), ("pose_error_rad", "<f8"), ("tilt_rp", "<f8", (2,)), ("limb_held", "?"),
    ]  # fmt: skip


class _Seal:
    __slots__ = ()


_seal: _Seal | None = _Seal()


def claim_seal() -> object:
    """Hand out the one seal with which `JointCommand` can be made. `safety/gate.py` claims it at import.

    Raises:
        RuntimeError: it was claimed before in this process.
    """
    global _seal
    if _seal is None:
        raise RuntimeError("the seal of JointCommand is held by teleopd.safety.gate; only the gate builds commands")
    seal, _seal = _seal, None
    return seal


class JointCommand:
    """Permitted: what may be written to the motors, in motor order. Only `safety/gate.py` can build one."""

    __slots__ = ("dq", "kd", "kp", "q", "tau")

    def __init__(self, seal: object, q: Array, dq: Array, tau: Array, kp: Array, kd: Array) -> None:
        """Arrays of shape (n,): [rad], [rad/s], [N m], [N m/rad], [N m s/rad].

        Raises:
            PermissionError: `seal` is not the gate's.
        """
        if not isinstance(seal, _Seal):
            raise PermissionError("only teleopd.safety.gate may build a JointCommand")
        self.q, self.dq, self.tau, self.kp, self.kd = q, dq, tau, kp, kd
