"""Writes one episode: MCAP, one packed message per sample, whole chunks on the disk every time it is flushed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mcap.writer import CompressionType, Writer

from teleopd.service.capture import observation, video
from teleopd.service.capture.chunk_index import pack_newest
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.protobuf import Packing
from teleopd.service.capture.schemas import (
    EVENT_SCHEMA,
    EVENT_TOPIC,
    PROFILE,
    SCHEMA,
    VERSION,
    Channel,
    channels,
    event_message,
)

CHUNK_BYTES = 4 << 20
"""Never reached between two flushes of a recorder."""
MEDIA_TYPES = {".json": "application/json", ".toml": "application/toml", ".xml": "application/xml"}


@dataclass(frozen=True, slots=True)
class EpisodeHeader:
    """What is known of an episode before it begins. Picklable."""

    robot: str
    joint_names: tuple[str, ...]
    body_names: tuple[str, ...]
    """Bodies of the operator, in the order of the human stream."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """operator, task, notes, hashes ...: `Episode.metadata`."""
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    cameras: tuple[str, ...] = ()
    """Names of the cameras that are to be recorded."""


class EpisodeWriter:
    """One episode in the making. Not thread-safe, but for `sync`. Every method may raise OSError: the disk failed."""

    def __init__(self, file: PartFile, header: EpisodeHeader, t0_mono_ns: int, t0_wall_ns: int) -> None:
        """`t0_mono_ns`, `t0_wall_ns`: one instant on both clocks; the file's times are the wall's, of this pair."""
        self.file = file
        self._to_wall_ns = t0_wall_ns - t0_mono_ns
        self._channels: dict[str, Channel] = channels(header.joint_names, header.body_names)
        self._ids: dict[str, tuple[int, Packing]] = {}
        self._cameras: dict[tuple[str, tuple[int, int]], int] = {}
        self._event_id = self._observation_id = 0
        self.counts: dict[str, int] = {}
        """Samples written, by stream."""
        self._events = 0
        stream: Any = file
        self._writer: Any = Writer(stream, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(PROFILE, library="teleopd")
        for name, data in header.attachments.items():
            media = MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
            self._writer.add_attachment(t0_wall_ns, t0_wall_ns, name, media, data)
        known = {
            "schema": f"{SCHEMA}/{VERSION}", "robot": header.robot, "joint_names": json.dumps(header.joint_names),
            "human_bodies": json.dumps(header.body_names), "t0_mono_ns": str(t0_mono_ns),
            "t0_wall_ns": str(t0_wall_ns), **({"cameras": json.dumps(header.cameras)} if header.cameras else {}),
        }  # fmt: skip
        self._writer.add_metadata("episode", {**header.metadata, **known})
        self.flush()

    def write(
        self, stream: str, t_ns: npt.NDArray[np.int64], arrays: Sequence[npt.NDArray[Any]],
        t_published_ns: npt.NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        """Append samples of a stream.

        Args:
            t_ns: monotonic times, (m,).
            arrays: one (m, k) for each column of the stream, in order.
            t_published_ns: when they were published, where that is another time, (m,).
        """
        if len(t_ns) == 0:
            return
        channel_id, packing = self._ids.get(stream) or self._register(stream)
        logged = np.asarray(t_ns, dtype=np.int64) + self._to_wall_ns
        published = logged if t_published_ns is None else np.asarray(t_published_ns, dtype=np.int64) + self._to_wall_ns
        count, add = self.counts[stream], self._writer.add_message
        for row, at, said in zip(packing.pack(arrays), logged.tolist(), published.tolist(), strict=True):
            count += 1
            add(channel_id, max(at, 0), row.tobytes(), max(said, 0), count & 0xFFFFFFFF)
        self.counts[stream] = count

    def observations(
        self, t_ns: npt.NDArray[np.int64], values: npt.NDArray[np.float32], targets_seq: npt.NDArray[np.int64]
    ) -> None:
        """Append observations of the policy: times (m,), values (m, k), ticks (m,)."""
        if not self._observation_id:
            schema_id = self._writer.register_schema(observation.SCHEMA_NAME, "protobuf", observation.schema())
            self._observation_id = self._writer.register_channel(
                observation.TOPIC, "protobuf", schema_id, observation.METADATA
            )
        count = self.counts.get(observation.STREAM, 0)
        for at, row, seq in zip((t_ns + self._to_wall_ns).tolist(), values, targets_seq.tolist(), strict=True):
            count += 1
            at = max(at, 0)
            data = observation.message(row, seq)
            self._writer.add_message(self._observation_id, at, data, at, count & 0xFFFFFFFF)
        self.counts[observation.STREAM] = count

    def picture(self, camera: str, t_ns: int, t_received_ns: int, data: bytes, size: tuple[int, int]) -> None:
        """Append one compressed picture (H.264, Annex B) of a camera; `size`: width and height [px]."""
        channel_id, stream = self._cameras.get((camera, size)), f"{video.CAMERA}{camera}"
        if channel_id is None:
            schema_id = self._writer.register_schema(video.SCHEMA_NAME, "protobuf", video.schema())
            channel_id = self._cameras[camera, size] = self._writer.register_channel(
                video.topic_of(camera), "protobuf", schema_id, video.channel_metadata(camera, size)
            )
        self.counts[stream] = count = self.counts.get(stream, 0) + 1
        t_wall_ns, received_ns = max(t_ns + self._to_wall_ns, 0), max(t_received_ns + self._to_wall_ns, 0)
        message = video.message(t_wall_ns, camera, data)
        self._writer.add_message(channel_id, t_wall_ns, message, received_ns, count & 0xFFFFFFFF)

    def event(self, t_ns: int, event: Mapping[str, Any]) -> None:
        """Append an event: `kind`, `text` and what else it says, all of it JSON."""
        if not self._event_id:
            schema_id = self._writer.register_schema("foxglove.Log", "jsonschema", json.dumps(EVENT_SCHEMA).encode())
            self._event_id = self._writer.register_channel(EVENT_TOPIC, "json", schema_id)
        t_wall_ns = max(t_ns + self._to_wall_ns, 0)
        self._events += 1
        self._writer.add_message(self._event_id, t_wall_ns, event_message(t_wall_ns, event), t_wall_ns, self._events)

    def flush(self) -> None:
        """Close the chunk: what was written so far outlives this process."""
        self._writer.flush()
        pack_newest(self._writer)

    def sync(self) -> None:
        """What was flushed outlives the power. May run in another thread."""
        self.file.sync()

    def finish(self, result: Mapping[str, str], dropped: Mapping[str, int]) -> Path:
        """Write the end (label, verdict, what was dropped) and the index; the file gets its final name, returned."""
        said = {**result, "dropped": json.dumps(dict(dropped)), "complete": "true"}
        self._writer.add_metadata("result", said)
        self._writer.finish()
        return self.file.publish()

    def abandon(self) -> None:
        """The disk failed: leave the `.part` as it is."""
        self.file.close()

    def _register(self, stream: str) -> tuple[int, Packing]:
        channel = self._channels[stream]
        packing = channel.packing
        schema_id = self._writer.register_schema(packing.name, "protobuf", packing.schema)
        channel_id = self._writer.register_channel(channel.topic, "protobuf", schema_id, channel.metadata)
        self._ids[stream] = channel_id, packing
        self.counts[stream] = 0
        return channel_id, packing
