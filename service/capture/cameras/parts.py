"""Compressed pictures through a ring of fixed records: cut into parts by the camera process, put together here.

A picture that is lost on the way, whole or in part, makes those up to the next key frame useless. One that was lost
before it was compressed costs itself. All are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.service.capture.cameras.pictures import Picture
from teleopd.service.capture.records import PART_BYTES, CameraPart


class VideoPicture(NamedTuple):
    """One compressed picture, as it goes into an episode."""

    t_ns: int
    """When it was taken, on this host's clock [ns]."""
    t_received_ns: int
    key: bool
    size: tuple[int, int]
    """Width and height [px]."""
    data: bytes


def parts_of(
    seq: int, coded: int, picture: Picture, data: bytes, key: bool, size: tuple[int, int]
) -> Iterator[CameraPart]:
    """The records of one picture, in order.

    Args:
        seq: counts the pictures of the camera from 1, also those that never came.
        coded: counts those that were compressed.
    """
    count = -(-len(data) // PART_BYTES)
    for part in range(count):
        piece = np.zeros(PART_BYTES, dtype=np.uint8)
        body = np.frombuffer(data, dtype=np.uint8)[part * PART_BYTES : (part + 1) * PART_BYTES]
        piece[: len(body)] = body
        yield CameraPart(
            seq, coded, picture.t_ns, picture.t_received_ns, key, size[0], size[1], part, count, len(body), piece
        )


class Assembler:
    """Puts the pictures of one camera together, for one episode: it begins with a key frame."""

    def __init__(self) -> None:
        self.lost = 0
        """Pictures between the first and the last that are not in the episode."""
        self._last = self._coded = 0
        self._broken = True
        """No picture is of use before the next key frame."""
        self._taking: list[npt.NDArray[np.uint8]] = []
        self._taking_seq = 0

    def take(self, rows: npt.NDArray[Any]) -> list[VideoPicture]:
        """The whole pictures in records drained from the ring, in order."""
        found = []
        for row in rows:
            seq, part, count = int(row["seq"]), int(row["part"]), int(row["parts"])
            if part == 0:
                self._taking, self._taking_seq = [], seq
            elif seq != self._taking_seq or len(self._taking) != part:  # an earlier part is missing
                continue
            self._taking.append(row["data"][: int(row["size"])])
            if len(self._taking) == count:
                data, self._taking = b"".join(piece.tobytes() for piece in self._taking), []
                picture = self._whole(row, seq, data)
                if picture is not None:
                    found.append(picture)
        return found

    def _whole(self, row: Any, seq: int, data: bytes) -> VideoPicture | None:
        coded, key = int(row["coded"]), bool(row["key"])
        if self._last and seq > self._last + 1:
            self.lost += seq - self._last - 1
        if coded != self._coded + 1:  # one is lost on the way, or the camera process was restarted
            self._broken = True
        self._coded = coded
        if self._broken and not key:
            self.lost += bool(self._last)
            self._last = seq if self._last else 0
            return None
        self._broken, self._last = False, seq
        size = int(row["width"]), int(row["height"])
        return VideoPicture(int(row["t_ns"]), int(row["t_received_ns"]), key, size, data)
