"""A torn `.mcap.part` -> an indexed MCAP with everything that whole chunks of it hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer

from teleopd.service.capture.mcap_file import Contents, EpisodeError, read_records
from teleopd.service.capture.part_file import ENDING, PART, PartFile, is_being_written

RECOVERING = ".recovering"
"""Ending of a new file that is not whole yet."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came of one file."""

    path: Path
    """The new file."""
    messages: int
    damaged_chunks: int


def recover(torn: Path) -> Recovered:
    """Write what is left of a torn file into a new one beside it; the torn file stays.

    Raises:
        EpisodeError: it is whole, still being recorded, or nothing of it can be read.
        RecordingError, OSError: the new file cannot be written.
    """
    if is_being_written(torn):
        raise EpisodeError(f"{torn} is being recorded; it needs no recovery")
    contents, counts = Contents(), [0, 0]
    _check(torn)
    stem = torn.name.removesuffix(PART).removesuffix(ENDING)
    file = PartFile(torn.parent, stem if torn.name.endswith(PART) else f"{stem}.recovered", RECOVERING)
    try:
        _copy(torn, contents, file, counts)
        path = file.publish()
    except BaseException:
        file.discard()
        raise
    return Recovered(path, counts[0], contents.damaged_chunks)


def _check(torn: Path) -> None:
    contents, messages = Contents(), 0
    for chunk in read_records(torn, contents):
        messages += len(chunk)
    if contents.complete and not contents.damaged_chunks and not torn.name.endswith(PART):
        raise EpisodeError(f"{torn} is whole; it needs no recovery")
    if not contents.metadata and not messages:
        raise EpisodeError(f"{torn} is torn before its first sample; nothing of the episode is in it")


def _copy(torn: Path, contents: Contents, file: PartFile, counts: list[int]) -> None:
    stream: Any = file
    writer: Any = Writer(stream, compression=CompressionType.ZSTD)
    channels: dict[int, int] = {}
    schemas: dict[int, int] = {0: 0}
    started = False
    said = {"metadata": 0, "attachments": 0}
    for messages in read_records(torn, contents):
        if not started:
            _start(writer, contents)
            started = True
        _copy_records(writer, contents, said)
        for message in messages:
            record = contents.channels.get(message.channel_id)
            if record is None:  # described in a chunk that is damaged
                continue
            if message.channel_id not in channels:
                schema = contents.schemas.get(record.schema_id)
                if record.schema_id not in schemas and schema is not None:
                    schemas[record.schema_id] = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[message.channel_id] = writer.register_channel(
                    record.topic, record.message_encoding, schemas.get(record.schema_id, 0), record.metadata
                )
            writer.add_message(
                channels[message.channel_id], message.log_time, message.data, message.publish_time, message.sequence
            )
            counts[0] += 1
            counts[1] = max(counts[1], message.log_time)
    if not started:
        _start(writer, contents)
    _copy_records(writer, contents, said)
    writer.add_metadata("recovered", {
        "complete": "false", "recovered_because": contents.torn_at or "it was never finished",
        "recovered_messages": str(counts[0]), "recovered_last_log_time": str(counts[1]),
        "recovered_without_chunks": str(contents.damaged_chunks), "recovered_from": json.dumps(torn.name),
    })  # fmt: skip
    writer.finish()


def _start(writer: Any, contents: Contents) -> None:
    writer.start(contents.header.profile if contents.header else "", library="teleopd")


def _copy_records(writer: Any, contents: Contents, said: dict[str, int]) -> None:
    for attachment in contents.attachments[said["attachments"] :]:
        writer.add_attachment(
            attachment.create_time, attachment.log_time, attachment.name, attachment.media_type, attachment.data
        )
    for record in contents.metadata[said["metadata"] :]:
        writer.add_metadata(record.name, record.metadata)
    said["attachments"], said["metadata"] = len(contents.attachments), len(contents.metadata)
