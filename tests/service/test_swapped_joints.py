"""Two motors whose cables were exchanged, in lock step: what nobody can see in the values, its consequences show."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.robots.model import LowState
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Cause, Mode
from teleopd.service.lockstep import Lockstep
from teleopd.service.policy.library import ResolvedPolicy

pytestmark = pytest.mark.long

SWAPS = (
    ("left_knee_joint", "left_elbow_joint"), ("left_knee_joint", "left_hip_pitch_joint"),
    ("left_hip_roll_joint", "left_hip_pitch_joint"), ("left_ankle_pitch_joint", "left_ankle_roll_joint"),
    ("left_hip_pitch_joint", "right_hip_pitch_joint"), ("left_shoulder_roll_joint", "left_elbow_joint"),
)  # fmt: skip


def exchange(lock: Lockstep, first: str, second: str) -> None:
    """Each of the two reports as the other and obeys what the other is told."""
    a, b = MODEL.indices([first, second])
    order = np.arange(MODEL.n)
    order[[a, b]] = b, a
    robot = lock.robot
    low_state, command = robot.low_state, robot.command

    def crossed_state(t_ns: int) -> LowState:
        state = low_state(t_ns)
        return state._replace(q=state.q[order], dq=state.dq[order], tau=state.tau[order])

    robot.low_state = crossed_state  # type: ignore[method-assign]
    robot.command = lambda *told: command(*(part[order] for part in told))  # type: ignore[method-assign]


@pytest.mark.parametrize("first, second", SWAPS)
def test_a_swap_within_range_is_refused_or_damped_or_does_no_harm(twist2: ResolvedPolicy, first: str, second: str):
    """The ramp to the stand pose is not honoured, or the robot falls and is damped by it; never a policy that goes on
    with a robot on the floor."""
    lock = Lockstep(MODEL, twist2, physics_hz=500)
    exchange(lock, first, second)
    try:
        lock.arm()
    except RuntimeError:
        io = lock._io
        assert io is not None and lock.mode is Mode.READY and io.status.blocked_by == Cause.CHECK_FAILED
        return
    lock.run(lambda _now: None, 4.0)
    if lock.fell_at_s is None:
        assert lock.mode is Mode.ARMED
        return
    damped = next(change for change in lock.changes if change.mode is Mode.DAMPED)
    assert damped.cause in (Cause.TILT_ERROR, Cause.TILT_ABSOLUTE, Cause.JOINT_SPEED)
    assert damped.t_s <= lock.fell_at_s, "before the ground"
