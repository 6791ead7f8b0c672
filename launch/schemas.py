"""Versions of every file and message that other programs read."""

from __future__ import annotations


def schema_versions() -> dict[str, str]:
    """What it is of -> its version."""
    from teleopd.drivers.network.wire import SCHEMA as POSE
    from teleopd.service.capture.manifest import SCHEMA as MANIFEST
    from teleopd.service.capture.schemas import SCHEMA as EPISODE
    from teleopd.service.policy.card_reader import SCHEMA as CARD
    from teleopd.service.qualification.record import SCHEMA as QUALIFICATION
    from teleopd.service.retarget.operator_file import SCHEMA as OPERATOR
    from teleopd.service.retarget.tables import SCHEMA as TABLE
    from teleopd.service.telemetry.messages import VERSION as TELEMETRY
    from teleopd.service.telemetry.report import SCHEMA as REPORT

    return {
        "run report": REPORT, "episode": EPISODE, "episode manifest": MANIFEST, "qualification": QUALIFICATION,
        "policy card": str(CARD), "retarget table": str(TABLE), "operator": str(OPERATOR), "network pose": POSE,
        "telemetry": TELEMETRY,
    }  # fmt: skip
