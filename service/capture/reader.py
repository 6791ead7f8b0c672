"""An episode's file -> `Episode`: whole or torn; what cannot be read is one sentence."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.service.capture import manifest, observation
from teleopd.service.capture.episode import Episode, Stream
from teleopd.service.capture.mcap_file import Contents, EpisodeError, RawMessage, read_records
from teleopd.service.capture.protobuf import LayoutError, Packing
from teleopd.service.capture.schemas import EVENT_TOPIC, SCHEMA, VERSION, ChannelError, channel_of
from teleopd.service.capture.video import CAMERA, SCHEMA_NAME, Video, picture_of, size_of

BATCH = 4096
"""Messages unpacked at once."""


def read_episode(path: Path, streams: Collection[str] | None = None) -> Episode:
    """Read the whole episode into memory. A torn file gives what whole chunks of it hold.

    Args:
        streams: only these (events always), a camera as 'camera/NAME'; all when not given.

    Raises:
        EpisodeError: absent, unreadable, empty, foreign, of a newer release, or without a single sample; one sentence.
    """
    contents = Contents()
    gathered: dict[int, _Gathered] = {}
    events: list[tuple[int, dict[str, Any]]] = []
    for messages in read_records(path, contents):
        about = _identity(path, contents)
        to_mono_ns = int(about["t0_mono_ns"]) - int(about["t0_wall_ns"])
        for message in messages:
            found = gathered.get(message.channel_id)
            if found is None:
                found = gathered[message.channel_id] = _gather(path, contents, message.channel_id, streams)
            if found.kind in ("stream", "camera", "observation"):
                found.add(message, to_mono_ns)
            elif found.kind == "event":
                events.append((message.log_time + to_mono_ns, _event(message.data)))
    metadata = _identity(path, contents)
    try:
        made = {found.stream: found.result() for found in gathered.values() if found.kind == "stream"}
        made |= {found.stream: _observations(found) for found in gathered.values() if found.kind == "observation"}
        videos = _videos(gathered.values())
    except (LayoutError, OverflowError) as error:
        raise EpisodeError(f"{path}: {error}") from None
    if not made and not videos and not events and streams is None:
        raise EpisodeError(f"{path} holds no samples{f' ({contents.torn_at})' if contents.torn_at else ''}")
    back = {found.stream: found.time_back for found in gathered.values() if found.kind and found.time_back}
    metadata = {**metadata, "damaged_chunks": str(contents.damaged_chunks)}
    if back:
        metadata["time_back"] = json.dumps(back)
    if not contents.complete:
        metadata["complete"] = "false"
    metadata.update(manifest.label_of(path))
    return Episode(
        path, metadata["robot"], tuple(json.loads(metadata["joint_names"])), made, metadata,
        {attachment.name: attachment.data for attachment in contents.attachments}, _dropped(metadata),
        tuple(sorted(events, key=lambda event: event[0])), videos,
    )  # fmt: skip


@dataclass(slots=True)
class _Gathered:
    """What was read of one channel."""

    kind: str
    """'stream', 'observation', 'camera', 'event', or '' for one that is left out."""
    stream: str = ""
    packing: Packing | None = None
    times: list[int] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)
    parts: list[list[Array]] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)

    def add(self, message: RawMessage, to_mono_ns: int) -> None:
        self.times.append(message.log_time + to_mono_ns)
        self.waiting.append(message.data)
        if self.packing is not None and len(self.waiting) >= BATCH:
            self._unpack()

    def _unpack(self) -> None:
        assert self.packing is not None
        self.parts.append(self.packing.unpack(self.waiting))
        self.waiting = []

    @property
    def time_back(self) -> int:
        """Samples whose time is before that of the sample written before them."""
        return int((np.diff(np.array(self.times, dtype=np.int64)) < 0).sum())

    def result(self) -> Stream:
        """In the order of time; samples of one time stay in the order they came."""
        assert self.packing is not None
        self._unpack()
        t_ns: npt.NDArray[np.int64] = np.array(self.times, dtype=np.int64)
        arrays = [np.concatenate(parts) for parts in zip(*self.parts, strict=True)]
        if np.any(np.diff(t_ns) < 0):
            order = np.argsort(t_ns, kind="stable")
            t_ns, arrays = t_ns[order], [array[order] for array in arrays]
        return Stream(t_ns, {c.name: array for c, array in zip(self.packing.columns, arrays, strict=True)})


def _observations(found: _Gathered) -> Stream:
    t_ns: npt.NDArray[np.int64] = np.array(found.times, dtype=np.int64)
    order = np.argsort(t_ns, kind="stable")
    table = observation.columns(found.waiting)
    return Stream(t_ns[order], {name: values[order] for name, values in table.items()})


def _videos(gathered: Iterable[_Gathered]) -> dict[str, Video]:
    """Camera -> pictures. Of a camera that changed its size, those of the size it had longest."""
    found: dict[str, Video] = {}
    for one in gathered:
        name = one.stream.removeprefix(CAMERA)
        if one.kind == "camera" and (name not in found or len(one.times) > found[name].n):
            t_ns: npt.NDArray[np.int64] = np.array(one.times, dtype=np.int64)
            found[name] = Video(t_ns, tuple(picture_of(data) for data in one.waiting), one.size)
    return found


def _gather(path: Path, contents: Contents, channel_id: int, streams: Collection[str] | None) -> _Gathered:
    record = contents.channels.get(channel_id)
    if record is None:  # its description lay in a chunk that is damaged
        return _Gathered("")
    if record.topic == EVENT_TOPIC:
        return _Gathered("event")
    stream = record.metadata.get("stream", "")
    if stream.startswith(CAMERA) and contents.schemas[record.schema_id].name == SCHEMA_NAME:
        wanted = streams is None or stream in streams
        return _Gathered("camera" if wanted else "", stream, size=size_of(record.metadata))
    if stream == observation.STREAM and contents.schemas[record.schema_id].name == observation.SCHEMA_NAME:
        return _Gathered("observation" if streams is None or stream in streams else "", stream)
    if record.message_encoding != "protobuf" or "columns" not in record.metadata:
        return _Gathered("")  # somebody else's channel
    try:
        channel = channel_of(record.topic, record.metadata)
    except ChannelError as error:
        raise EpisodeError(f"{path}: {error}") from None
    if streams is not None and channel.stream not in streams:
        return _Gathered("")
    return _Gathered("stream", channel.stream, channel.packing)


def _identity(path: Path, contents: Contents) -> dict[str, str]:
    """All metadata of the file, later records over earlier ones.

    Raises:
        EpisodeError: it is another program's, or a newer release's.
    """
    found: dict[str, str] = {}
    for record in contents.metadata:
        if record.name in ("episode", "result", "recovered"):
            found.update(record.metadata)
    schema, _, version = found.get("schema", "").partition("/")
    needed = ("robot", "joint_names", "t0_mono_ns", "t0_wall_ns")
    if schema != SCHEMA or not version.isdigit() or any(key not in found for key in needed):
        library = contents.header.library if contents.header else ""
        if contents.torn_at and not contents.metadata:
            raise EpisodeError(f"{path} is torn before its first sample; nothing of the episode is in it")
        raise EpisodeError(f"{path} is no teleopd episode{f' but a file of {library}' if library else ''}")
    if int(version) > VERSION:
        raise EpisodeError(
            f"{path} was written by a newer teleopd (episode schema {version}, this one reads up to {VERSION}); "
            "update teleopd"
        )
    try:
        int(found["t0_mono_ns"]), int(found["t0_wall_ns"]), [name + "" for name in json.loads(found["joint_names"])]
    except (ValueError, TypeError, RecursionError):
        raise EpisodeError(f"{path}: its metadata are damaged") from None
    return found


def _event(data: bytes) -> dict[str, Any]:
    try:
        line = json.loads(data)
        event = line["event"]
        return event if isinstance(event, dict) else {"kind": "unknown"}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"kind": "unknown"}


def _dropped(metadata: dict[str, str]) -> dict[str, int]:
    try:
        return {str(name): int(count) for name, count in json.loads(metadata.get("dropped", "{}")).items()}
    except (ValueError, AttributeError):
        return {}
