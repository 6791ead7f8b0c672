"""The robot's battery: a topic of its own (G1, H1-2), or one byte of LowState (H1)."""

from __future__ import annotations

from teleopd.robots.links.dds import low_state
from teleopd.robots.links.dds.cdr import HEADER
from teleopd.robots.links.dds.transport import Participant, Reader
from teleopd.robots.model import RobotModel

TOPIC, KIND = "rt/lf/bmsstate", "BmsState_"
HG_CHARGE, GO_CHARGE = 4 + 100, 4 + low_state.GO_CHARGE
"""Byte of the state of charge [%] in a hg BmsState_ and in a go LowState_, header included."""
HG_SIZE = 164
"""Body of a hg BmsState_."""
UNKNOWN = -1
LOOK_EVERY = 250
"""Reads of the link between two looks: half a second; a battery does not hurry."""


class BatteryWatch:
    """State of charge as it was heard last."""

    def __init__(self, participant: Participant, model: RobotModel) -> None:
        self.percent = UNKNOWN
        """[%]; `UNKNOWN` before it was heard."""
        self._packs: Reader | None = participant.reader(TOPIC, "hg", KIND) if model.wire == "hg" else None
        self._looks = 0

    def look(self) -> None:
        """Call at every read of the link: mostly does nothing."""
        self._looks += 1
        if self._packs is not None and self._looks % LOOK_EVERY == 1:
            for data in self._packs.take():
                self._note(data, HG_CHARGE)

    def hear(self, report: bytes) -> None:
        """A good LowState; call for each."""
        if self._packs is None:
            self._note(report, GO_CHARGE)

    def _note(self, data: bytes, at: int) -> None:
        if len(data) > at and 0 < data[at] <= 100:  # 0: a pack that does not report
            self.percent = data[at]


def bms_state(percent: int) -> bytes:
    """A hg BmsState_ that says nothing but its charge: the virtual robot's."""
    body = bytearray(HG_SIZE)
    body[HG_CHARGE - 4] = percent
    return HEADER + bytes(body)
