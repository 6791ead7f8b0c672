"""Reads MCAP files front to back, whole or torn: no index is needed, and a damaged chunk costs only itself."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.records import Attachment, Channel, Chunk, Footer, Header, McapRecord, Metadata, Schema
from mcap.stream_reader import get_chunk_data_stream

MAGIC = b"\x89MCAP0\r\n"
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_SCHEMA, _CHANNEL, _MESSAGE_OPCODE, _ATTACHMENT = 3, 4, 5, 9
_LAST_OPCODE, _PRIVATE = 0x0F, 0x80
"""Opcodes of the specification end here, and programs' own begin there."""
_KEPT: dict[int, Any] = {
    1: Header, 2: Footer, _SCHEMA: Schema, _CHANNEL: Channel, 6: Chunk, _ATTACHMENT: Attachment, 12: Metadata,
}  # fmt: skip
"""Opcode -> record; the others are indexes of these."""


class EpisodeError(Exception):
    """A file that cannot be read as an episode; one sentence."""


class RawMessage(NamedTuple):
    """One message as it stands in the file."""

    channel_id: int
    sequence: int
    log_time: int
    publish_time: int
    data: bytes


@dataclass(slots=True)
class Contents:
    """Everything but the messages, filled while the file is read."""

    header: Header | None = None
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    metadata: list[Metadata] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    complete: bool = False
    """The file has its end."""
    torn_at: str = ""
    """Why reading stopped, where it is not complete."""
    damaged_chunks: int = 0
    """Chunks and attachments left out because their checksum is wrong."""


def read_records(path: Path, contents: Contents) -> Iterator[list[RawMessage]]:
    """The messages of each whole chunk in turn; the rest goes into `contents`.

    Raises:
        EpisodeError: the file is absent, unreadable, empty, or no MCAP.
    """
    try:
        size = path.stat().st_size
        stream = path.open("rb")
    except OSError as error:
        raise EpisodeError(f"cannot read {path}: {error.strerror}") from None
    with stream:
        try:
            start = stream.read(len(MAGIC))
        except OSError as error:
            raise EpisodeError(f"cannot read {path}: {error.strerror}") from None
        if not start:
            raise EpisodeError(f"{path} is empty")
        if start != MAGIC[: len(start)]:
            raise EpisodeError(f"{path} is no MCAP file")
        yield from _chunks(stream, size, contents)


def _chunks(stream: BinaryIO, size: int, contents: Contents) -> Iterator[list[RawMessage]]:
    """Record by record. Not by mcap's own reader: it parses every index on the way, which takes half the time."""
    at = len(MAGIC)
    stream.seek(at)
    while not contents.complete:
        head = stream.read(_RECORD.size)
        if len(head) < _RECORD.size:
            contents.torn_at = f"it ends at byte {size} without an end record"
            return
        opcode, length = _RECORD.unpack(head)
        at += _RECORD.size + length
        if at > size or not (1 <= opcode <= _LAST_OPCODE or opcode >= _PRIVATE):
            contents.torn_at = f"the record before byte {min(at, size)} is cut off or damaged"
            return
        kind = _KEPT.get(opcode)
        if kind is None:
            stream.seek(length, 1)
            continue
        data = stream.read(length)
        if opcode == _ATTACHMENT and zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little") != 0:
            contents.damaged_chunks += 1
            continue
        try:
            record: McapRecord = kind.read(ReadDataStream(BytesIO(data)))
        except Exception as error:  # damaged bytes may fail in any way
            contents.torn_at = f"the record before byte {at} is damaged ({type(error).__name__})"
            return
        if isinstance(record, Chunk):
            messages = _messages(record, contents)
            if messages:
                yield messages
        elif isinstance(record, Footer) and stream.read(len(MAGIC)) != MAGIC:
            contents.torn_at = "its last bytes are missing"
            return
        else:
            _note(record, contents)


def _note(record: McapRecord, contents: Contents) -> None:
    if isinstance(record, Header):
        contents.header = record
    elif isinstance(record, Schema):
        contents.schemas.setdefault(record.id, record)
    elif isinstance(record, Channel):
        contents.channels.setdefault(record.id, record)
    elif isinstance(record, Metadata):
        contents.metadata.append(record)
    elif isinstance(record, Attachment):
        contents.attachments.append(record)
    elif isinstance(record, Footer):
        contents.complete = True


def _messages(chunk: Chunk, contents: Contents) -> list[RawMessage]:
    """Parsed here, not by the reader's own loop: a minute of an episode is 70 000 messages."""
    try:
        data_stream, length = get_chunk_data_stream(chunk)
        data = data_stream.read(length)
        if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
            raise ValueError("checksum")
        return _parse(data, contents)
    except Exception:  # whatever a flipped bit may cause in a decompressor
        contents.damaged_chunks += 1
        return []


def _parse(data: bytes, contents: Contents) -> list[RawMessage]:
    found, at, end = [], 0, len(data)
    head, message = _RECORD.size, _MESSAGE.size
    while at < end:
        opcode, length = _RECORD.unpack_from(data, at)
        at += head
        if length > end - at:
            raise ValueError("length")
        if opcode == _MESSAGE_OPCODE:
            found.append(RawMessage._make((*_MESSAGE.unpack_from(data, at), data[at + message : at + length])))
        elif opcode in (_SCHEMA, _CHANNEL):
            _note(_description(opcode, data[at : at + length]), contents)
        at += length
    return found


def _description(opcode: int, data: bytes) -> McapRecord:
    stream = ReadDataStream(BytesIO(data))
    found: McapRecord = Schema.read(stream) if opcode == _SCHEMA else Channel.read(stream)
    return found
