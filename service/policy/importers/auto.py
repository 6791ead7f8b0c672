"""Which importer a file wants, and what happens when two sources disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from teleopd.robots.model import RobotModel
from teleopd.service.policy.card import Card
from teleopd.service.policy.errors import CannotImport, MetadataConflict
from teleopd.service.policy.importers.deploy_yaml import find_deploy_yaml, import_deploy_yaml
from teleopd.service.policy.importers.holosoma import has_holosoma, import_holosoma
from teleopd.service.policy.importers.imported import Imported
from teleopd.service.policy.importers.onnx_metadata import has_metadata, import_metadata
from teleopd.service.policy.onnx_file import OnnxFile
from teleopd.service.policy.setting import METADATA_STEP

Source = Literal["metadata", "deploy_yaml"]


class Answers(NamedTuple):
    """What a user says where a file does not, or where two sources disagree."""

    prefer: Source | None = None
    """Which to believe."""
    action_scale: float | None = None
    default_pose: Mapping[str, float] | None = None
    """Joint or pattern -> [rad]."""


NO_ANSWERS = Answers()


def import_any(onnx: OnnxFile, robot: RobotModel, answers: Answers = NO_ANSWERS) -> Imported | None:
    """The card that an ONNX's metadata or its deploy.yaml describe; None when there is neither.

    Raises:
        MetadataConflict: they disagree and nobody said which is meant.
        CannotImport, BadCard: what there is cannot be used.
    """
    yaml_path = find_deploy_yaml(onnx.path)
    prefer = answers.prefer
    inside = has_metadata(onnx) or has_holosoma(onnx)
    if prefer == "deploy_yaml" and yaml_path is None:
        raise CannotImport(onnx.path, "there is no deploy.yaml beside it")
    if prefer == "metadata" and not inside:
        raise CannotImport(onnx.path, "it has no metadata of a kind known here")
    by_metadata = None
    if has_metadata(onnx):
        by_metadata = import_metadata(onnx, robot)
    elif has_holosoma(onnx):
        by_metadata = import_holosoma(
            onnx, robot, action_scale=answers.action_scale, default_pose=answers.default_pose
        )
    if yaml_path is None or prefer == "metadata":
        return by_metadata
    by_yaml = import_deploy_yaml(onnx, yaml_path, robot)
    if by_metadata is not None and prefer is None:
        _check_agreement(by_yaml.card, by_metadata.card)
    if by_metadata is not None and prefer == "deploy_yaml":
        return Imported(_over_metadata(by_yaml.card), (*by_yaml.notes, "conflicts: deploy.yaml was chosen"))
    return by_yaml


def _check_agreement(by_yaml: Card, by_metadata: Card) -> None:
    way_out = "; say which is meant with --prefer"
    if len(by_yaml.action_joints) != len(by_metadata.action_joints):
        counts = len(by_yaml.action_joints), len(by_metadata.action_joints)
        raise MetadataConflict("deploy.yaml", "joints of the action:", *counts, way_out)
    if by_yaml.action_joints != by_metadata.action_joints:
        pairs = zip(by_yaml.action_joints, by_metadata.action_joints, strict=True)
        at, (mine, theirs) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        raise MetadataConflict("deploy.yaml", f"joint {at} is", mine, theirs, way_out)
    names = by_yaml.action_joints
    for what, mine_all, theirs_all in (
        ("kp", by_yaml.gains.sim.kp, by_metadata.gains.sim.kp),
        ("kd", by_yaml.gains.sim.kd, by_metadata.gains.sim.kd),
        ("default pose", by_yaml.default_pose, by_metadata.default_pose),
        ("action scale", by_yaml.action.scale, by_metadata.action.scale),
    ):
        pairs_of = zip(names, by_yaml.per_joint(mine_all, names), by_yaml.per_joint(theirs_all, names), strict=True)
        for name, value, other in pairs_of:
            if abs(value - other) > METADATA_STEP:
                raise MetadataConflict("deploy.yaml", f"{what} of {name}", f"{value:g}", f"{other:g}", way_out)


def _over_metadata(card: Card) -> Card:
    replace = msgspec.structs.replace
    gains = replace(card.gains, sim=replace(card.gains.sim, over_metadata=True),
                    real=replace(card.gains.real, over_metadata=True))  # fmt: skip
    return replace(card, gains=gains)
