"""`HumanPose`: one captured instant of a person, the one word every source speaks.

World frame: right-handed, Z up, X forward at calibration. Metres, quaternions wxyz, times `time.monotonic_ns()`.

A source describes its bodies once, in a `Skeleton`; a pose carries arrays in that order. Orientations are those of
the *canonical segment frames*: every frame equals the world frame (identity) when the person stands in the T-pose
facing +X, arms out to the sides, palms down. Xsens MVN streams exactly that; every other driver converts to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MVN_SEGMENTS = (
    "Pelvis", "L5", "L3", "T12", "T8", "Neck", "Head",
    "RightShoulder", "RightUpperArm", "RightForeArm", "RightHand",
    "LeftShoulder", "LeftUpperArm", "LeftForeArm", "LeftHand",
    "RightUpperLeg", "RightLowerLeg", "RightFoot", "RightToe",
    "LeftUpperLeg", "LeftLowerLeg", "LeftFoot", "LeftToe",
)  # fmt: skip
"""The 23 Xsens MVN segments in stream order (ids 1 to 23). A segment's position is its proximal joint:
UpperArm = shoulder joint, ForeArm = elbow, Hand = wrist, UpperLeg = hip, LowerLeg = knee, Foot = ankle, Toe = ball."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Names of a source's bodies and the family that `retarget.toml` keys its tables by."""

    family: str
    """'mvn' for the 23 Xsens segments; others as their drivers come."""
    body_names: tuple[str, ...]
    parents: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    """Bone tree: body -> the body in whose frame its position is fixed; parents come first, the root is absent."""


class HumanPose(NamedTuple):
    """One captured instant."""

    skeleton: Skeleton
    seq: int
    """The source's own frame counter."""
    t_ns: int
    """Monotonic time at which this host received it."""
    t_source_ns: int
    """Device time mapped to this host's monotonic clock; equals t_ns where the device sends none."""
    pos_w: Array
    """Body positions [m], (n, 3)."""
    quat_w: Array
    """Body orientations, wxyz, (n, 4), canonical segment frames."""
    valid: npt.NDArray[np.bool_]
    """Per body: tracked in this frame, (n,)."""
    deadman: bool
    """The operator holds the device's deadman; False where the device has none."""
    resets: int
    """Increases when the device restarted its motion (new recording, origin jump): do not follow the step."""
    buttons: frozenset[str]
    """Pressed buttons by name; empty where the device has none."""


MVN_PARENTS: Mapping[str, str] = MappingProxyType({
    "L5": "Pelvis", "L3": "L5", "T12": "L3", "T8": "T12", "Neck": "T8", "Head": "Neck",
    "RightShoulder": "T8", "RightUpperArm": "RightShoulder", "RightForeArm": "RightUpperArm",
    "RightHand": "RightForeArm",
    "LeftShoulder": "T8", "LeftUpperArm": "LeftShoulder", "LeftForeArm": "LeftUpperArm", "LeftHand": "LeftForeArm",
    "RightUpperLeg": "Pelvis", "RightLowerLeg": "RightUpperLeg", "RightFoot": "RightLowerLeg",
    "RightToe": "RightFoot",
    "LeftUpperLeg": "Pelvis", "LeftLowerLeg": "LeftUpperLeg", "LeftFoot": "LeftLowerLeg", "LeftToe": "LeftFoot",
})  # fmt: skip
"""Segment chain of the MVN user manual."""

MVN = Skeleton("mvn", MVN_SEGMENTS, MVN_PARENTS)
