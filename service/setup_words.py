"""What the browser view asks of the service's parent before arming, and what the parent answers: two slots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Field

KINDS = ("", "source", "operator")
SETUP_NAME_BYTES, SETUP_SENTENCE_BYTES = 64, 400


class SetupWish(NamedTuple):
    """The newest word of the view to the parent. It never reaches robot-io."""

    seq: int
    """Counts wishes, from 1."""
    t_ns: int
    token: int
    """The session's operator token; any other is not heard."""
    kind: int
    """Index into `KINDS`: another source, or an operator whose stored body is used."""
    name: npt.NDArray[np.uint8]
    """UTF-8, zero padded."""


class SetupStatus(NamedTuple):
    """What the run follows, and what became of the newest wish."""

    t_ns: int
    taken: int
    """`seq` of the newest wish that was answered."""
    refused: bool
    source: npt.NDArray[np.uint8]
    operator: npt.NDArray[np.uint8]
    """Empty: the first frame measures."""
    sentence: npt.NDArray[np.uint8]


SETUP_WISH_FIELDS: list[Field] = [
    ("seq", "<i8"), ("t_ns", "<i8"), ("token", "<i8"), ("kind", "<i4"), ("name", "<u1", (SETUP_NAME_BYTES,)),
]  # fmt: skip
SETUP_STATUS_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("taken", "<i8"), ("refused", "?"), ("source", "<u1", (SETUP_NAME_BYTES,)),
    ("operator", "<u1", (SETUP_NAME_BYTES,)), ("sentence", "<u1", (SETUP_SENTENCE_BYTES,)),
]  # fmt: skip
