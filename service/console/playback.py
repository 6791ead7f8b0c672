"""A recorded episode as instants to be drawn: robot, ghost, person, mode, what was said, pictures. No browser here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.robots.model import Array, RobotModel
from teleopd.safety.words import Mode
from teleopd.service.capture.episode import Episode, Stream
from teleopd.service.capture.video import Video
from teleopd.service.console.errors import NotShown
from teleopd.service.console.scene import SceneState

LATEST_EVENTS = 4
FRESH_NS = 1_000_000_000
"""A reference or a person older than this at an instant is not shown."""
KEY_START = b"\0\0\0\1\x67"
"""A key frame begins with its parameter sets."""


class Instant(NamedTuple):
    """What is shown at one time."""

    scene: SceneState
    said: tuple[tuple[float, str], ...]
    """(time [s], text) of the newest events up to then, newest first."""


class Playback:
    """Looks an episode up by time; t = 0 is its first sample."""

    def __init__(self, episode: Episode, robot: RobotModel) -> None:
        """
        Raises:
            NotShown: it has neither the robot's state nor a reference, or joints that the robot does not have.
        """
        if tuple(episode.joint_names) != tuple(robot.joint_names):
            raise NotShown(
                f"{episode.path} has {len(episode.joint_names)} joints, which are not those of {robot.name} now"
            )
        self.episode = episode
        self._state = _filled(episode.streams.get("state"))
        shaped = _filled(episode.streams.get("shaped_reference"))
        self._reference = shaped or _filled(episode.streams.get("reference"))
        if self._state is None and self._reference is None:
            raise NotShown(f"{episode.path} holds neither the robot's state nor a reference to show")
        self._human = _filled(episode.streams.get("human"))
        bodies = json.loads(episode.metadata.get("human_bodies", "[]"))
        self._family = "mvn" if tuple(bodies) == tuple(MVN_SEGMENTS) else ""
        self._modes = [(t, str(event["mode"])) for t, event in episode.events if event.get("kind") == "mode"]
        self.duration_s = episode.duration_s
        self.cameras = {name: PictureAt(video) for name, video in episode.videos.items() if video.n}

    def at(self, t_s: float) -> Instant:
        """The instant `t_s` [s] after the beginning, held within the episode."""
        t_ns = self.episode.t_start_ns + round(min(max(t_s, 0.0), self.duration_s) * 1e9)
        reference = _row(self._reference, t_ns, FRESH_NS)
        person = _row(self._human, t_ns, FRESH_NS)
        human = None if person is None else person["pos_w"].reshape(-1, 3)
        scene = self._robot(t_ns, reference)._replace(
            t_s=t_s, mode=self._mode(t_ns), human_pos_w=human, family=self._family
        )
        latest = [(t, event) for t, event in self.episode.events if t <= t_ns][-LATEST_EVENTS:]
        begin = self.episode.t_start_ns
        return Instant(scene, tuple(((t - begin) / 1e9, str(event.get("text", ""))) for t, event in reversed(latest)))

    def _robot(self, t_ns: int, reference: Mapping[str, Array] | None) -> SceneState:
        """Without a robot (preview) the reference itself is drawn as the robot, as in the live view."""
        state = _row(self._state, t_ns)
        if state is None:
            alone = _row(self._reference, t_ns)
            assert alone is not None  # the constructor has seen one of them
            return SceneState(0.0, None, alone["joint_pos"], alone["root_quat_w"], alone["root_pos_w"])
        root = state["root_pos_w"] if state["has_odometry"][0] else None
        scene = SceneState(0.0, None, state["joint_pos"], state["imu_quat_w"], root)
        if reference is None:
            return scene
        return scene._replace(
            reference_q=reference["joint_pos"], reference_quat_w=reference["root_quat_w"],
            reference_pos_w=reference["root_pos_w"],
        )  # fmt: skip

    def _mode(self, t_ns: int) -> Mode | None:
        name: str | None = next((mode for t, mode in reversed(self._modes) if t <= t_ns), None)
        return Mode[name] if name is not None and name in Mode.__members__ else None


class PictureAt:
    """Pictures of one camera by time. Going on is cheap; going back decodes from the key frame before."""

    def __init__(self, video: Video) -> None:
        self._video = video
        self._keys = [i for i, data in enumerate(video.data) if data.startswith(KEY_START)] or [0]
        self._codec: Any = None
        self._next = 0
        self._shown: tuple[int, Any] = (-1, None)

    def at(self, t_ns: int) -> Any:
        """The picture taken last at that time, (height, width, 3) uint8; None before the first, or if it is damaged."""
        index = int(np.searchsorted(self._video.t_ns, t_ns, "right")) - 1
        if index < 0 or index == self._shown[0]:
            return None if index < 0 else self._shown[1]
        key = max((i for i in self._keys if i <= index), default=0)
        if self._codec is None or index < self._next or key > self._next:
            self._begin(key)
        picture = None
        for i in range(self._next, index + 1):
            picture = self._decode(self._video.data[i])
        self._next = index + 1
        self._shown = index, None if picture is None else picture.to_ndarray(format="rgb24")
        return self._shown[1]

    def _begin(self, key: int) -> None:
        import av

        self._codec = av.CodecContext.create("h264", "r")
        self._codec.thread_type = "NONE"
        self._codec.flags |= av.codec.context.Flags.low_delay
        self._next = key

    def _decode(self, data: bytes) -> Any:
        import av

        try:
            frames = self._codec.decode(av.Packet(data))
        except (OSError, ValueError):
            return None
        return frames[-1] if frames else None


def _filled(stream: Stream | None) -> Stream | None:
    return stream if stream is not None and stream.n else None


def _row(stream: Stream | None, t_ns: int, oldest_ns: int = 0) -> Mapping[str, Array] | None:
    """The newest sample at that time, or the first one; None where it is older than allowed, or holds no numbers."""
    if stream is None:
        return None
    index = max(int(np.searchsorted(stream.t_ns, t_ns, "right")) - 1, 0)
    if oldest_ns and abs(int(stream.t_ns[index]) - t_ns) > oldest_ns:
        return None
    return {name: np.nan_to_num(values[index]) for name, values in stream.columns.items()}
