"""Is it still the same body, with left on its left? Limb lengths against those learnt, and sides against the trunk.

Pure. A limb that changes its length is a lost marker, an exchanged one, or another person: frames are refused until the
lengths are the old ones again, or have been new and steady for a while, which starts a new motion with a new body.
Lengths that creep, as those of headsets that still estimate the body, are followed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import Array, HumanPose, Skeleton

LIMBS = (("UpperArm", "ForeArm"), ("ForeArm", "Hand"), ("UpperLeg", "LowerLeg"), ("LowerLeg", "Foot"))
SIDED = (("Pelvis", "UpperLeg"), ("T8", "UpperArm"))
"""Trunk segment, and the pair that lies to its left and right."""
FITS = 0.3
"""Sides are exchanged where exchanging them back leaves less than this share of the difference."""
STEADY = 0.5
"""New lengths are steady while they change by less than this share of what counts as a change."""


class Body(NamedTuple):
    """What one frame says about the body."""

    reason: str
    """'limb', 'swapped', or '' where nothing is wrong."""
    new: bool
    """Another body than before: its lengths have been steady for long enough."""


class BodyChecks:
    """Limb lengths and sides of one source. Skeletons without these segments always pass."""

    def __init__(
        self, skeleton: Skeleton, *, change: float, slack_m: float, steady_s: float, follow_s: float, side_share: float,
        swap_m: float,
    ) -> None:  # fmt: skip
        """
        Args:
            change: share of its length by which a limb may differ from what it was.
            slack_m: and so much more [m].
            steady_s: new lengths are another body after so long [s].
            follow_s: time constant with which slow changes are followed [s].
            side_share: the left of a pair may lie on the right by this share of their distance.
            swap_m: smaller changes of length say nothing about sides [m].
        """
        at = {name: i for i, name in enumerate(skeleton.body_names)}
        pairs = [tuple(at.get(side + part, -1) for part in limb) for side in ("Left", "Right") for limb in LIMBS]
        other = [tuple(at.get(side + part, -1) for part in limb) for side in ("Right", "Left") for limb in LIMBS]
        whole = bool(min(min(pair) for pair in pairs) >= 0)
        self._limbs: npt.NDArray[np.intp] = np.array(pairs if whole else np.empty((0, 2)), dtype=np.intp)
        mirror = {i: j for pair, twin in zip(pairs, other, strict=True) for i, j in zip(pair, twin, strict=True)}
        self._exchanged = _exchanges(mirror, self._limbs)
        self._sided = [
            (at[trunk], at["Left" + part], at["Right" + part])
            for trunk, part in SIDED
            if {trunk, "Left" + part, "Right" + part} <= at.keys()
        ]
        self._change, self._slack_m, self._side_share, self._swap_m = change, slack_m, side_share, swap_m
        self._steady_s, self._follow_s = steady_s, follow_s
        self._known: Array = np.full(len(self._limbs), np.nan)
        self._new: Array | None = None
        self._newest: tuple[Array, npt.NDArray[np.bool_]] | None = None
        self._new_since_ns = self._last_ns = 0

    def forget(self) -> None:
        """The next lengths are taken as they are: the device started a new motion."""
        self._known[:] = np.nan
        self._new = None

    def check(self, pose: HumanPose) -> Body:
        """Judge one frame whose numbers are finite."""
        if self._wrong_side(pose):
            return Body("swapped", False)
        if not len(self._limbs):
            return Body("", False)
        lengths = _lengths(pose.pos_w, self._limbs)
        seen = np.asarray(pose.valid[self._limbs].all(axis=1))
        self._newest = lengths, seen
        off = self._off(lengths, seen)
        if off > self._swap_m and any(
            pose.valid[pairs].all() and self._off(_lengths(pose.pos_w, pairs), seen) < FITS * off
            for pairs in self._exchanged
        ):
            self._new = None
            return Body("swapped", False)
        if self._agrees(lengths, seen):
            self._new = None
            return Body("", False)
        if self._is_steady(lengths, pose.t_source_ns):
            self._known[:] = np.where(seen, lengths, np.nan)
            self._new = None
            return Body("", True)
        return Body("limb", False)

    def learn(self, pose: HumanPose) -> None:
        """Take the lengths of the frame that was checked last and accepted: as they are the first time, then slowly."""
        if self._newest is None:
            return
        lengths, seen = self._newest
        dt_s = min(max((pose.t_source_ns - self._last_ns) * 1e-9, 0.0), 0.1)
        self._last_ns = pose.t_source_ns
        first = seen & np.isnan(self._known)
        self._known[first] = lengths[first]
        self._known[seen] += (lengths[seen] - self._known[seen]) * (dt_s / self._follow_s)

    def _off(self, lengths: Array, seen: npt.NDArray[np.bool_]) -> float:
        """Largest difference from the known lengths [m]."""
        off = np.abs(lengths - self._known)[seen]
        return float(np.fmax.reduce(off, initial=0.0))  # passes over lengths not known yet

    def _agrees(self, lengths: Array, seen: npt.NDArray[np.bool_]) -> bool:
        """The lengths are the known ones, where both are known."""
        judged = seen & ~np.isnan(self._known)
        allowed = self._change * self._known[judged] + self._slack_m
        return bool((np.abs(lengths[judged] - self._known[judged]) <= allowed).all())

    def _is_steady(self, lengths: Array, t_ns: int) -> bool:
        """These new lengths have lasted."""
        if self._new is not None:
            allowed = STEADY * (self._change * self._new + self._slack_m)
            if bool((np.abs(lengths - self._new) <= allowed).all()):
                return t_ns - self._new_since_ns >= self._steady_s * 1e9
        self._new, self._new_since_ns = lengths, t_ns
        return False

    def _wrong_side(self, pose: HumanPose) -> bool:
        """The left hip or shoulder lies to the right of the other one, seen from the trunk."""
        for trunk, left, right in self._sided:
            if pose.valid[trunk] and pose.valid[left] and pose.valid[right]:
                w, x, y, z = pose.quat_w[trunk].tolist()
                dx, dy, dz = (pose.pos_w[left] - pose.pos_w[right]).tolist()
                across = 2.0 * (x * y - w * z) * dx + (1.0 - 2.0 * (x * x + z * z)) * dy + 2.0 * (y * z + w * x) * dz
                if across < -self._side_share * math.sqrt(dx * dx + dy * dy + dz * dz):
                    return True
        return False


def _lengths(pos: Array, pairs: npt.NDArray[np.intp]) -> Array:
    along = pos[pairs[:, 0]] - pos[pairs[:, 1]]
    lengths: Array = np.sqrt(np.einsum("ij,ij->i", along, along))
    return lengths


def _exchanges(mirror: dict[int, int], limbs: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """The limbs' ends with one pair of bodies exchanged, for every pair, and with the farther half of each limb."""
    if not len(limbs):
        return []
    sets = [{int(limbs[k, 1])} for k in range(len(LIMBS))]  # elbows, wrists, knees, ankles
    sets += [sets[0] | sets[1], sets[2] | sets[3]]
    made = []
    for members in sets:
        swap = {**{i: mirror[i] for i in members}, **{mirror[i]: i for i in members}}
        made.append(np.array([[swap.get(int(i), int(i)) for i in pair] for pair in limbs], dtype=np.intp))
    return made
