"""What the bridge beside a robot does with joint targets that arrive over a network: pure, so that tests need none.

A stream of targets is to the ladder what a capture device is: while the robot is ACTIVE and the stream is fresh its
targets are followed; in every other mode, and from the moment the stream is stale, the policy that runs here balances
the robot on the stand reference. So a lost network is HOLD, then RETURN, and never a frozen target.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from teleopd.robots.model import Array, JointTargets, LowState, RobotModel
from teleopd.safety.conditions import STRAIGHTEN_NS
from teleopd.safety.failsafe import FOLLOWING_MODES, POLICY_MODES
from teleopd.safety.gate import BLEND_S
from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import Mode

NOMINAL_HZ = 50.0
"""Rate of the policies that send targets; a faster stream is judged as this one."""
SENDER_GONE_NS = 1_000_000_000
"""Another sender is taken in its place after this silence; until then its targets are counted, not used."""
PUBLIC = 0
"""Sender of what came on the public channel, which names none."""


class RemoteTargets(NamedTuple):
    """One message of a policy elsewhere."""

    sender: int
    """Number of the program that sent it; `PUBLIC` where it has none."""
    t_ns: int
    """Receipt."""
    q: Array
    """(n,) [rad]"""
    kp: Array
    """(n,) [N m/rad]"""
    kd: Array
    """(n,) [N m s/rad]"""
    mode: Mode | None = None
    """Of the sender's own ladder; None where it has none: then every target is meant."""
    damped_by_operator: bool = False
    tilt_rp: tuple[float, float] = (0.0, 0.0)
    """Roll and pitch of what its policy tracks [rad]."""

    @property
    def meant(self) -> bool:
        """A policy stands behind it, rather than damping (no position gain at all, whatever the mode) or the ramp to
        stand of a sender that is not yet balancing."""
        return (self.mode is None or self.mode in POLICY_MODES) and bool(self.kp.any())


class BridgeStage:
    """Chooses between the stream and the local policy; blends wherever it changes."""

    def __init__(self, model: RobotModel, thresholds: Thresholds | None = None) -> None:
        t = thresholds or Thresholds()
        self._n = model.n
        self._stale_ns = t.stale_after_ns(NOMINAL_HZ)
        self._newest: RemoteTargets | None = None
        self._content_ns = 0
        self._seq = self._made = 0
        self._was_damped = False
        self.following = False
        """The stream's targets are used now."""
        self._last: tuple[Array, Array, Array] | None = None
        self._from: tuple[Array, Array, Array] | None = None
        self._tilt: Array = np.zeros(2)
        self._tilt_from = self._tilt
        self._changed_ns = 0
        self.refused = 0
        """Messages that could not be used: not finite, or with a negative gain."""
        self.others = 0
        """Messages of a second sender, while the first one was there."""

    def hear(self, remote: RemoteTargets) -> bool:
        """Take in one message; True when the sender's operator has just asked for damping."""
        last = self._newest
        if last is not None and remote.sender != last.sender and remote.t_ns - last.t_ns < SENDER_GONE_NS:
            self.others += 1
            return False
        if last is None or remote.sender != last.sender:
            self._was_damped = remote.damped_by_operator  # what was asked for before it was heard is no act of now
        damps = remote.damped_by_operator and not self._was_damped
        self._was_damped = remote.damped_by_operator
        rows = (remote.q, remote.kp, remote.kd)
        if not all(row.shape == (self._n,) and np.isfinite(row).all() for row in rows) or (
            min(remote.kp.min(), remote.kd.min()) < 0.0 or not np.isfinite(remote.tilt_rp).all()
        ):
            self.refused += 1
            return damps
        if last is None or remote.sender != last.sender or not np.array_equal(remote.q, last.q):
            self._content_ns = remote.t_ns
        self._newest, self._seq = remote, self._seq + 1
        return damps

    def targets(self, local: JointTargets, state: LowState, mode: Mode, now_ns: int) -> JointTargets:
        """What robot-io shall be given. `local`: newest targets of the policy that runs here."""
        remote = self._newest
        fresh = remote is not None and remote.meant and now_ns - remote.t_ns <= self._stale_ns
        follows = fresh and mode is Mode.ACTIVE
        if follows != self.following:
            self.following, self._from, self._tilt_from, self._changed_ns = follows, self._last, self._tilt, now_ns
        wanted, tilt = (local.q, local.kp, local.kd), local.tilt_rp
        if follows and remote is not None:
            wanted, tilt = (remote.q, remote.kp, remote.kd), np.array(remote.tilt_rp)
        self._last = q, kp, kd = self._blended(wanted, now_ns)
        # A robot that was bent over as one policy wanted needs a moment to be upright as the other wants.
        share = min(1.0, (now_ns - self._changed_ns) / STRAIGHTEN_NS) if self._changed_ns else 1.0
        self._tilt = tilt = share * tilt + (1.0 - share) * self._tilt_from
        self._made += 1
        return local._replace(
            seq=self._made, t_ns=now_ns, q=q, kp=kp, kd=kd, tilt_rp=tilt, limb_held=False,
            **self._stream_facts(remote, state),
        )  # fmt: skip

    def _stream_facts(self, remote: RemoteTargets | None, state: LowState) -> dict[str, Any]:
        """The stream as the ladder judges a source."""
        if remote is None:
            return {
                "reference_seq": 0, "reference_source_id": 0, "t_reference_ns": 0, "t_content_ns": 0,
                "reference_valid": False, "reference_hz": 0.0, "deadman": False, "pose_error_rad": np.inf,
            }  # fmt: skip
        return {
            "reference_seq": self._seq, "reference_source_id": remote.sender, "t_reference_ns": remote.t_ns,
            "t_content_ns": self._content_ns, "reference_valid": remote.meant, "reference_hz": NOMINAL_HZ,
            "deadman": remote.mode in FOLLOWING_MODES,
            "pose_error_rad": float(np.abs(remote.q - state.q).max()) if remote.meant else np.inf,
        }  # fmt: skip

    def _blended(self, wanted: tuple[Array, Array, Array], now_ns: int) -> tuple[Array, Array, Array]:
        """As the gate enters another policy's targets: from what was sent last, within the same time."""
        before = self._from
        share = (now_ns - self._changed_ns) * 1e-9 / BLEND_S
        if before is None or not 0.0 <= share < 1.0:
            self._from = None
            return wanted
        weight = share * share * (3.0 - 2.0 * share)
        q, kp, kd = (weight * new + (1.0 - weight) * old for new, old in zip(wanted, before, strict=True))
        return q, kp, kd
