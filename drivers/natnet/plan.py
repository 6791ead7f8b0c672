"""Who is followed: Motive's model definitions -> where each of the 23 MVN segments comes from.

**Bones.** Motive's 21 bones lack two vertebrae. Ab stands for L5 and Chest for T12; L3 lies midway between them and
turns with Ab, T8 lies at 0.45 from Chest to Neck and turns with Chest, as on optical BVH files.

**Rigid bodies.** Without a skeleton, rigid bodies named after the head, both hands, and perhaps pelvis and feet are an
operator of whom only these segments are known; nothing is guessed in between. A rigid body's frame is the segment's
only if it was made, or its orientation reset, while the operator stood in the T-pose facing +Z.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.natnet.messages import BodyModel, ModelDef, SkeletonModel
from teleopd.drivers.source import ProtocolError

BONES: Mapping[str, tuple[str, ...]] = {
    "Pelvis": ("hip", "hips", "pelvis"),
    "Ab": ("ab", "spine"),
    "Chest": ("chest", "spine1", "spine2"),
    "Neck": ("neck",),
    "Head": ("head",),
}
"""Trunk bone -> names without case, prefix, blanks: Motive's, then FBX's and 3ds Max Biped's."""
LIMBS: Mapping[str, tuple[str, ...]] = {
    "Shoulder": ("{l}shoulder", "{left}shoulder", "{l}clavicle"),
    "UpperArm": ("{l}uarm", "{left}arm", "{l}upperarm"),
    "ForeArm": ("{l}farm", "{left}forearm", "{l}forearm"),
    "Hand": ("{l}hand", "{left}hand"),
    "UpperLeg": ("{l}thigh", "{left}upleg"),
    "LowerLeg": ("{l}shin", "{left}leg", "{l}calf"),
    "Foot": ("{l}foot", "{left}foot"),
    "Toe": ("{l}toe", "{left}toebase", "{l}toe0"),
}
OPTIONAL = ("Shoulder", "Toe", "Neck")
"""Segments a skeleton may lack; they come with their parent's pose, marked invalid."""
_PARENT_OF_OPTIONAL = {"Shoulder": "Chest", "Toe": "Foot", "Neck": "Chest"}
_DERIVED: Mapping[str, tuple[str, str, float]] = {
    "L5": ("Ab", "Ab", 0.0),
    "L3": ("Ab", "Chest", 0.5),
    "T12": ("Chest", "Chest", 0.0),
    "T8": ("Chest", "Neck", 0.45),
}
RIGID_BODY_NAMES: Mapping[str, tuple[str, ...]] = {
    "Head": ("head", "helmet"),
    "LeftHand": ("lefthand", "lhand", "handl", "handleft", "leftwrist"),
    "RightHand": ("righthand", "rhand", "handr", "handright", "rightwrist"),
    "Pelvis": ("pelvis", "hip", "hips", "waist"),
    "LeftFoot": ("leftfoot", "lfoot", "footl", "footleft", "leftankle"),
    "RightFoot": ("rightfoot", "rfoot", "footr", "footright", "rightankle"),
}
"""Segment -> names of a rigid body that stands for it."""
RIGID_BODIES_NEEDED = ("Head", "LeftHand", "RightHand")


class Plan(NamedTuple):
    """Where each MVN segment comes from: ids of two bodies, and how far from the first to the second it lies."""

    label: str
    skeleton: int | None
    """Id of the skeleton; None for rigid bodies."""
    ids: tuple[int, ...]
    """Body ids that are read; low 16 bits for bones."""
    near: npt.NDArray[np.intp]
    """Per segment: index into `ids`; -1 where nothing tells it."""
    far: npt.NDArray[np.intp]
    share: Array
    """(23, 1)."""
    known: npt.NDArray[np.bool_]
    """Segments that have a body of their own, or lie between two."""
    offsets: Array
    """Offsets of `ids` from their parents in Motive's axes [m]; empty for rigid bodies."""


def plan(models: ModelDef, wanted: str | None) -> Plan:
    """Whom to follow: the only skeleton, the one named `wanted`, or rigid bodies named after body parts.

    Raises:
        ProtocolError: two_skeletons, no_such_skeleton, missing_bones, no_person; the sentence names what there is.
    """
    names = [s.name for s in models.skeletons]
    if wanted is not None:
        chosen = [s for s in models.skeletons if s.name == wanted]
        if not chosen:
            there = ", ".join(f"'{name}'" for name in names) or "none"
            raise ProtocolError("no_such_skeleton", f"skeleton '{wanted}' is not streamed; streamed skeletons: {there}")
        return _skeleton_plan(chosen[0])
    if len(names) > 1:
        there = ", ".join(f"'{name}'" for name in names)
        raise ProtocolError("two_skeletons", f"{len(names)} skeletons are streamed: {there}; choose one by name")
    return _skeleton_plan(models.skeletons[0]) if names else _rigid_plan(models.rigid_bodies)


def _skeleton_plan(model: SkeletonModel) -> Plan:
    found: dict[str, BodyModel] = {}
    by_name = {_plain(each.name, model.name): each for each in model.bones}
    for each in model.bones:  # a prefix other than the skeleton's name
        by_name.setdefault(_plain(each.name.replace(":", "_").rpartition("_")[2], ""), each)
    for role, names in _roles().items():
        bone = next((by_name[name] for name in names if name in by_name), None)
        if bone is not None:
            found[role] = bone
    missing = [role for role in _roles() if role not in found and not role.endswith(OPTIONAL)]
    if missing:
        raise ProtocolError(
            "missing_bones",
            f"skeleton '{model.name}' has no bone for {', '.join(missing)}; "
            f"its bones are {', '.join(bone.name for bone in model.bones)}",
        )
    roles = list(found)
    ids = tuple(found[role].id & 0xFFFF for role in roles)
    near, far, share, known = [], [], [], []
    for segment in MVN_SEGMENTS:
        a, b, fraction = _DERIVED.get(segment, (segment, segment, 0.0))
        known.append(a in found and b in found)
        near.append(roles.index(a if a in found else _stand_in(a)))
        far.append(roles.index(b) if b in found else near[-1])
        share.append(fraction)
    offsets = np.array([found[role].offset for role in roles])
    return Plan(
        f"skeleton '{model.name}'", model.id, ids, np.array(near), np.array(far), np.array(share)[:, None],
        np.array(known), offsets,
    )  # fmt: skip


def _rigid_plan(models: Sequence[BodyModel]) -> Plan:
    found: dict[str, int] = {}
    for body in models:
        for segment, names in RIGID_BODY_NAMES.items():
            if _plain(body.name, "") in names:
                found.setdefault(segment, body.id)
    if not all(segment in found for segment in RIGID_BODIES_NEEDED):
        there = ", ".join(f"'{body.name}'" for body in models) or "none"
        raise ProtocolError(
            "no_person",
            "neither a skeleton nor rigid bodies named Head, LeftHand and RightHand are streamed "
            f"(rigid bodies: {there}); enable 'Skeletons' in Motive's streaming settings",
        )
    roles = list(found)
    near = np.array([roles.index(segment) if segment in found else -1 for segment in MVN_SEGMENTS])
    return Plan(
        "rigid bodies " + ", ".join(roles), None, tuple(found.values()), near, near, np.zeros((len(MVN_SEGMENTS), 1)),
        near >= 0, np.empty((0, 3)),
    )  # fmt: skip


def _roles() -> dict[str, tuple[str, ...]]:
    """Bone role -> its possible names."""
    table = dict(BONES)
    for side, letter in (("Left", "l"), ("Right", "r")):
        table |= {
            side + segment: tuple(name.format(l=letter, left=side.lower()) for name in names)
            for segment, names in LIMBS.items()
        }
    return table


def _stand_in(role: str) -> str:
    side = next((s for s in ("Left", "Right") if role.startswith(s)), "")
    parent = _PARENT_OF_OPTIONAL[role.removeprefix(side)]
    return side + parent if parent == "Foot" else parent


def _plain(name: str, prefix: str) -> str:
    """A bone's name without the skeleton's, 'Bip01', case, blanks and punctuation."""
    for separator in ("_", ":", " "):
        name = name.removeprefix(prefix + separator)
    plain = "".join(c for c in name.casefold() if c.isalnum())
    for common in ("bip01", "bip001"):
        plain = plain.removeprefix(common) or "pelvis"
    return plain
