"""Where a robot's capsules lie for given joint positions: forward kinematics from the MJCF, without a physics engine.

Which pairs of capsules must not enter one another is the robot's own table (`keep_apart` in its retarget.toml).
"""

from __future__ import annotations

import tomllib
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array, IntArray, RobotModel


class CapsuleError(ValueError):
    """The robot's MJCF or its table of pairs cannot be read; one sentence."""


class _Level(NamedTuple):
    """Bodies that are equally far from the root: their poses follow from the level above, all at once."""

    bodies: IntArray
    parents: IntArray


class Capsules:
    """The capsules that `keep_apart` names, in the root body's frame. Spheres are capsules of length 0."""

    def __init__(self, robot: RobotModel) -> None:
        """Read robot.xml and retarget.toml of `robot`; a robot without a table has no pairs.

        Raises:
            CapsuleError: a pair names a shape that the MJCF does not have, or one that is no capsule.
        """
        self.robot = robot
        named = _pairs_of(robot)
        names = tuple(dict.fromkeys(name for pair in named for name in pair))
        self.names: tuple[str, ...] = names
        places = [(names.index(a), names.index(b)) for a, b in named]
        self.pairs: IntArray = np.array(places, dtype=np.intp).reshape(-1, 2)
        """(p, 2): the two capsules of each pair."""
        if named:
            self._read_bodies(ElementTree.parse(robot.mjcf).getroot())

    def _read_bodies(self, mjcf: ElementTree.Element) -> None:
        """The tree of bodies: where each sits in the one above, and which motor turns it about which axis."""
        root = next((body for body in mjcf.iter("body") if body.get("name") == self.robot.root_body), None)
        if root is None:
            raise CapsuleError(f"{self.robot.mjcf}: has no body '{self.robot.root_body}'")
        bodies = _walk(root)
        count, motors = len(bodies), {name: i for i, name in enumerate(self.robot.joint_names)}
        self._above = [body.parent for body in bodies]
        self._offset, self._turn = np.zeros((count, 3)), np.tile(np.eye(3), (count, 1, 1))
        self._motor: IntArray = np.full(count, -1)
        axes: Array = np.zeros((count, 3))
        found: dict[str, tuple[int, Array, float]] = {}
        for i, (element, parent, _) in enumerate(bodies):
            if parent >= 0:
                self._offset[i] = _numbers(element.get("pos", "0 0 0"))
                self._turn[i] = _matrix(_numbers(element.get("quat", "1 0 0 0")))
            for joint in element.findall("joint"):
                name = joint.get("name", "")
                if name in motors:
                    self._motor[i], axes[i] = motors[name], _numbers(joint.get("axis", "0 0 1"))
            geoms = {geom.get("name", ""): geom for geom in element.findall("geom")}
            found |= {name: (i, *_capsule(geom, self.robot)) for name, geom in geoms.items() if name in self.names}
        self._cross = np.transpose(np.cross(axes[:, None], np.eye(3)[None]), (0, 2, 1))
        self._square = self._cross @ self._cross
        self._levels = _levels(bodies)
        self._place(found)

    def _place(self, found: dict[str, tuple[int, Array, float]]) -> None:
        """Body, ends and radius of each capsule, in the order of `names`."""
        missing = [name for name in self.names if name not in found]
        if missing:
            raise CapsuleError(f"{self.robot.mjcf}: keep_apart names '{missing[0]}', but there is no such capsule")
        self._bodies: IntArray = np.array([found[name][0] for name in self.names], dtype=np.intp)
        self._ends: Array = np.array([found[name][1] for name in self.names]).reshape(-1, 2, 3)
        self.radii: Array = np.array([found[name][2] for name in self.names])
        """(c,) [m]"""
        self._surface: Array = self.radii[self.pairs].sum(axis=1)

    def joints_of(self, capsule: int) -> list[int]:
        """Motor indices of the joints between a capsule and the root."""
        body, found = int(self._bodies[capsule]), []
        while body >= 0:
            if self._motor[body] >= 0:
                found.append(int(self._motor[body]))
            body = self._above[body]
        return found

    def axes(self, q: Array) -> Array:
        """Both ends of every capsule's axis in the root's frame [m], (c, 2, 3); `q` (n,) [rad]."""
        angle = np.where(self._motor >= 0, q[self._motor], 0.0)[:, None, None]
        # Rodrigues: R = 1 + sin a K + (1 - cos a) K^2
        local = self._turn @ (np.eye(3) + np.sin(angle) * self._cross + (1.0 - np.cos(angle)) * self._square)
        turns, places = local.copy(), self._offset.copy()
        for level in self._levels:
            above = turns[level.parents]
            turns[level.bodies] = above @ local[level.bodies]
            places[level.bodies] = places[level.parents] + (above @ self._offset[level.bodies, :, None])[:, :, 0]
        ends: Array = self._ends @ np.transpose(turns[self._bodies], (0, 2, 1)) + places[self._bodies, None]
        return ends

    def gaps(self, q: Array) -> Array:
        """Distance between the surfaces of each pair [m], (p,); negative: how deep one is in the other."""
        ends = self.axes(q)
        apart: Array = capsule_distance(ends[self.pairs[:, 0]], ends[self.pairs[:, 1]]) - self._surface
        return apart


def capsule_distance(a: Array, b: Array) -> Array:
    """Distance between the axes of capsules, segments (..., 2, 3) each, over leading axes.

    Closest points of two segments: Ericson, Real-Time Collision Detection, 5.1.9, vectorised.
    """
    p, q = a[..., 0, :], b[..., 0, :]
    d1, d2, r = a[..., 1, :] - p, b[..., 1, :] - q, p - q
    aa, ee, ff = np.sum(d1 * d1, -1), np.sum(d2 * d2, -1), np.sum(d2 * r, -1)
    bb, cc = np.sum(d1 * d2, -1), np.sum(d1 * r, -1)
    tiny = 1e-12
    denominator = aa * ee - bb * bb
    s = np.where(denominator > tiny, (bb * ff - cc * ee) / np.maximum(denominator, tiny), 0.0)
    s = np.clip(s, 0.0, 1.0)
    t = np.clip((bb * s + ff) / np.maximum(ee, tiny), 0.0, 1.0)
    s = np.clip((bb * t - cc) / np.maximum(aa, tiny), 0.0, 1.0)
    between: Array = np.linalg.norm(r + d1 * s[..., None] - d2 * t[..., None], axis=-1)
    return between


class _Body(NamedTuple):
    element: ElementTree.Element
    parent: int
    """Place in the list of bodies, -1 for the root."""
    depth: int


def _walk(root: ElementTree.Element) -> list[_Body]:
    """The root and all bodies below it, parents first."""
    bodies = [_Body(root, -1, 0)]
    for i, body in enumerate(bodies):  # grows while it is walked
        bodies += [_Body(child, i, body.depth + 1) for child in body.element.findall("body")]
    return bodies


def _levels(bodies: list[_Body]) -> list[_Level]:
    """Below the root, from the top down."""
    depths = np.array([body.depth for body in bodies])
    at = [np.flatnonzero(depths == depth) for depth in range(1, int(depths.max()) + 1)]
    return [_Level(level, np.array([bodies[i].parent for i in level])) for level in at]


def _pairs_of(robot: RobotModel) -> list[tuple[str, str]]:
    """Pairs of capsule names of the table, each once."""
    table = robot.mjcf.with_name("retarget.toml")
    if not table.is_file():
        return []
    entries = tomllib.loads(table.read_text()).get("solver", {}).get("keep_apart", [])
    both = [(a, b) for entry in entries for a in entry["shapes"] for b in entry["others"] if a != b]
    return list(dict.fromkeys((min(pair), max(pair)) for pair in both))


def _capsule(geom: ElementTree.Element, robot: RobotModel) -> tuple[Array, float]:
    """Ends of the axis in the body's frame (2, 3) and radius [m]."""
    size = _numbers(geom.get("size", ""))
    ends = _numbers(geom.get("fromto", ""))
    if geom.get("type") == "sphere":
        ends = np.tile(_numbers(geom.get("pos", "0 0 0")), 2)
    if ends.shape != (6,) or len(size) < 1:
        raise CapsuleError(f"{robot.mjcf}: '{geom.get('name')}' is neither a capsule with fromto nor a sphere")
    return ends.reshape(2, 3), float(size[0])


def _numbers(text: str) -> Array:
    return np.array([float(word) for word in text.split()])


def _matrix(quat: Array) -> Array:
    w, x, y, z = quat / np.linalg.norm(quat)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
