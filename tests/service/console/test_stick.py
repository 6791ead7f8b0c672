"""The view's stick: a held button walks, a silent page has let go."""

from __future__ import annotations

import pytest

from teleopd.drivers.gamepad.stick import EXPIRES_NS, NOTHING, Said, StickSource
from teleopd.drivers.velocity import VelocityCommand
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
    said = stick.said()
    assert (said.t_ns, said.held) == (100 * MS, True)
    assert (said.forward, said.left, said.turn) == pytest.approx(tuple(0.5 * v for v in velocity))


def test_the_click_that_ends_a_press_is_the_release():
    stick = Stick(SPEEDS)
    assert stick.said() == NOTHING
    stick.heard("forward", 100 * MS)
    assert stick.said().held
    stick.let_go()
    assert stick.said() == Said(100 * MS, 0.0, 0.0, 0.0, False)


def test_a_press_on_another_page_is_a_new_press():
    stick = Stick(SPEEDS)
    stick.heard("forward", 100 * MS)
    assert stick.said().held
    stick.heard("forward", 150 * MS, page=2)
    assert [stick.said().held for _ in range(2)] == [False, True]


class Page:
    """The slot between page and source."""

    def __init__(self) -> None:
        self.word: StickWord | None = None
        self.source = StickSource()
        self.source.listen(lambda: said_in(self.word))

    def command(self, word: StickWord | None, now_ns: int) -> VelocityCommand:
        self.word = word
        return self.source.tick(now_ns)

    def held(self, word: StickWord | None, now_ns: int) -> bool:
        return self.command(word, now_ns).deadman


def pressed(ms: int) -> StickWord:
    return StickWord(ms * MS, 0.3, -0.1, 0.2, True)


def lifted(ms: int) -> StickWord:
    return StickWord(ms * MS, 0.0, 0.0, 0.0, False)


def test_a_command_carries_the_pages_word_and_its_deadman():
    page = Page()
    assert not page.held(None, 90 * MS)
    command = page.command(pressed(100), 110 * MS)
    assert (command.forward, command.left, command.turn) == (0.3, -0.1, 0.2)
    assert (command.deadman, command.stop, command.t_ns, command.seq) == (True, False, 110 * MS, 1)


@pytest.mark.parametrize(
    "word, now_ns",
    [(None, 110 * MS), (lifted(100), 110 * MS), (pressed(100), 100 * MS + EXPIRES_NS), (pressed(400), 100 * MS)],
    ids=["no page yet", "let go", "the console died", "a word from the future"],
)
def test_without_a_fresh_held_button_the_command_is_to_stand(word: StickWord | None, now_ns: int):
    page = Page()
    page.command(None, 0)
    command = page.command(word, now_ns)
    assert (command.forward, command.left, command.turn, command.deadman) == (0.0, 0.0, 0.0, False)


def test_a_page_that_comes_back_with_the_finger_still_down_walks_nothing_until_it_was_lifted():
    page = Page()
    page.command(None, 0)
    assert page.held(pressed(100), 100 * MS + EXPIRES_NS - 1)
    assert not page.held(pressed(100), 100 * MS + EXPIRES_NS)
    assert not page.held(pressed(1_000), 1_010 * MS), "the same press"
    assert not page.held(lifted(1_000), 1_050 * MS)
    assert page.held(pressed(1_200), 1_210 * MS)


def test_a_source_that_was_started_again_does_not_take_up_a_press_it_never_saw_begin():
    page = Page()
    assert not page.held(pressed(100), 110 * MS)
    assert not page.held(lifted(100), 150 * MS)
    assert page.held(pressed(200), 210 * MS)
