"""`retarget.toml`, read strictly: which body of the robot follows which body of the person, and how much it matters."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from teleopd.robots.model import RobotModel

SCHEMA = 1
MAX_BYTES = 1 << 20
MAX_WEIGHT = 1e4
"""Beyond it the normal equations lose the small rows to rounding (weights enter squared)."""


STEP_HZ, JITTER = 90.0, 0.05
"""A step for every so much time since the last frame, less some play: one from 90 Hz on, two at 60, three at 30.
Measured: one step at 120 Hz and two at 60 leave every artifact as three do, position errors to 0.01 cm; at 30 Hz two
let limbs into the floor in falls (H1-2: 6 cm instead of 4)."""


class TableError(ValueError):
    """A `retarget.toml` that cannot be used: names the file, the place and what would be right."""


class NoTable(TableError):
    """The robot has no table for that kind of skeleton: lists the ones it has."""

    def __init__(self, family: str, robot: str, available: Iterable[str]) -> None:
        super().__init__(
            f"there is no retargeting table from skeleton '{family}' to robot '{robot}'; "
            f"'{robot}' has tables for: {', '.join(sorted(available)) or 'none'}"
        )


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One correspondence."""

    robot: str
    """Body of the MJCF."""
    human: str
    """Body of the skeleton."""
    position: Literal["root", "foot", "chain", "none"] = "none"
    """How the position target is made; see `targets.py`."""
    anchor: str | None = None
    """Human body a chain starts from; must itself have a position match."""
    frame: str | None = None
    """Human body whose rotation carries the constant part of a chain."""


class HumanBodies(msgspec.Struct, frozen=True):
    """The bodies that scale, floor and heading are measured on, left first."""

    pelvis: str
    hips: tuple[str, str]
    feet: tuple[str, str]
    toes: tuple[str, str]


class RobotBodies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Their counterparts on the robot, left first."""

    pelvis: str
    hips: tuple[str, str]
    """Bodies whose origins are the hip joint centres."""
    feet: tuple[str, str]


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Factors on the scales measured from the operator; 1 means as measured."""

    legs: float = 1.0
    arms: float = 1.0
    stance_width: float = 1.0
    """0: feet as wide as the scaled person's; 1: feet below the robot's hips when the person's are below theirs."""


class Stages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of each stage: robot body -> (position [1/m], orientation [1/rad])."""

    acquire: dict[str, tuple[float, float]]
    """Orientation first; used only on (re)acquisition."""
    track: dict[str, tuple[float, float]]


class SkeletonTable(HumanBodies, frozen=True, forbid_unknown_fields=True):
    """Everything one robot needs to follow one family of skeletons."""

    robot: RobotBodies
    match: tuple[Match, ...]
    stage: Stages
    scale: Scale = Scale()


class KeepApart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Capsules of the MJCF that must not enter one another: each of `shapes` against each of `others`."""

    shapes: tuple[str, ...]
    others: tuple[str, ...]


class SolverSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the inverse kinematics."""

    iterations: int = 3
    """Most steps a frame; fewer where frames come faster, because they lie closer together."""
    acquire_iterations: int = 5
    damping: float = 0.5
    joint_speed_limit_rad_s: float = 20.0
    smoothing: float = 45.0
    smoothing_factors: dict[str, float] = {}
    """Joint name pattern -> factor on `smoothing`; the first match counts."""
    toe_weight: float = 250.0
    """Of the toe of a foot that stands [1/m]; measured: less than 2.5 times the ankle's position weight slides."""
    contacts: bool = True
    """Feet lock where the person's stand, and nothing enters the floor."""
    avoidance: bool = True
    """The pairs of `keep_apart` do not enter one another."""
    keep_apart: tuple[KeepApart, ...] = ()

    def iterations_for(self, dt_s: float) -> int:
        """Steps for a frame that follows `dt_s` after the last one [s]."""
        return min(self.iterations, max(1, math.ceil(dt_s * STEP_HZ - JITTER)))


class RetargetTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole `retarget.toml`."""

    schema: int
    robot: str
    sole_below_foot_m: float
    """How far the sole lies below the origin of the foot body [m]."""
    t_pose: dict[str, float]
    """Joint positions with which the robot stands in the T-pose [rad]; joints not named are 0."""
    skeleton: dict[str, SkeletonTable]
    """Family of `HumanPose.skeleton` -> table."""
    solver: SolverSettings = SolverSettings()
    joint_range: dict[str, tuple[float, float]] = {}
    """Joint name pattern -> range [rad] that motion is kept to inside the joint's own; the first match counts."""

    def narrowed(self, robot: RobotModel) -> RobotModel:
        """The robot with its default variant's joint limits narrowed to `joint_range`.

        Raises:
            TableError: a pattern names no joint, or a range lies outside the joint's own.
        """
        if not self.joint_range:
            return robot
        lower, upper = robot.limits.q_lower.copy(), robot.limits.q_upper.copy()
        found: set[str] = set()
        for i, name in enumerate(robot.joint_names):
            pattern = next((p for p in self.joint_range if fnmatch.fnmatchcase(name, p)), None)
            if pattern is not None:
                found.add(pattern)
                lower[i] = max(lower[i], self.joint_range[pattern][0])
                upper[i] = min(upper[i], self.joint_range[pattern][1])
                if lower[i] >= upper[i]:
                    raise TableError(f"joint_range '{pattern}' lies outside the range of '{name}'")
        for pattern in self.joint_range:
            if pattern not in found:
                raise TableError(f"joint_range '{pattern}' fits no joint{nearest(pattern, robot.joint_names)}")
        limits = dataclasses.replace(robot.limits, q_lower=lower, q_upper=upper)
        variants = {**robot.limits_by_mode_machine, robot.default_mode_machine: limits}
        return dataclasses.replace(robot, limits_by_mode_machine=variants)

    def for_family(self, family: str) -> SkeletonTable:
        """The table of one family of skeletons.

        Raises:
            NoTable: the robot has none; the message lists the families it has.
        """
        if family not in self.skeleton:
            raise NoTable(family, self.robot, self.skeleton)
        return self.skeleton[family]


def load_table(path: Path) -> RetargetTable:
    """Read and validate a `retarget.toml`.

    Raises:
        TableError: missing, not TOML, an unknown key (the nearest known one is named), a wrong type or value.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror}); a robot folder holds its retarget.toml") from None
    if len(raw) > MAX_BYTES:
        raise TableError(f"{path}: {len(raw)} bytes; at most {MAX_BYTES} are read")
    return parse_table(raw, str(path))


def parse_table(raw: bytes | str, where: str = "retarget.toml") -> RetargetTable:
    """A table from the text of a `retarget.toml`; `where` names it in errors.

    Raises:
        TableError: not TOML, an unknown name, or a number out of range.
    """
    try:
        tree = tomllib.loads(raw.decode() if isinstance(raw, bytes) else raw)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TableError(f"{where}: not valid TOML: {error}") from None
    _refuse_unknown(tree, where)
    try:
        table = msgspec.convert(tree, RetargetTable)
    except msgspec.ValidationError as error:
        raise TableError(f"{where}: {str(error).replace('`', chr(39))}") from None
    _check(table, where)
    return table


def check_names(table: RetargetTable, family: str, robot_bodies: Iterable[str], human_bodies: Iterable[str]) -> None:
    """Every body the family's table names exists.

    Raises:
        TableError: one does not; the message names the nearest that does.
    """
    t = table.for_family(family)
    robots = [m.robot for m in t.match] + [t.robot.pelvis, *t.robot.hips, *t.robot.feet]
    humans = [m.human for m in t.match] + [t.pelvis, *t.hips, *t.feet, *t.toes]
    humans += [name for m in t.match for name in (m.anchor, m.frame) if name is not None]
    for kind, wanted, known in (
        (f"robot '{table.robot}'", robots, list(robot_bodies)),
        (f"skeleton '{family}'", humans, list(human_bodies)),
    ):
        for name in wanted:
            if name not in known:
                raise TableError(f"retargeting table '{family}': {kind} has no body '{name}'{nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Half a sentence that names the nearest known name; '' where none is known."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f"; the nearest is '{near[0]}'" if near else ""


def _refuse_unknown(tree: Mapping[str, Any], where: str) -> None:
    """Unknown keys anywhere in the tree, with the nearest known key of that place."""
    todo: list[tuple[Any, type[msgspec.Struct], str]] = [(tree, RetargetTable, "")]
    while todo:
        node, kind, path = todo.pop()
        if not isinstance(node, Mapping):
            continue
        known = {f.encode_name for f in msgspec.structs.fields(kind)}
        for key in node:
            if key not in known:
                place = f"in [{path}]" if path else "at the top level"
                raise TableError(f"{where}: unknown key '{key}' {place}{nearest(key, sorted(known))}")
        if kind is RetargetTable:
            todo.append((node.get("solver"), SolverSettings, "solver"))
            pairs = node["solver"].get("keep_apart") if isinstance(node.get("solver"), Mapping) else None
            for entry in pairs if isinstance(pairs, list) else ():
                todo.append((entry, KeepApart, "solver.keep_apart"))
            families = node.get("skeleton")
            for name, family in families.items() if isinstance(families, Mapping) else ():
                todo.append((family, SkeletonTable, f"skeleton.{name}"))
        elif kind is SkeletonTable:
            for key, child in (("robot", RobotBodies), ("scale", Scale), ("stage", Stages)):
                todo.append((node.get(key), child, f"{path}.{key}"))
            rows = node.get("match")
            for row in rows if isinstance(rows, list) else ():
                todo.append((row, Match, f"{path}.match"))


def _check(table: RetargetTable, where: str) -> None:
    """What types cannot say."""
    if table.schema != SCHEMA:
        raise TableError(f"{where}: schema is {table.schema}; this version reads schema {SCHEMA}")
    s = table.solver
    for name, value, low, high in (
        ("solver.iterations", s.iterations, 1, 50),
        ("solver.acquire_iterations", s.acquire_iterations, 1, 100),
        ("solver.damping", s.damping, 1e-6, 1e3),
        ("solver.joint_speed_limit_rad_s", s.joint_speed_limit_rad_s, 0.1, 100.0),
        ("solver.smoothing", s.smoothing, 0.0, 1e4),
        ("solver.toe_weight", s.toe_weight, 0.0, 1e4),
        ("sole_below_foot_m", table.sole_below_foot_m, 0.0, 0.5),
        *((f"solver.smoothing_factors.'{k}'", v, 0.0, 100.0) for k, v in s.smoothing_factors.items()),
        *((f"t_pose.{k}", v, -6.3, 6.3) for k, v in table.t_pose.items()),
    ):
        if not low <= value <= high:
            raise TableError(f"{where}: {name} is {value:g}; it must lie between {low:g} and {high:g}")
    for family, t in table.skeleton.items():
        _check_family(t, f"{where}: [skeleton.{family}]")


def _check_family(t: SkeletonTable, where: str) -> None:
    robots = [m.robot for m in t.match]
    twice = sorted({name for name in robots if robots.count(name) > 1})
    if twice:
        raise TableError(f"{where} matches robot body '{twice[0]}' twice")
    roots = [m for m in t.match if m.position == "root"]
    if len(roots) != 1 or roots[0].robot != t.robot.pelvis or roots[0].human != t.pelvis:
        raise TableError(f"{where} needs exactly one match with position 'root': '{t.robot.pelvis}' to '{t.pelvis}'")
    placed: set[str] = set()
    for m in t.match:
        if (m.position == "chain") != (m.anchor is not None and m.frame is not None) or (
            m.position != "chain" and (m.anchor is not None or m.frame is not None)
        ):
            raise TableError(f"{where} match '{m.robot}': 'anchor' and 'frame' go with position 'chain', both of them")
        if m.anchor is not None and m.anchor not in placed:
            raise TableError(f"{where} match '{m.robot}': anchor '{m.anchor}' has no position match before it")
        if m.position == "foot" and (m.robot not in t.robot.feet or m.human not in t.feet):
            raise TableError(f"{where} match '{m.robot}': position 'foot' is for {t.robot.feet} and {t.feet} only")
        if m.position != "none":
            if m.human in placed:
                raise TableError(f"{where} gives human body '{m.human}' two positions")
            placed.add(m.human)
    for name, value in (("legs", t.scale.legs), ("arms", t.scale.arms)):
        if not 0.2 <= value <= 5.0:
            raise TableError(f"{where} scale.{name} is {value:g}; it must lie between 0.2 and 5")
    if not 0.0 <= t.scale.stance_width <= 2.0:
        raise TableError(f"{where} scale.stance_width is {t.scale.stance_width:g}; it must lie between 0 and 2")
    for stage, weights in (("acquire", t.stage.acquire), ("track", t.stage.track)):
        _check_weights(t, weights, f"{where} stage.{stage}")


def _check_weights(t: SkeletonTable, weights: Mapping[str, tuple[float, float]], where: str) -> None:
    by_robot = {m.robot: m for m in t.match}
    for body, (position, orientation) in weights.items():
        if body not in by_robot:
            raise TableError(f"{where}: '{body}' has weights but no match{nearest(body, by_robot)}")
        if not (0.0 <= position <= MAX_WEIGHT and 0.0 <= orientation <= MAX_WEIGHT):
            raise TableError(f"{where}: weights of '{body}' must lie between 0 and {MAX_WEIGHT:g}")
        if position > 0.0 and by_robot[body].position == "none":
            raise TableError(f"{where}: '{body}' has a position weight, but its match has position 'none'")
    if not any(orientation > 0.0 or position > 0.0 for position, orientation in weights.values()):
        raise TableError(f"{where}: every weight is 0")
