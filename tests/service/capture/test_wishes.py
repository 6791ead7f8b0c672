"""What operators wish of the recorder, from any of their ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.ipc.session import Session
from teleopd.safety.words import OPERATOR_WRITERS
from teleopd.service.capture.records import (
    RECORDING,
    SENTENCE_BYTES,
    VERBS,
    WAITING,
    EpisodeWish,
    RecorderStatus,
    as_bytes,
    as_text,
)
from teleopd.service.capture.wishes import BUTTONS, EpisodeButtons, EpisodeWishes, RemoteKeys
from teleopd.service.device_buttons import DeviceButtons
from teleopd.service.streams import Bus


class Slot:
    def __init__(self) -> None:
        self.written: list[EpisodeWish] = []

    def read(self) -> EpisodeWish | None:
        return self.written[-1] if self.written else None

    def write(self, value: EpisodeWish) -> None:
        self.written.append(value)


def status(state: int) -> RecorderStatus:
    return RecorderStatus(1, state, 0, 0, 0, 0, False, as_bytes("", 8), as_bytes("", 8))


def test_wishes_are_counted_stamped_and_signed():
    slot = Slot()
    wishes = EpisodeWishes(slot, 9)
    wishes.wish("start", 5)
    EpisodeWishes(slot, 9).wish("discard", 6)
    assert slot.written == [EpisodeWish(1, 5, 9, VERBS.index("start")), EpisodeWish(2, 6, 9, VERBS.index("discard"))]
    with pytest.raises(ValueError, match="x not in tuple"):
        wishes.wish("dance", 7)


def test_a_button_is_a_wish_at_its_press_only():
    slot = Slot()
    buttons = EpisodeButtons(EpisodeWishes(slot, 9))
    for t, held in enumerate([{"a"}, {"episode_success"}, {"episode_success", "stop"}, set(), {"episode_success"}]):
        buttons.step(held, None, t)
    assert [(VERBS[wish.verb], wish.t_ns) for wish in slot.written] == [("success", 1), ("success", 4)]


@pytest.mark.parametrize(("state", "verb"), [(None, "start"), (WAITING, "start"), (RECORDING, "stop")])
def test_one_button_starts_and_stops(state: int | None, verb: str):
    slot = Slot()
    EpisodeButtons(EpisodeWishes(slot, 9)).step({"episode_toggle"}, None if state is None else status(state), 3)
    assert VERBS[slot.written[0].verb] == verb


def test_every_button_is_a_verb():
    assert {name.removeprefix("episode_") for name in BUTTONS} - {"toggle"} <= set(VERBS) - {"end"}


def test_a_devices_buttons_reach_the_recorder_and_no_operators_slot(tmp_path: Path):
    (tmp_path / "token").write_text("42")
    session = Session("unitree_g1", tmp_path)
    bus = Bus(session, 3, create=True)
    DeviceButtons(session, bus).step(frozenset({"episode_start"}), 7)
    assert bus.slot("episode_device").read() == EpisodeWish(1, 7, 42, VERBS.index("start"))
    assert [bus.slot(f"operator_{writer}").read() for writer in OPERATOR_WRITERS] == [None] * len(OPERATOR_WRITERS)


@pytest.mark.parametrize("text", ["", "kurz", "ä" * 300, "👋" * 300])
def test_texts_fit_their_record_and_are_cut_at_a_character(text: str):
    record = as_bytes(text, SENTENCE_BYTES)
    assert record.shape == (SENTENCE_BYTES,) and record.dtype == np.uint8
    assert text.startswith(as_text(record)) and len(as_text(record).encode()) > min(len(text.encode()), 396) - 1


def remote(*pressed: tuple[int, int]) -> np.ndarray:
    """Bytes of the remote: third and fourth byte of each report."""
    made = np.zeros((len(pressed), 40), dtype=np.uint8)
    made[:, 2:4] = np.array(pressed, dtype=np.uint8).reshape(-1, 2)
    return made


R1, SELECT, A, B, X, Y = 0x01, 0x08, 0x01, 0x02, 0x04, 0x08


def said_by(*pressed: tuple[int, int], state: int = WAITING, pieces: int = 1) -> list[tuple[str, int]]:
    """Wishes for reports 2 ms apart, drained in so many pieces: (verb, number of the report)."""
    slot = Slot()
    keys = RemoteKeys(EpisodeWishes(slot, 9))
    table, t_ns = remote(*pressed), 10 + 2_000_000 * np.arange(len(pressed), dtype=np.int64)
    for part in np.array_split(np.arange(len(pressed)), pieces):
        keys.step(table[part], t_ns[part], status(state))
    return [(VERBS[wish.verb], (wish.t_ns - 10) // 2_000_000) for wish in slot.written]


@pytest.mark.parametrize("pieces", [1, 7])
def test_the_remotes_keys_are_wishes_at_their_press_only(pieces: int):
    reports = [(0, 0)] * 5 + [(R1, X)] * 60 + [(0, 0)] * 40 + [(R1, A)] * 60
    assert said_by(*reports, pieces=pieces) == [("start", 5), ("success", 105)]
    assert said_by(*reports, state=RECORDING)[0] == ("stop", 5)
    assert said_by(*[(R1, Y)] * 3) == [("discard", 0)]


@pytest.mark.parametrize("pressed", [
    (0, X), (R1, 0), (R1, X | A), (SELECT, 0), (0x20, B), (R1, B), (0x02, X),
])  # fmt: skip
def test_other_keys_of_the_remote_say_nothing_here(pressed: tuple[int, int]):
    assert said_by(*[pressed] * 50) == []


def test_a_key_that_bounces_is_one_press():
    assert said_by(*([(R1, X)] * 10 + [(0, 0)] * 3 + [(R1, X)] * 10)) == [("start", 0)]


def test_reports_that_are_none_are_no_press():
    slot = Slot()
    RemoteKeys(EpisodeWishes(slot, 9)).step(remote(), np.zeros(0, dtype=np.int64), None)
    assert slot.written == []
