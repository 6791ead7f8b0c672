"""The upper body lent by the robot's own balance controller: `rt/arm_sdk` and its blend weight.

The robot's controller keeps the legs and blends our commands for the arms into its own by a weight that rides in a
motor slot without a motor: 0 leaves the arms to it, 1 takes them. The weight only ever moves slowly, so that taking
the arms and giving them back is smooth; damping means giving them back.
"""

from __future__ import annotations

import numpy as np

from teleopd.robots.link import LinkUnavailable
from teleopd.robots.links.dds.cdr import LowCmdDecoder, LowCmdEncoder, MotorRows
from teleopd.robots.model import IntArray, JointCommand, RobotModel

ARM_TOPIC = "rt/arm_sdk"
UP_S, DOWN_S = 2.0, 0.8
"""From 0 to 1, within the 3 s ramp to stand; and back, within the second in which a process that ends still damps."""
LONGEST_NS = 10_000_000
"""A longer pause between two commands moves the weight no further than this one, as the gate's rate."""


def arm_joints(model: RobotModel) -> IntArray:
    """Motor indices of the joints that are lent.

    Raises:
        LinkUnavailable: the robot's own controller lends none.
    """
    if model.arms is None:
        raise LinkUnavailable(f"{model.name} has no arms that its own controller lends; mode arms is not for it")
    return model.indices(model.arms.joint_names)


class ArmEncoder:
    """Permitted commands -> bytes for `rt/arm_sdk`: the lent joints, and the weight; every other motor disabled."""

    def __init__(self, model: RobotModel) -> None:
        """
        Raises:
            LinkUnavailable: the robot's own controller lends no arms.
        """
        self._taken = arm_joints(model)
        assert model.arms is not None
        self._encoder = LowCmdEncoder(model, tuple(self._taken.tolist()))
        self._slot = model.arms.weight_slot
        self.weight = 0.0
        """Share of our commands sent last."""
        self._last_ns = 0

    def encode(self, mode_machine: int, command: JointCommand, now_ns: int) -> bytes:
        """The message. A command without any position gain is damping: the weight falls; else it rises."""
        elapsed_ns = min(max(now_ns - self._last_ns, 0), LONGEST_NS) if self._last_ns else 0
        self._last_ns = now_ns
        wants = bool(command.kp[self._taken].any())
        step = elapsed_ns * 1e-9 / (UP_S if wants else -DOWN_S)
        self.weight = min(1.0, max(0.0, self.weight + step))
        rows = (row[self._taken] for row in (command.q, command.dq, command.tau, command.kp, command.kd))
        self._encoder.set_position(self._slot, self.weight)
        return self._encoder.encode(mode_machine, *rows)


class ArmDecoder:
    """`rt/arm_sdk` bytes -> rows of all joints and the weight: what the virtual robot hears."""

    def __init__(self, model: RobotModel) -> None:
        """
        Raises:
            LinkUnavailable: the robot lends no arms.
        """
        self.taken = arm_joints(model)
        assert model.arms is not None
        self._rows = LowCmdDecoder(model)
        self.layout = layout = self._rows.layout
        self._at = 4 + layout.q + model.arms.weight_slot * layout.stride

    def decode(self, data: bytes) -> tuple[MotorRows, float]:
        """Rows in motor order, of which those of `taken` count, and the weight, within 0 to 1; NaN counts as 0."""
        weight = float(np.frombuffer(data, "<f4", 1, self._at)[0])
        return self._rows.decode(data), min(1.0, weight) if weight > 0.0 else 0.0
