"""A word that must be one of a few: one sentence with the valid ones, exit status 2, whatever the command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import pytest
import tyro

from teleopd.launch import cli, registry
from teleopd.launch.choices import check_words
from teleopd.launch.commands.ctl import Verb
from teleopd.launch.errors import CommandError


@dataclass
class Walk:
    verb: Annotated[Literal["start", "stop"], tyro.conf.Positional]
    far_away: Literal["yes", "no"] = "no"
    way: Literal["up", "down"] | None = None
    free: str = ""


COMMANDS = {"walk": Walk}


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("walk begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk start --far-away maybe", "--far-away is 'maybe'; choose one of: yes, no"),
        ("walk start --far-away=maybe", "--far-away is 'maybe'; choose one of: yes, no"),
        ("walk start --far_away maybe", "--far-away is 'maybe'; choose one of: yes, no"),
        ("walk start --free x --way left", "--way is 'left'; choose one of: up, down"),
        ("wlak start", "unknown command 'wlak'; did you mean 'walk'?"),
        ("xyz", "unknown command 'xyz'; there are: walk"),
    ],
)
def test_a_wrong_word_is_named_with_the_valid_ones(typed, sentence):
    with pytest.raises(CommandError) as error:
        check_words(typed.split(), COMMANDS)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "typed",
    ["", "--help", "walk", "walk start", "walk --free begin", "walk start --far-away yes --way down", "walk stop --way",
     "walk start --free maybe", "walk start --nonsense 3", "walk start --way --free x"],
)  # fmt: skip
def test_everything_else_is_left_to_the_parser(typed):
    check_words(typed.split(), COMMANDS)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("serve --solver foo", "teleop: --solver is 'foo'; choose one of: fast, mink\n"),
        ("demo --source=suit", "teleop: --source is 'suit'; choose one of: pico, xsens, optitrack\n"),
        ("ctl strat", f"teleop: verb is 'strat'; choose one of: {', '.join(get_args(Verb))}\n"),
        ("sevre", "teleop: unknown command 'sevre'; did you mean 'serve'?\n"),
    ],
)
def test_on_the_command_line(capsys, typed, sentence):
    with pytest.raises(SystemExit) as ended:
        cli.main(typed.split())
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", sentence)


@pytest.mark.parametrize(
    ("command", "kinds"),
    [("serve", ("source", "robot", "link")), ("preview", ("source", "robot")), ("doctor", ("source",)),
     ("emulate", ("emulator",))],
)  # fmt: skip
def test_help_lists_what_is_registered(capsys, command, kinds):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    told = capsys.readouterr().out
    for kind in kinds:
        assert all(name in told for name in registry.names(kind)), kind
