"""An operator's body on disk: one small TOML file each, read strictly, so that nobody has to calibrate twice."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import msgspec
import numpy as np

from teleopd.drivers.home import expanded
from teleopd.drivers.human_pose import MVN
from teleopd.service.retarget.calibration import LEG_M, Calibration, CalibrationError
from teleopd.service.retarget.operator_pose import POSES, Operator
from teleopd.service.retarget.tables import nearest

SCHEMA = 1
FOLDER = Path("~/.config/teleopd/operators")
FOLDER_VARIABLE = "TELEOPD_OPERATORS"
"""Environment: another folder for operators' files."""
MAX_BYTES = 1 << 16
BODY_SPAN_M = 3.0
"""No body lies farther from the pelvis in the T-pose."""
FLOOR_M = 20.0
"""Largest believed height of the floor in the capture system's world, either way [m]."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it stands."""

    schema: int
    operator: str
    family: str
    """Kind of skeleton."""
    pose: str
    """'t' or 'n'."""
    frames: int
    arm_m: float
    leg_m: float
    ankle_m: float
    floor_m: float
    heading_rad: float
    origin_m: tuple[float, float]
    moved_m: float
    rest_m: dict[str, tuple[float, float, float]]
    """Body -> position in the T-pose, from the pelvis, facing +X."""


def operator_path(operator: str) -> Path:
    """Where an operator's file is kept, whether it exists or not.

    Raises:
        CalibrationError: the name could not be a file's.
    """
    if not _NAME.fullmatch(operator):
        raise CalibrationError(
            f"operator '{operator}' cannot be a file name; use up to 64 letters, digits, dots, dashes and underscores"
        )
    folder = expanded(os.environ.get(FOLDER_VARIABLE, "") or FOLDER, CalibrationError, f"{FOLDER_VARIABLE} ")
    return folder / f"{operator}.toml"


def save_operator(operator: str, measured: Operator, path: Path | None = None) -> Path:
    """Write an operator's file, replacing the one there is at once; returns where.

    Raises:
        CalibrationError: the name could not be a file's, or the skeleton is not MVN's.
        OSError: the folder cannot be written to.
    """
    target = operator_path(operator) if path is None else path
    c = measured.calibration
    if c.family != MVN.family:
        raise CalibrationError(f"a calibration of skeleton '{c.family}' cannot be stored; only '{MVN.family}' can")
    lines = [
        f"# Body of one operator, measured by `teleop calibrate` in the {POSES[measured.pose]}; lengths in metres.",
        "# Heading and place are taken anew at every start.",
        f"schema = {SCHEMA}", f'operator = "{operator}"', f'family = "{c.family}"', f'pose = "{measured.pose}"',
        f"frames = {measured.frames}", f"arm_m = {measured.arm_m:.4f}", f"leg_m = {c.leg_m:.6f}",
        f"ankle_m = {c.ankle_m:.6f}", f"floor_m = {c.floor_z:.6f}", f"heading_rad = {c.yaw_rad:.6f}",
        f"origin_m = [{c.origin_xy[0]:.6f}, {c.origin_xy[1]:.6f}]", f"moved_m = {measured.moved_m:.4f}", "",
        "[rest_m]  # the T-pose, from the pelvis, facing +X",
    ]  # fmt: skip
    for name, (x, y, z) in zip(MVN.body_names, c.rest_pos.tolist(), strict=True):
        lines.append(f"{name} = [{x:.6f}, {y:.6f}, {z:.6f}]")
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.replace(target)
    return target


def load_operator(path: Path) -> Calibration:
    """Read an operator's file.

    Raises:
        CalibrationError: it is missing, not TOML, has an unknown key or a value that is no person's.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CalibrationError(
            f"operator '{path.stem}' has no calibration ({path}: {error.strerror}); make one with: "
            f"teleop calibrate --operator {path.stem}{_others(path)}"
        ) from None
    if len(raw) > MAX_BYTES:
        raise CalibrationError(f"{path}: {len(raw)} bytes; at most {MAX_BYTES} are read")
    try:
        tree = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: not valid TOML: {error}") from None
    known = [field.encode_name for field in msgspec.structs.fields(_File)]
    for key in tree:
        if key not in known:
            raise CalibrationError(f"{path}: unknown key '{key}'{nearest(key, known)}")
    try:
        file = msgspec.convert(tree, _File)
    except msgspec.ValidationError as error:
        raise CalibrationError(f"{path}: {str(error).replace('`', chr(39))}") from None
    return _checked(file, path)


def _others(path: Path) -> str:
    """The operators there are."""
    found = sorted(p.stem for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
    return f"; there are: {', '.join(found)}" if found else ""


def _checked(file: _File, path: Path) -> Calibration:
    if file.schema != SCHEMA:
        raise CalibrationError(f"{path}: schema is {file.schema}; this version reads schema {SCHEMA}")
    rest = np.array(list(file.rest_m.values()), dtype=np.float64)
    ranges = (
        ("leg_m", file.leg_m, *LEG_M), ("ankle_m", file.ankle_m, -0.1, 0.3),
        ("floor_m", file.floor_m, -FLOOR_M, FLOOR_M),
        ("heading_rad", file.heading_rad, -4.0, 4.0),
        ("origin_m", max(map(abs, file.origin_m)), 0.0, 1e4),
        ("rest_m", float(np.abs(rest).max()) if rest.size else np.inf, 0.0, BODY_SPAN_M),
    )  # fmt: skip
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise CalibrationError(f"{path}: {name} is {value:g}; it must lie between {low:g} and {high:g}")
    if file.family != MVN.family:
        raise CalibrationError(f"{path}: family is '{file.family}'; only '{MVN.family}' can be stored")
    if tuple(file.rest_m) != MVN.body_names:
        odd = next((f"'{n}' is missing" for n in MVN.body_names if n not in file.rest_m), "the order differs")
        raise CalibrationError(f"{path}: rest_m must hold the {len(MVN.body_names)} MVN segments in order; {odd}")
    return Calibration(
        file.family, rest, file.floor_m, file.heading_rad, np.array(file.origin_m), file.leg_m, file.ankle_m
    )
