"""Network output -> joint targets: clip, moving average, scale and offset, and the joints the network leaves alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, Reference, RobotModel
from teleopd.service.policy.card import Card
from teleopd.service.policy.terms import motor_indices

Float32 = npt.NDArray[np.float32]


class ActionMap:
    """Turns outputs into targets in motor order. Owns its buffers and the moving average."""

    def __init__(self, card: Card, model: RobotModel) -> None:
        """Raises:
        WrongJoints: the robot has not the card's joints.
        """
        action = card.action
        self._motor = motor_indices(card, card.action_joints, model)
        self._scale = card.per_joint(action.scale, card.action_joints)
        self._offset = np.zeros(len(self._motor))
        if action.offset == "default_pose":
            self._offset = card.default_of(card.action_joints)
        self._clip = np.float32(np.inf if action.clip is None else action.clip)
        self._feedback = action.feedback
        self._alpha = None if action.smoothing is None else np.float32(action.smoothing.alpha)
        self._smooths_first = action.smoothing is not None and action.smoothing.stage == "before_clip"
        rest = card.joints.rest
        self._rest = motor_indices(card, () if rest is None else rest.joints, model)
        self._rest_follows = rest is not None and rest.follow == "reference"
        self._rest_default = card.default_of(() if rest is None else rest.joints)
        self._n = model.n
        self.reset()

    def reset(self) -> None:
        """Forget the moving average and the last targets."""
        outputs = len(self._motor)
        self.raw: Float32 = np.zeros(outputs, dtype=np.float32)
        """The last good network output."""
        self._clipped: Float32 = np.zeros(outputs, dtype=np.float32)
        self._filtered: Float32 = np.zeros(outputs, dtype=np.float32)
        self.q: Array = np.zeros(self._n)
        """The last good targets in motor order [rad]."""
        self.q[self._motor] = self._offset
        self.q[self._rest] = self._rest_default

    def apply(self, output: Float32, reference: Reference) -> None:
        """Take a finite output."""
        rest = reference.q[self._rest] if self._rest_follows else None
        self.raw[:] = output
        if self._alpha is None:
            np.minimum(np.maximum(output, -self._clip, out=self._clipped), self._clip, out=self._clipped)
            self._filtered[:] = self._clipped
        elif self._smooths_first:
            self._smooth(output)
            np.minimum(np.maximum(self._filtered, -self._clip, out=self._clipped), self._clip, out=self._clipped)
            self._filtered[:] = self._clipped
        else:
            np.minimum(np.maximum(output, -self._clip, out=self._clipped), self._clip, out=self._clipped)
            self._smooth(self._clipped)
        self.q[self._motor] = self._filtered * self._scale + self._offset
        if rest is not None:
            self.q[self._rest] = rest

    def _smooth(self, new: Float32) -> None:
        """Last filtered value -> alpha * new + (1 - alpha) * last."""
        assert self._alpha is not None
        self._filtered *= np.float32(1.0) - self._alpha
        self._filtered += self._alpha * new

    @property
    def fed_back(self) -> Float32:
        """What the policy is shown of its last action."""
        return {"raw": self.raw, "clipped": self._clipped, "filtered": self._filtered}[self._feedback]
