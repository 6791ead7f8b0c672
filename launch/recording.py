"""What `--record DIR` means for a run: a folder checked before anything starts, and what every episode says ran."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from teleopd.drivers.home import expanded
from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.launch.config import RunConfig
from teleopd.launch.errors import CommandError
from teleopd.launch.outputs import folder_to_make, output_folder
from teleopd.launch.processes import Processes
from teleopd.robots.ipc.session import Session
from teleopd.robots.model import RobotModel
from teleopd.service.capture.part_file import ENDING, PART, is_being_written
from teleopd.service.capture.records import RecorderStatus, as_text
from teleopd.service.capture.wishes import EpisodeWishes
from teleopd.service.policy.card_writer import card_text
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.qualification.record import identity, look_up, robot_sha256, user_folder
from teleopd.service.streams import Bus

if TYPE_CHECKING:
    from teleopd.service.capture.cameras.spec import CameraSpec
    from teleopd.service.capture.writer import EpisodeHeader

END_S = 5.0
"""The parent waits so long for the recorder to close the last episode."""
MOST_TEXT = 100_000
"""Characters of a task or a note."""


def recording_folder(config: RunConfig) -> Path | None:
    """The folder to record into, not yet made; None without `--record`.

    Raises:
        CommandError: it cannot be written to, or what writes episodes is not installed.
    """
    for key in ("task", "notes"):
        if len(getattr(config, key)) > MOST_TEXT:
            raise CommandError(f"{key} has {len(getattr(config, key))} characters; {MOST_TEXT} are the most")
    if not config.record:
        return None
    if importlib.util.find_spec("mcap") is None:
        raise CommandError("recording needs mcap; install it with: pip install 'teleopd[capture]'")
    cameras_of(config)
    return folder_to_make("--record", Path(config.record))


def cameras_of(config: RunConfig) -> tuple[CameraSpec, ...]:
    """The cameras of the run.

    Raises:
        CommandError: one that cannot be used.
    """
    from teleopd.service.capture.cameras.spec import CameraError, camera_specs

    try:
        return camera_specs(config.camera)
    except CameraError as error:
        raise CommandError(str(error)) from None


def header_of(config: RunConfig, model: RobotModel, policy: ResolvedPolicy | None, operator: str) -> EpisodeHeader:
    """What every episode of the run says about it. `operator`: file of the operator's calibration, or empty."""
    from teleopd.service.capture.writer import EpisodeHeader

    metadata = {
        "operator": config.operator, "task": config.task, "notes": config.notes, "success": "",
        "source": config.source, "link": config.link, "config_sha256": config.sha256,
        "robot_sha256": robot_sha256(model), "software_version": importlib.metadata.version("teleopd"),
        "policy": policy.card.name if policy else "", "policy_sha256": policy.card.model.sha256 if policy else "",
    }  # fmt: skip
    cameras = cameras_of(config)
    shown = msgspec.structs.replace(config, camera={spec.name: spec.shown for spec in cameras})  # no passwords
    attachments = {"config.json": msgspec.json.encode(shown, order="sorted"), "robot.xml": model.mjcf.read_bytes()}
    if policy is not None:
        attachments["policy_card.toml"] = card_text(policy.card, policy.notes).encode()
        attachments |= _qualification(config, model, policy)
    if operator:
        attachments["operator.toml"] = Path(operator).read_bytes()
    names = tuple(spec.name for spec in cameras)
    return EpisodeHeader(model.name, model.joint_names, MVN_SEGMENTS, metadata, attachments, names)


def _qualification(config: RunConfig, model: RobotModel, policy: ResolvedPolicy) -> dict[str, bytes]:
    """The policy's record of `teleop qualify`, where there is one."""
    who = identity(policy, model)
    place = expanded(config.qualification, CommandError, "--qualification ") if config.qualification else user_folder()
    for record in look_up(place).records:
        if (record.identity.robot, record.identity.key) == (who.robot, who.key):
            return {"qualification.json": msgspec.json.encode(record)}
    return {}


def start_recorder(
    processes: Processes, session: Session, folder: Path | None, config: RunConfig, model: RobotModel,
    policy: ResolvedPolicy | None, operator: str,
) -> None:  # fmt: skip
    """Make the folder and start the recorder's process; nothing without a folder. `operator`: file of a calibration,
    or empty."""
    cameras = cameras_of(config)
    if folder is not None:
        output_folder("--record", folder)
        torn = sum(not is_being_written(part) for part in folder.glob(f"*{ENDING}{PART}"))
        if torn:
            processes.say(f"{torn} torn episodes lie in {folder}; teleop capture recover {folder} opens them")
        processes.start(
            "recorder", session=session, robot=config.robot, folder=str(folder),
            header=header_of(config, model, policy, operator), balances=policy is not None,
        )  # fmt: skip
        if cameras:
            processes.start("cameras", session=session, robot=config.robot, cameras=cameras)


def end_recording(bus: Bus, session: Session, processes: Processes, say: Callable[[str], None]) -> str | None:
    """Close the last episode; returns its path, or the folder where there were several; None where nothing recorded.

    Waits at most `END_S`.
    """
    if "recorder" not in processes.children:
        return None
    slot, asked_ns = bus.slot("recorder_status"), time.monotonic_ns()
    EpisodeWishes(bus.slot("episode_serve"), session.token).wish("end", asked_ns)
    deadline = time.monotonic() + END_S
    status: RecorderStatus | None = slot.read()
    while _waits(status, asked_ns) and processes.alive("recorder") and time.monotonic() < deadline:
        time.sleep(0.01)
        status = slot.read()
    if status is None:
        say("the recorder never spoke; nothing was recorded")
        return None
    path = as_text(status.path)
    if _waits(status, asked_ns):
        say("the recorder did not close its episode; teleop capture recover opens what it wrote")
        return path or None
    say(f"recording: {as_text(status.sentence)}")
    return str(Path(path).parent) if status.episodes > 1 else path or None


def _waits(status: RecorderStatus | None, asked_ns: int) -> bool:
    return status is None or status.taken_ns < asked_ns
