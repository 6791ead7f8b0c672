"""Which exceptions are the user's to mend: shown as one sentence, without a traceback."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot do what was asked; the text is the sentence."""


NO_HOME = "Could not determine home directory."
"""What pathlib says."""


def user_errors() -> tuple[type[Exception], ...]:
    """Of the whole project; imported here, since most commands fail with none of them and start sooner without."""
    from teleopd.drivers.source import SourceError
    from teleopd.launch.config import ConfigError
    from teleopd.launch.registry import UnknownName
    from teleopd.robots.ipc.segment import SchemaMismatch, SegmentMissing
    from teleopd.robots.ipc.session import SessionBusy, SessionMissing
    from teleopd.robots.link import RobotLinkError
    from teleopd.robots.model import UnknownJoint, WrongHardware
    from teleopd.robots.virtual.perturbation import UnknownPerturbation
    from teleopd.safety.limits import LimitError
    from teleopd.service.console.errors import ConsoleError
    from teleopd.service.policy.errors import PolicyError
    from teleopd.service.retarget.calibration import CalibrationError
    from teleopd.service.retarget.tables import TableError

    return (
        ConfigError, UnknownName, SourceError, RobotLinkError, SessionBusy, SessionMissing, SegmentMissing,
        SchemaMismatch, UnknownJoint, WrongHardware, UnknownPerturbation, LimitError, ConsoleError,
        PolicyError, CalibrationError, TableError,
    )  # fmt: skip


def sentence_of(error: Exception) -> str | None:
    """The sentence for the user, or None when the error is the program's own."""
    if isinstance(error, (CommandError, *user_errors())):
        return " ".join(str(error).split())
    if isinstance(error, OSError):  # the machine says no: a full disk, a folder that may not be written
        return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if isinstance(error, RuntimeError) and str(error) == NO_HOME:
        return "a path begins with ~, and the home folder it means is not known; write the path in full, or set HOME"
    return None
