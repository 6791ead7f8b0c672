"""`HumanPose` -> where each body of the robot should be: one linear map of positions, one product of rotations.

Position targets, by the match's `position` (hats: robot lengths in its T-pose; s_leg: robot leg over human leg):

    root   floor map of the hip centre, plus R_pelvis * (robot's pelvis origin above its hip centre)
    foot   floor map of the ankle, moved sideways by the difference of the hip widths, in the foot's own heading unless
           `sideways` says another, and raised where a corner of the robot's sole would enter the floor
    chain  target(anchor) + s * (p - p_anchor) + R_frame * c, with s = |robot| / |human| and c what makes it exact in
           the T-pose, so that a chain keeps the person's direction at the robot's length

The floor map is p' = s_leg * (p - floor) + robot's ankle height: an ankle on the floor puts the sole on the floor, and
a standing person puts the pelvis at the robot's stand height.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import HumanPose, Skeleton
from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget import quaternions as quat
from teleopd.service.retarget.calibration import Calibration, RobotRest
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.tables import Match, RetargetTable, check_names

MIN_HORIZONTAL = 0.3
"""Below this a left axis is near vertical and the sideways shift fades out."""
MIN_RATIO, MAX_RATIO = 0.2, 3.0
"""A chain whose lengths differ more is a wrong match, not a small person."""


def levelled(x: float, y: float) -> tuple[float, float]:
    """The horizontal direction of a unit axis, shorter than 1 where that is near vertical."""
    k = 1.0 / max(math.hypot(x, y), MIN_HORIZONTAL)
    return k * x, k * y


class Targets(NamedTuple):
    """Where the matched robot bodies should be; rows in table order."""

    pos: Array
    """World positions [m], (m, 3)."""
    quat: Array
    """World orientations, wxyz, (m, 4)."""
    seen: npt.NDArray[np.bool_]
    """All human bodies a row depends on are tracked, (m,)."""


class TargetMap:
    """The map for one operator. Arrays it returns are its own and overwritten by the next call."""

    def __init__(
        self, table: RetargetTable, skeleton: Skeleton, kinematics: Kinematics, calibration: Calibration
    ) -> None:
        """Measure all scales and offsets.

        Raises:
            NoTable: the robot has no table for the skeleton's family.
            TableError: the table names a body that does not exist.
            ValueError: a chain has no length.
        """
        t = table.for_family(skeleton.family)
        check_names(table, skeleton.family, kinematics.body_names, skeleton.body_names)
        self._at = {name: i for i, name in enumerate(skeleton.body_names)}
        self._rest = RobotRest.of(kinematics, table.t_pose)
        self._human = calibration.rest_pos
        self.matches: tuple[Match, ...] = t.match
        self.body_ids = kinematics.body_ids([m.robot for m in t.match])
        self.root_row = next(i for i, m in enumerate(t.match) if m.position == "root")
        self._pelvis = self._at[t.pelvis]
        self._hips = [self._at[name] for name in t.hips]

        stand_ids = kinematics.body_ids([*t.robot.hips, *t.robot.feet])
        stand = kinematics.bodies(kinematics.robot.q_stand)[0][stand_ids]
        leg = float(np.mean(stand[:2, 2] - stand[2:, 2]))
        self.leg_scale = t.scale.legs * leg / calibration.leg_m
        ankle = table.sole_below_foot_m
        self._lift = ankle - self.leg_scale * calibration.ankle_z
        hip_ids = kinematics.body_ids(t.robot.hips)
        self._hip_to_root = -self._rest.pos[hip_ids].mean(axis=0)

        self._set_up_rows(t.match, kinematics, t.scale.arms)
        feet = kinematics.body_ids(t.robot.feet)
        rows = {m.robot: (i, m) for i, m in enumerate(t.match) if m.position == "foot"}
        self._foot_shifts = [
            (rows[name][0], t.scale.stance_width * self._missing_width(rows[name][1], foot))
            for name, foot in zip(t.robot.feet, feet, strict=True)
            if name in rows
        ]
        self._feet = t.robot.feet
        self._soles, self.sole_radius_m = self._sole_points(kinematics), kinematics.sole_radius_m
        self.keeps_above_floor = True
        """Raise feet whose soles would enter the floor; `contacts.py` does more than that instead."""
        self.sideways: Array = np.full((len(self._foot_shifts), 2), math.nan)
        """Of each foot, left first: world xy, at most 1 long, of its move sideways; nan: to the foot's own left."""
        self.align(calibration.yaw_rad, calibration.origin_xy)

    def align(self, yaw_rad: float, origin_xy: Array, to_yaw_rad: float = 0.0, to_xy: Array | None = None) -> None:
        """Make the human heading and hip centre given the robot's heading and root position `to_yaw_rad`, `to_xy`."""
        self.sideways[:] = math.nan
        turn = to_yaw_rad - yaw_rad
        about_z = quat.about_z(turn)
        c, s = np.cos(turn), np.sin(turn)
        self._turn[:] = [[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]
        self._products[:] = [quat.product_matrix(about_z, offset) for offset in self._offsets]
        self._turned[:] = [quat.rotation_matrix_of(v, about_z) for v in self._constants]
        x, y = (np.zeros(2) if to_xy is None else to_xy) - self.leg_scale * (origin_xy @ self._turn[:2, :2])
        self._origin[:] = x, y, self._lift

    def shift(self, xy: Array) -> None:
        """Move all later targets by `xy` [m], (2,)."""
        self._origin[:2] += xy

    def __call__(self, pose: HumanPose) -> Targets:
        """Targets of one pose; what an untracked body holds (even NaN) reaches no row."""
        pos, quats, seen = self.targets
        seen[:] = True
        if not pose.valid.all():
            seen[:] = (self._needs @ ~pose.valid) == 0
            lost = ~pose.valid[:, None]
            pose = pose._replace(
                pos_w=np.where(lost, 0.0, pose.pos_w), quat_w=np.where(lost, (1.0, 0.0, 0.0, 0.0), pose.quat_w)
            )
        self._fill(pose.pos_w, pose.quat_w)
        if self.keeps_above_floor:
            self._keep_above_floor(pos, quats)
        return self.targets

    def _fill(self, pos_w: Array, quat_w: Array) -> None:
        """Positions and orientations of all rows, whether they are seen or not."""
        pos, quats, _ = self.targets
        frames = quat_w.take(self._frames, axis=0)
        outer = (frames[:, :, None] * frames[:, None, :]).reshape(-1, 16)
        constants = np.einsum("kij,kj->ki", self._turned, outer)
        self._widen(constants)
        np.dot(np.dot(self._m, pos_w), self._turn, out=pos)
        pos += np.dot(self._n, constants)
        pos += self._origin
        np.einsum("kij,kj->ki", self._products, quat_w.take(self._humans, axis=0), out=quats)

    def foot_soles(self) -> list[tuple[int, int, Array]]:
        """Per foot that has sole sites, left first: row, body id and centres of the sole's spheres in the body's frame
        [m], (k, 3)."""
        return [(row, int(self.body_ids[row]), np.array(points)) for row, points in self._soles]

    def hip_centre_xy(self, pose: HumanPose) -> Array:
        """Point between the operator's hips [m], (2,)."""
        centre: Array = pose.pos_w[self._hips, :2].mean(axis=0)
        return centre

    def heading(self, pose: HumanPose) -> float:
        """The operator's heading [rad]."""
        return quat.yaw(pose.quat_w[self._pelvis])

    def root_seen(self, pose: HumanPose) -> bool:
        """Pelvis and hips are tracked."""
        return bool(pose.valid[self._pelvis]) and all(bool(pose.valid[hip]) for hip in self._hips)

    def _missing_width(self, m: Match, foot: int) -> float:
        """How much farther left the robot's foot stands than the scaled operator's, both in the T-pose [m]."""
        return float(self._rest.pos[foot, 1] - self.leg_scale * self._human[self._at[m.human], 1])

    def _set_up_rows(self, matches: tuple[Match, ...], kinematics: Kinematics, arms: float) -> None:
        """Fill the linear map: pos = M @ human + N @ (R_frame c) + origin, row by row in table order."""
        rows, bodies = len(matches), len(self._human)
        self._m = np.zeros((rows, bodies))
        self._n = np.zeros((rows, rows))
        self._needs: IntArray = np.zeros((rows, bodies), dtype=np.intp)
        self._constants = np.zeros((rows, 3))
        self._frames: IntArray = np.full(rows, self._pelvis, dtype=np.intp)
        self._humans: IntArray = np.array([self._at[m.human] for m in matches], dtype=np.intp)
        self._offsets: Array = np.array([self._rest.offset(int(body)) for body in self.body_ids])
        self.targets = Targets(np.zeros((rows, 3)), np.zeros((rows, 4)), np.ones(rows, dtype=np.bool_))
        """Of the newest pose."""
        self._turn: Array = np.eye(3)
        """From the person's world to the robot's, on row vectors."""
        self._origin: Array = np.zeros(3)
        self._products: Array = np.zeros((rows, 4, 4))
        self._turned: Array = np.zeros((rows, 3, 16))
        """See `quaternions.product_matrix` and `rotation_matrix_of`."""
        self.chain_scales: dict[str, float] = {}
        row_of = {m.human: i for i, m in enumerate(matches) if m.position != "none"}
        for i, m in enumerate(matches):
            self._needs[i, self._humans[i]] = 1
            if m.position == "chain":
                assert m.anchor is not None and m.frame is not None
                self._chain_row(i, m, row_of[m.anchor], self._at[m.anchor], self._at[m.frame], arms)
            else:
                self._floor_row(i, m)

    def _floor_row(self, i: int, m: Match) -> None:
        """Rows placed by the floor map; also gives orientation-only rows a harmless position."""
        self._n[i, i] = 1.0
        if m.position == "root":
            self._m[i, self._hips] = self.leg_scale / 2.0
            self._needs[i, self._hips] = 1
            self._constants[i] = self._hip_to_root
        else:
            self._m[i, self._humans[i]] = self.leg_scale
        if m.position == "foot":
            self._frames[i] = self._humans[i]
            self._constants[i] = (0.0, 1.0, 0.0)  # the foot's left; `_widen` makes it the sideways shift

    def _chain_row(self, i: int, m: Match, anchor_row: int, anchor: int, frame: int, arms: float) -> None:
        robot = self._rest.pos[self.body_ids[i]] - self._rest.pos[self.body_ids[anchor_row]]
        human = self._human[self._humans[i]] - self._human[anchor]
        length = float(np.linalg.norm(human))
        scale = float(np.linalg.norm(robot)) / length if length > 1e-6 else np.inf
        if not MIN_RATIO <= scale <= MAX_RATIO:
            raise ValueError(
                f"'{m.anchor}' to '{m.human}' measures {length:.3g} m on the operator and "
                f"{np.linalg.norm(robot):.3g} m on the robot; the ratio must lie between {MIN_RATIO} and {MAX_RATIO}"
            )
        self.chain_scales[m.robot] = scale
        is_arm = self.matches[anchor_row].position == "chain"
        scale *= arms if is_arm else 1.0
        robot = robot * (arms if is_arm else 1.0)
        self._m[i] = self._m[anchor_row]
        self._n[i] = self._n[anchor_row]
        self._needs[i] |= self._needs[anchor_row]
        self._needs[i, frame] = 1
        self._m[i, self._humans[i]] += scale
        self._m[i, anchor] -= scale
        self._n[i, i] += 1.0
        self._frames[i] = frame
        self._constants[i] = robot - scale * human

    def _sole_points(self, kinematics: Kinematics) -> list[tuple[int, list[list[float]]]]:
        """Per foot row: centres of the sole's spheres in its frame [m]; without the feet that have none."""
        model = kinematics.model
        bodies = {name: int(model.site(name).bodyid[0]) for name in kinematics.robot.sole_sites}
        feet = []
        rows = {self.matches[row].robot: row for row, _ in self._foot_shifts}
        for row in (rows[name] for name in self._feet if name in rows):
            points = [kinematics.sole_centres[name] for name, body in bodies.items() if body == self.body_ids[row]]
            if points:
                feet.append((row, points))
        return feet

    def _keep_above_floor(self, pos: Array, quats: Array) -> None:
        """Raise a foot's target where it would push a corner of the robot's sole, longer than a toe, into the floor."""
        for row, points in self._soles:  # plain floats: numpy costs five times as much on four points
            w, x, y, z = quats[row].tolist()
            ux, uy, uz = 2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)
            lowest = min(ux * px + uy * py + uz * pz for px, py, pz in points) - self.sole_radius_m
            if pos[row, 2] < -lowest:
                pos[row, 2] = -lowest

    def _widen(self, constants: Array) -> None:
        """Make a unit left axis the sideways shift: horizontal, so that a foot that does not turn does not slide."""
        for (row, shift), (x, y) in zip(self._foot_shifts, self.sideways.tolist(), strict=True):
            if math.isnan(x):
                x, y = levelled(*constants[row, :2].tolist())
            constants[row] = (shift * x, shift * y, 0.0)
