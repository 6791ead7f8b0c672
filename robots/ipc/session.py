"""One running service and where its shared memory lies.

A session is a folder of slots and rings on the memory file system, one per user and robot, so that a second
`teleop serve` for the same robot is refused and `teleop ctl` finds the running one by the robot's name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from teleopd.robots.ipc.segment import memory_dir


class SessionBusy(RuntimeError):
    """Another process serves this robot."""

    def __init__(self, robot: str, pid: int) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"{robot} is already served by {who}; stop that one first (teleop ctl stop, or Ctrl-C there)")


class MotorsClaimed(SessionBusy):
    """The motor process of a service that was killed is still at work."""

    def __init__(self, robot: str, pid: int) -> None:
        RuntimeError.__init__(
            self, f"process {pid} still writes to the motors of {robot}: its service was killed and it brings the "
            "robot down; try again in ten seconds"
        )  # fmt: skip


class SessionMissing(RuntimeError):
    """No service runs for this robot."""

    def __init__(self, robot: str) -> None:
        super().__init__(f"no service runs for {robot}; start one with: teleop serve --robot {robot} ...")


def runtime_dir() -> Path:
    """Folder of all sessions of this user; TELEOPD_RUNTIME_DIR overrides it (tests run side by side)."""
    chosen = os.environ.get("TELEOPD_RUNTIME_DIR")
    return Path(chosen) if chosen else memory_dir() / f"teleopd-{os.getuid()}"


@dataclass(frozen=True, slots=True)
class Session:
    """The folder of one robot's session. Picklable: children of the service receive it."""

    robot: str
    folder: Path

    def path(self, name: str) -> Path:
        """Where the slot or ring `name` lies."""
        return self.folder / name

    @property
    def token(self) -> int:
        """The operator token: whoever may read this file may operate the robot.

        Raises:
            SessionMissing: no service runs.
        """
        try:
            return int((self.folder / "token").read_text())
        except (FileNotFoundError, ValueError):
            raise SessionMissing(self.robot) from None

    @property
    def pid(self) -> int:
        """Process id of the service, 0 when none is known."""
        try:
            return int((self.folder / "pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0


def session_of(robot: str) -> Session:
    """The session of a robot, whether or not a service runs.

    Raises:
        ValueError: the name is not of small letters, digits and _.
    """
    if not re.fullmatch(r"[a-z0-9_]+", robot):
        raise ValueError(f"'{robot}' is not a robot name (small letters, digits and _ only)")
    return Session(robot, runtime_dir() / robot)


def claim_motors(session: Session) -> int:
    """Become the one process that writes to the robot's motors; the claim ends with the process (or its descriptor).

    A motor process outlives a service that was killed, to bring the robot to stand; two of them would fight over it.

    Raises:
        MotorsClaimed: another process has the claim.
        FileNotFoundError: the session has no folder.
    """
    claim = os.open(session.path("motors.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(claim, 20, 0).decode()
        os.close(claim)
        raise MotorsClaimed(session.robot, int(holder or 0)) from None
    os.ftruncate(claim, 0)
    os.pwrite(claim, str(os.getpid()).encode(), 0)
    return claim


class SessionOwner:
    """Holds the lock of a session for the life of the service; its folder goes when the service ends."""

    def __init__(self, robot: str) -> None:
        """
        Raises:
            SessionBusy: another live process holds it.
            PermissionError: the runtime folder belongs to, or can be written by, somebody else.
            MotorsClaimed: the motor process of a killed service still works.
        """
        self.session = session_of(robot)
        folder = self.session.folder
        self._lock_path = folder.parent / f"{robot}.lock"
        self._lock = self._acquire()
        try:
            with contextlib.suppress(FileNotFoundError):
                os.close(claim_motors(self.session))
        except MotorsClaimed:
            os.close(self._lock)
            self._lock = -1
            raise
        shutil.rmtree(folder, ignore_errors=True)  # left by a service that was killed
        folder.mkdir(mode=0o700)
        (folder / "pid").write_text(str(os.getpid()))
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(str(secrets.randbits(62) | 1))

    def _acquire(self) -> int:
        """The locked file descriptor. A service that ends unlinks the file it holds, so the name is looked at again."""
        while True:
            _own_folder(self._lock_path.parent)
            try:
                lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:  # a service that ended removed the empty folder just now
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_ino == self._lock_path.stat().st_ino:
                    return lock
            except BlockingIOError:
                os.close(lock)
                raise SessionBusy(self.session.robot, self.session.pid) from None
            except FileNotFoundError:
                pass
            os.close(lock)

    def close(self) -> None:
        """Remove everything of the session and release the lock; safe to call twice."""
        if self._lock >= 0:
            shutil.rmtree(self.session.folder, ignore_errors=True)
            self._lock_path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # other robots' sessions
                self._lock_path.parent.rmdir()
            os.close(self._lock)
            self._lock = -1


def _own_folder(folder: Path) -> None:
    """Create the runtime folder, or check that nobody else can put things into it: it holds operator tokens.

    Raises:
        PermissionError: somebody else could.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    with contextlib.suppress(FileNotFoundError):  # removed just now by a service that ended; the caller tries again
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise PermissionError(
                f"{folder} is no folder, belongs to user {status.st_uid} or is writable by others; "
                "remove it or set TELEOPD_RUNTIME_DIR"
            )
