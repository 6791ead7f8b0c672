"""The writing end of the operator slots."""

from __future__ import annotations

from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, OperatorCommand

MS = 1_000_000


class Memory:
    """A slot that remembers all it was told."""

    def __init__(self, *written: OperatorCommand) -> None:
        self.written = list(written)

    def read(self) -> OperatorCommand | None:
        return self.written[-1] if self.written else None

    def write(self, value: OperatorCommand) -> None:
        self.written.append(value)


def test_acts_are_counted_and_nothing_is_no_act():
    slot = Memory()
    writer = OperatorWriter(slot, 9)
    writer.act(Act.NONE, 1)
    writer.act(Act.READY, 2)
    writer.act(Act.READY, 3)
    assert slot.written == [OperatorCommand(1, 2, 9, 1, False), OperatorCommand(2, 3, 9, 1, False)]


def test_counting_goes_on_after_an_earlier_writer():
    slot = Memory(OperatorCommand(41, 1, 9, int(Act.ARM), False))
    OperatorWriter(slot, 9).act(Act.STOP, 5)
    assert slot.written[-1].seq == 42


def test_a_held_deadman_is_said_at_once_then_every_80_ms_and_let_go_at_once():
    slot = Memory()
    writer = OperatorWriter(slot, 9)
    for ms in range(1, 202):
        writer.hold(True, ms * MS)
    writer.hold(False, 202 * MS)
    writer.hold(False, 400 * MS)
    assert [(word.t_ns // MS, word.engage_held) for word in slot.written] == [
        (1, True), (81, True), (161, True), (202, False),
    ]  # fmt: skip
    assert {word.seq for word in slot.written} == {0}


def test_a_stop_button_that_opens_for_less_than_50_ms_was_held():
    """The second press damps: a bounce, or a frame without the button, must not make a standing robot fall."""
    slot = Memory()
    writer = OperatorWriter(slot, 9)
    for at_ms, pressed in ((100, True), (110, False), (159, True), (160, False), (190, False), (209, True)):
        writer.stop_button(pressed, at_ms * MS)
    assert [word.act for word in slot.written] == [Act.STOP]
    writer.stop_button(True, 1100 * MS)
    assert [(word.t_ns // MS, word.act) for word in slot.written] == [(100, Act.STOP), (1100, Act.DAMP)]
    writer.stop_button(False, 1200 * MS)
    writer.stop_button(True, 1250 * MS)
    assert slot.written[-1].act == Act.STOP and len(slot.written) == 3


def test_stops_and_damps_are_counted_across_writers_of_one_slot():
    slot = Memory()
    for act in (Act.STOP, Act.READY, Act.DAMP, Act.STOP, Act.RESET):
        OperatorWriter(slot, 9).act(act, 1)
    assert [(word.seq, word.stops, word.damps) for word in slot.written] == [
        (1, 1, 0), (2, 1, 0), (3, 1, 1), (4, 2, 1), (5, 2, 1),
    ]  # fmt: skip
    OperatorWriter(slot, 9).hold(True, 2)
    assert slot.written[-1][5:] == (2, 1), "a heartbeat takes nothing back"


def test_a_short_press_stops_a_long_one_damps_once():
    slot = Memory()
    writer = OperatorWriter(slot, 9)
    for ms in range(0, 3000, 10):
        writer.stop_button(True, (ms + 100) * MS)
    assert [(word.t_ns // MS, word.act) for word in slot.written] == [(100, Act.STOP), (1100, Act.DAMP)]
    writer.stop_button(False, 3200 * MS)
    writer.stop_button(True, 3300 * MS)
    assert slot.written[-1].act == Act.STOP and slot.written[-1].seq == 3


def test_the_heartbeat_comes_at_the_very_nanosecond():
    slot = Memory()
    writer = OperatorWriter(slot, 9)
    for now_ns in (5 * MS, 85 * MS - 1):
        writer.hold(True, now_ns)
    assert len(slot.written) == 1
    writer.hold(True, 85 * MS)
    assert len(slot.written) == 2


def test_a_press_stops_at_the_clocks_first_instants_too_and_a_bounce_ends_at_the_very_nanosecond():
    for open_ns, stops in ((50 * MS - 1, 1), (50 * MS, 2)):
        slot = Memory()
        writer = OperatorWriter(slot, 9)
        writer.stop_button(True, 2 * MS)
        assert [word.stops for word in slot.written] == [1]
        writer.stop_button(False, 10 * MS)
        writer.stop_button(True, 10 * MS + open_ns)
        assert slot.written[-1].stops == stops
