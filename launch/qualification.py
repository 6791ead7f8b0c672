"""A real link wants proof: the record of `teleop qualify` for this policy, robot and safety table."""

from __future__ import annotations

from pathlib import Path

from teleopd.launch.errors import CommandError
from teleopd.robots.model import RobotModel
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.qualification.record import Found, Identity, Record, identity, look_up, user_folder

VIRTUAL_LINKS = ("sim",)
"""Links to robots that nobody can be hurt by."""


def require_record(
    link: str, policy: ResolvedPolicy, robot: RobotModel, *, unqualified: bool = False, place: Path | None = None
) -> str:
    """What the run report says about the policy's qualification: 'not required', 'qualified KEY' or 'unqualified: why'.

    Args:
        unqualified: the operator takes a policy without a record.
        place: file or folder of records; the user's folder when not given.

    Raises:
        CommandError: the link is real, and there is no passing record; one sentence that says why not.
    """
    if link in VIRTUAL_LINKS:
        return "not required"
    who = identity(policy, robot)
    folder = user_folder() if place is None else place
    found = look_up(folder)
    why = _objection(who, found, folder)
    if why is None:
        return f"qualified {who.key[:12]}"
    if unqualified:
        return f"unqualified: {why}"
    raise CommandError(
        f"link '{link}' reaches a real robot, and {why}; run teleop qualify --policy {policy.onnx_path} "
        f"--robot {robot.name}, or give --unqualified, which is written into the report"
    )


def _objection(who: Identity, found: Found, folder: Path) -> str | None:
    """Why no record speaks for the policy; None: one does."""
    exact = [one for one in found.records if (one.identity.robot, one.identity.key) == (who.robot, who.key)]
    if exact:
        objections = [_against(one) for one in exact]
        return None if None in objections else objections[0]
    if found.broken and not found.records:
        return found.broken[0]
    named = f"policy '{who.policy}'"
    for one in (record.identity for record in found.records):
        if (one.robot, one.policy) == (who.robot, who.policy):
            return f"since {named} was qualified, {_listed(who.differs(one))} changed"
    for one in (record.identity for record in found.records):
        if one.onnx == who.onnx and one.robot != who.robot:
            return f"{named} was qualified on {one.robot}, not on {who.robot}"
    return f"{named} has no qualification record in {folder}"


def _against(record: Record) -> str | None:
    named = f"policy '{record.identity.policy}'"
    failed = record.failures()
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return f"{named} did not qualify: {failed[0].sentence()}{more}"
    if record.profile != "full":
        return f"{named} has only passed the {record.profile} profile, which is no proof for hardware"
    return None


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
