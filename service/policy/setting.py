"""Whether a card fits the robot, the link, the loop and the metadata inside its ONNX."""

from __future__ import annotations

from collections.abc import Sequence

from teleopd.robots.model import RobotModel
from teleopd.service.policy.card import Card, GainSet, PerJoint, check_all_driven
from teleopd.service.policy.errors import (
    MetadataConflict,
    NeedsOdometry,
    Unsupported,
    WrongArmature,
    WrongRate,
    WrongRobot,
)
from teleopd.service.policy.kinematics import armature_of
from teleopd.service.policy.layout_checks import check_layout
from teleopd.service.policy.lookahead import check_delay
from teleopd.service.policy.onnx_file import OnnxFile
from teleopd.service.policy.terms import motor_indices

ARMATURE_RATIO = 3.0
"""Largest ratio between the rotor inertia of training and of the simulated robot. TWIST2 stays up at 0.8 to 1.3 of its
own and falls 5 times of 10 at 0; published sets for one motor differ by up to 2 (ankles 0.0036 and 0.0072)."""
METADATA_STEP = 1e-3
"""Exporters write three decimals."""


def check_setting(card: Card, model: RobotModel, loop_rate_hz: float, link: str, odometry: bool) -> None:
    """See that the card can run here.

    Raises:
        PolicyError: says what does not fit, with both values.
    """
    if card.robot != model.name:
        raise WrongRobot(card.name, card.robot, model.name)
    if card.rate_hz != loop_rate_hz:
        raise WrongRate(card.name, card.rate_hz, loop_rate_hz)
    if card.imu not in model.imu_sites:
        carried = " and the ".join(model.imu_sites)
        raise Unsupported(card.name, f"wants the {card.imu} IMU, the robot state carries the {carried} IMU")
    if card.lookahead_steps and card.lookahead == "none":
        raise Unsupported(card.name, f"wants {card.lookahead_steps} steps of future reference, a live stream has 0")
    check_delay(card)
    if card.odometry and not odometry:
        raise NeedsOdometry(card.name, link)
    motor_indices(card, card.driven_joints, model)
    check_all_driven(card, model)
    if card.armature is not None and link == "sim":
        _check_armature(card, card.armature, model)


def _check_armature(card: Card, wanted: PerJoint, model: RobotModel) -> None:
    found = armature_of(model.mjcf)
    for name, value in zip(model.joint_names, card.per_joint(wanted, model.joint_names), strict=True):
        if not value / ARMATURE_RATIO <= found[name] <= value * ARMATURE_RATIO:
            raise WrongArmature(card.name, name, float(value), found[name])


def check_metadata(card: Card, onnx: OnnxFile) -> None:
    """See that the card says what the metadata inside the ONNX say, or means something else on purpose.

    Keys of BeyondMimic and mjlab (`joint_names`, `joint_stiffness` ...) and of holosoma (`dof_names`, `kp`, `kd`).

    Raises:
        MetadataConflict: names both values.
    """
    metadata = onnx.metadata
    names = listed(metadata.get("joint_names") or metadata.get("dof_names") or "")
    if not names:
        return
    if names != list(card.action_joints):
        at = next((i for i, pair in enumerate(zip(names, card.action_joints, strict=False)) if pair[0] != pair[1]), -1)
        if at < 0:
            raise MetadataConflict(card.name, "joints of the action:", len(card.action_joints), len(names))
        raise MetadataConflict(card.name, f"joint {at} of the action is", card.action_joints[at], names[at])
    for set_name, gains in (("sim", card.gains.sim), ("real", card.gains.real)):
        _check_gains(card, set_name, gains, metadata.get("joint_stiffness") or metadata.get("kp"), "kp", names)
        _check_gains(card, set_name, gains, metadata.get("joint_damping") or metadata.get("kd"), "kd", names)
    for key, values in (("default_joint_pos", card.default_pose), ("action_scale", card.action.scale)):
        _check_values(card, key.replace("_", " "), values, metadata.get(key), names, "")
    check_layout(card, onnx)


def _check_gains(card: Card, set_name: str, gains: GainSet, text: str | None, what: str, names: list[str]) -> None:
    if gains.over_metadata:
        return
    way_out = f"; if the card is right, write over_metadata = true into gains.{set_name}"
    _check_values(card, f"{set_name} {what}", gains.kp if what == "kp" else gains.kd, text, names, way_out)


def _check_values(
    card: Card, what: str, values: PerJoint, text: str | None, names: Sequence[str], way_out: str
) -> None:
    if not text:
        return
    found = numbers(text)
    if len(found) == 1 and len(names) > 1:
        found *= len(names)
    if len(found) != len(names):
        raise MetadataConflict(card.name, f"{what} of joints:", len(names), len(found))
    for name, mine, theirs in zip(names, card.per_joint(values, names), found, strict=True):
        if abs(mine - theirs) > METADATA_STEP:
            raise MetadataConflict(card.name, f"{what} of {name}", f"{mine:g}", f"{theirs:g}", way_out)


def listed(text: str) -> list[str]:
    """Entries of a comma-separated or JSON list of words."""
    return [word for part in text.strip().strip("[]").split(",") if (word := part.strip().strip("\"'"))]


def numbers(text: str) -> list[float]:
    """Entries of a comma-separated or JSON list of numbers; what is no number is NaN."""
    values = []
    for word in listed(text):
        try:
            values.append(float(word))
        except ValueError:
            values.append(float("nan"))
    return values
