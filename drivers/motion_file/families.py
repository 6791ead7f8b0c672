"""Skeleton families of BVH files: which joint is which MVN segment, the unit, and how the rest pose is to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file.errors import MotionFileError

SIDES = (("Left", "L", "left"), ("Right", "R", "right"))
Axis = str
"""A signed axis of the joint's own frame: '+x', '-z' ..."""
OPTIONAL = ("Shoulder", "Toe")
"""Limb segments that are derived when the file lacks their joint."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a segment's proximal joint lies: at `joint`, or `fraction` of the way along its bone to `towards`.

    The segment turns with `joint`, so derived segments are rigid parts of a real bone.
    """

    joint: str
    towards: str = ""
    fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class Family:
    """One way of naming and posing a skeleton."""

    name: str
    unit_m: float
    """Metres per file unit."""
    trunk: Mapping[str, Origin]
    limb: Mapping[str, str]
    """Limb segment without its side -> joint name with {0} Left/Right, {1} L/R."""
    axes: Mapping[str, tuple[Axis, Axis]] = field(default_factory=dict)
    """Empty: the zero pose is an upright person with identity joint frames (T-pose or arms down, seen from OFFSETs).
    Otherwise bone-axis frames: segment -> (axis that points forward, axis that points up) in the T-pose."""
    sole_drop_deg: float = 0.0
    """Bone-axis families: the foot bone (ankle to ball) points this far below the horizontal in flat stance;
    medians over the stance frames of the clips."""
    toe_drop_deg: float = 0.0
    """The same for the toe bone."""
    elbow_roll_deg: float = 0.0
    """The elbow hinge of the rest T-pose is rolled this much about the arm, away from the vertical."""
    rest_first: bool = False
    """Frame 0 is the rest pose, not motion."""

    def origins(self) -> dict[str, Origin]:
        """Every MVN segment's origin, in MVN order."""
        table = dict(self.trunk)
        for side, letter, _ in SIDES:
            table |= {side + segment: Origin(name.format(side, letter)) for segment, name in self.limb.items()}
        return {segment: table[segment] for segment in MVN_SEGMENTS}

    def joints(self) -> tuple[set[str], set[str]]:
        """Names of the joints that must exist, and of those that may be missing."""
        needed: set[str] = set()
        optional: set[str] = set()
        for segment, origin in self.origins().items():
            into = optional if segment.endswith(OPTIONAL) else needed
            into |= {origin.joint} | ({origin.towards} if origin.towards else set())
        return needed, optional - needed


def _limb(shoulder: str, arm: str, leg: str, toe: str) -> dict[str, str]:
    """The limb table from 'UpperArm ForeArm Hand' and 'UpperLeg LowerLeg Foot' joint patterns."""
    names = [shoulder, *arm.split(), *leg.split(), toe]
    keys = ["Shoulder", "UpperArm", "ForeArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "Toe"]
    return dict(zip(keys, names, strict=True))


def _axes(trunk: str, arms: tuple[str, str], legs: tuple[str, str], **other: str) -> dict[str, tuple[Axis, Axis]]:
    """Segment -> (forward, up) from 'forward up' words for the trunk and for the (left, right) limbs."""
    table: dict[str, str] = {s: trunk for s in ("Pelvis", "L5", "L3", "T12", "T8", "Neck", "Head")}
    for (side, _, _), arm, leg in zip(SIDES, arms, legs, strict=True):
        table |= {side + s: arm for s in ("Shoulder", "UpperArm", "ForeArm", "Hand")}
        table |= {side + s: leg for s in ("UpperLeg", "LowerLeg")}
    table |= other
    pairs = {segment: tuple(words.split()) for segment, words in table.items()}
    return {segment: (p[0], p[1]) for segment, p in pairs.items()}


def _chain(**origins: str) -> dict[str, Origin]:
    """Trunk table from 'Joint' or 'Joint>Next fraction'."""
    table = {}
    for segment, text in origins.items():
        where, _, fraction = text.partition(" ")
        joint, _, towards = where.partition(">")
        table[segment] = Origin(joint, towards, float(fraction or 0.0))
    return table


_CGSPEED_LIMB = _limb("{0}Shoulder", "{0}Arm {0}ForeArm {0}Hand", "{0}UpLeg {0}Leg {0}Foot", "{0}ToeBase")
_MAX_LIMB = _limb("{0}Collar", "{0}Shoulder {0}Elbow {0}Wrist", "{0}Hip {0}Knee {0}Ankle", "{0}Toe")

# Heights of the vertebrae above the hips as fractions of hips to neck: 0.18, 0.38, 0.56, 0.75 (Xsens exports);
# derived spine segments sit on the real bone nearest to that. Frame axes of the bone-axis families were read off
# standing frames and off the knees' and elbows' hinge axes (exact to 1e-3 on the SOMA and Bandai-Namco clips).
FAMILIES: tuple[Family, ...] = (
    Family(
        name="Xsens",
        unit_m=0.01,
        trunk=_chain(Pelvis="Hips", L5="Chest", L3="Chest2", T12="Chest3", T8="Chest4", Neck="Neck", Head="Head"),
        limb=_MAX_LIMB,
    ),
    Family(
        name="CMU (3ds Max names)",
        unit_m=0.056444,
        trunk=_chain(
            Pelvis="Hips", L5="lowerback>Chest 0.5", L3="Chest", T12="Chest>Chest2 0.5", T8="Chest2",
            Neck="lowerneck", Head="Head",
        ),
        limb=_MAX_LIMB,
        elbow_roll_deg=30.0,
        rest_first=True,
    ),
    Family(
        name="CMU (MotionBuilder names)",
        unit_m=0.056444,
        trunk=_chain(
            Pelvis="Hips", L5="LowerBack>Spine 0.5", L3="Spine", T12="Spine>Spine1 0.5", T8="Spine1",
            Neck="Neck", Head="Head",
        ),
        limb=_CGSPEED_LIMB,
        elbow_roll_deg=30.0,
        rest_first=True,
    ),
    Family(
        name="optical",
        unit_m=0.01,
        trunk=_chain(Pelvis="Hips", L5="Spine", L3="Spine1", T12="Spine2", T8="Spine3", Neck="Neck", Head="Head"),
        limb=_CGSPEED_LIMB,
    ),
    Family(
        name="LAFAN1",
        unit_m=0.01,
        trunk=_chain(
            Pelvis="Hips", L5="Spine", L3="Spine1", T12="Spine2", T8="Spine2>Neck 0.45", Neck="Neck", Head="Head"
        ),
        limb=_limb("{0}Shoulder", "{0}Arm {0}ForeArm {0}Hand", "{0}UpLeg {0}Leg {0}Foot", "{0}Toe"),
        axes=_axes(
            "+y +x", ("-y +z", "-y -z"), ("+y -x", "+y -x"),
            LeftFoot="+x +y", LeftToe="+x +y", RightFoot="+x +y", RightToe="+x +y",
        ),
        sole_drop_deg=24.0,
        toe_drop_deg=2.5,
    ),
    Family(
        name="Bandai-Namco",
        unit_m=0.01,
        trunk=_chain(
            Pelvis="Hips", L5="Hips>Spine 0.5", L3="Spine", T12="Chest", T8="Chest>Neck 0.4", Neck="Neck", Head="Head"
        ),
        limb=_limb("Shoulder_{1}", "UpperArm_{1} LowerArm_{1} Hand_{1}", "UpperLeg_{1} LowerLeg_{1} Foot_{1}",
                   "Toes_{1}"),
        axes=_axes(
            "+y +x", ("+z +y", "-z -y"), ("+z -x", "-z +x"), Pelvis="+z +x", L5="+z +x",
            LeftFoot="+x +z", LeftToe="+x +z", RightFoot="-x -z", RightToe="-x -z",
        ),
        sole_drop_deg=39.6,
        toe_drop_deg=20.0,
    ),
    Family(
        name="SOMA",
        unit_m=0.01,
        trunk=_chain(
            Pelvis="Hips", L5="Spine1", L3="Spine2", T12="Chest", T8="Chest>Neck1 0.45", Neck="Neck1", Head="Head"
        ),
        limb=_limb("{0}Shoulder", "{0}Arm {0}ForeArm {0}Hand", "{0}Leg {0}Shin {0}Foot", "{0}ToeBase"),
        axes=_axes(
            "+y +x", ("+y -z", "-y +z"), ("-y -x", "+y +x"),
            LeftFoot="+x -y", LeftToe="+x -y", RightFoot="-x +y", RightToe="-x +y",
        ),
        sole_drop_deg=19.5,
        toe_drop_deg=14.5,
    ),
)  # fmt: skip


def detect_family(names: set[str], where: str) -> Family:
    """The family all of whose needed joints are in `names`; the most specific where several fit.

    Raises:
        MotionFileError: none fits; says what the nearest one lacks and which families are known.
    """
    fits = [f for f in FAMILIES if f.joints()[0] <= names]
    if fits:
        return max(fits, key=lambda f: len(set().union(*f.joints()) & names))
    known = ", ".join(f.name for f in FAMILIES)
    nearest = max(FAMILIES, key=lambda f: len(f.joints()[0] & names) / len(f.joints()[0]))
    missing = sorted(nearest.joints()[0] - names)
    if len(missing) == len(nearest.joints()[0]):
        raise MotionFileError(f"{where}: none of its {len(names)} joints is known; skeletons read: {known}")
    raise MotionFileError(
        f"{where}: unknown skeleton: nearest is {nearest.name}, but joints {', '.join(missing)} are missing; "
        f"skeletons read: {known}"
    )
