"""What this folder raises: at set-up only, each message one sentence with the offending value."""

from __future__ import annotations

from teleopd.drivers.source import SourceUnavailable


class MotionFileError(SourceUnavailable, ValueError):
    """A motion that cannot be used: says where and what would be right."""
