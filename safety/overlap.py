"""Keeping the reference from driving one part of the robot into another: a limb that would is held where it was.

The retargeter keeps the same pairs apart by itself, so on what it makes this check has nothing to do (measured on ten
public clips; see docs/measurements.md). It is for references that nobody solved for: a blend between two poses, a
motion of another robot, a retargeter that fails. It judges joint positions; where the robot stands does not matter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from teleopd.robots.capsules import Capsules
from teleopd.robots.model import Array, IntArray, RobotModel

Mask = npt.NDArray[np.bool_]
LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
"""A joint with one of these in its name belongs to an arm or a leg; the others (waist) are held last."""
EQUAL_M = 1e-9
"""Rounding."""


class Overlap:
    """The pairs of one robot. With a robot that names no pairs nothing is ever held."""

    def __init__(self, robot: RobotModel, deepest_m: float) -> None:
        """`deepest_m`: how far one capsule of a pair may be inside the other.

        Raises:
            CapsuleError: the robot's table of pairs does not fit its MJCF.
        """
        self._capsules = Capsules(robot)
        self._deepest = -deepest_m
        limb: Mask = np.array([any(part in name for part in LIMBS) for name in robot.joint_names])
        self._joints = [self._limbs_of(pair.tolist(), limb) for pair in self._capsules.pairs]
        """Of each pair, mask (n,): the joints of its limbs."""
        self._before: Array | None = None
        self._gaps: Array = np.zeros(0)

    def _limbs_of(self, pair: list[int], limb: Mask) -> Mask:
        mask: Mask = np.zeros(len(limb), dtype=bool)
        for capsule in pair:
            mask[self._capsules.joints_of(capsule)] = True
        return mask & limb

    def keep(self, q: Array, before: Array) -> tuple[Array, Mask]:
        """Joint positions [rad] to ask for in place of `q`, and which of them are held at `before`; (n,) each.

        No pair gets deeper than the limit by this step; one that is deeper already gets no deeper. The limbs of the
        pairs that would are held, but for joints that can move by themselves, so that a hand slides along what it
        touches and an arm finds its way out; where the rest of the body moves into a held limb, everything is held.
        """
        if not self._joints:
            return q, np.zeros(len(q), dtype=bool)
        now = self._gaps_at(before)
        least = np.minimum(now, self._deepest) - EQUAL_M
        gaps = self._capsules.gaps(q)
        stuck = np.zeros(len(q), dtype=bool)
        for i in np.flatnonzero(gaps < least):
            stuck |= self._joints[i]
        kept = q
        if stuck.any():
            kept = np.where(stuck, before, q)
            gaps = self._capsules.gaps(kept)
            if (gaps < least).any():
                kept, gaps = before.copy(), now
            gaps = self._slide(kept, gaps, q, np.flatnonzero(stuck), least)
        self._before, self._gaps = kept, gaps
        return kept, kept != q

    def _slide(self, kept: Array, gaps: Array, q: Array, joints: IntArray, least: Array) -> Array:
        """Move joints of `kept` that may, one after the other, to where `q` wants them; returns the gaps then."""
        for joint in joints:
            held, kept[joint] = float(kept[joint]), q[joint]
            tried = self._capsules.gaps(kept)
            if (tried < least).any():
                kept[joint] = held
            else:
                gaps = tried
        return gaps

    def _gaps_at(self, q: Array) -> Array:
        """Gaps of the pose before, which are known where it is the one this check let pass."""
        if self._before is None or not np.array_equal(self._before, q):
            self._before, self._gaps = q, self._capsules.gaps(q)
        return self._gaps
