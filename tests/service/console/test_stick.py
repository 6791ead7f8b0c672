"""The view's stick: a held button walks, a silent page has let go."""

from __future__ import annotations

import pytest

from teleopd.drivers.gamepad.stick import EXPIRES_NS, NOTHING, Said, StickSource
from teleopd.service.console.stick import Stick
from teleopd.service.streams import StickWord
from teleopd.service.velocity_process import said_in

MS = 1_000_000
SPEEDS = (0.6, 0.5, 0.8)


@pytest.mark.parametrize(
    "button, velocity",
    [("forward", (0.6, 0, 0)), ("back", (-0.6, 0, 0)), ("step left", (0, 0.5, 0)), ("step right", (0, -0.5, 0)),
     ("turn left", (0, 0, 0.8)), ("turn right", (0, 0, -0.8))],
)  # fmt: skip
def test_each_button_walks_its_way_at_the_share_of_the_slider(button: str, velocity: tuple[float, float, float]):
    stick = Stick(SPEEDS)
    stick.share = 0.5
    stick.heard(button, 100 * MS)
    said = stick.said(120 * MS)
    assert (said.t_ns, said.held) == (100 * MS, True)
    assert (said.forward, said.left, said.turn) == pytest.approx(tuple(0.5 * v for v in velocity))


def test_what_the_browser_does_not_repeat_is_let_go():
    stick = Stick(SPEEDS)
    assert stick.said(0) == NOTHING
    stick.heard("forward", 100 * MS)
    assert stick.said(100 * MS + EXPIRES_NS - 1).held
    assert stick.said(100 * MS + EXPIRES_NS) == Said(100 * MS, 0.0, 0.0, 0.0, False)


def source(word: StickWord | None) -> StickSource:
    made = StickSource()
    made.listen(lambda: said_in(word))
    return made


def test_a_command_carries_the_pages_word_and_its_deadman():
    command = source(StickWord(100 * MS, 0.3, -0.1, 0.2, True)).tick(110 * MS)
    assert (command.forward, command.left, command.turn) == (0.3, -0.1, 0.2)
    assert (command.deadman, command.stop, command.t_ns, command.seq) == (True, False, 110 * MS, 0)


@pytest.mark.parametrize(
    "word, now_ns",
    [
        (None, 110 * MS),
        (StickWord(100 * MS, 0.3, 0.0, 0.0, False), 110 * MS),
        (StickWord(100 * MS, 0.3, 0.0, 0.0, True), 100 * MS + EXPIRES_NS),
        (StickWord(100 * MS, 0.3, 0.0, 0.0, True), 99 * MS),
    ],
    ids=["no page yet", "let go", "the console died", "a word from the future"],
)
def test_without_a_fresh_held_button_the_command_is_to_stand(word: StickWord | None, now_ns: int):
    command = source(word).tick(now_ns)
    assert (command.forward, command.left, command.turn, command.deadman) == (0.0, 0.0, 0.0, False)
