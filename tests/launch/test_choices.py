"""A word that must be one of a few: one sentence with the valid ones, exit status 2, whatever the command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

import pytest
import tyro

from teleopd.launch import cli, registry
from teleopd.launch.choices import check_words, joined
from teleopd.launch.commands.ctl import Verb
from teleopd.launch.errors import CommandError


@dataclass
class Shoes:
    colour: Literal["red", "blue"] = "red"
    tied: bool = True


@dataclass
class Walk:
    verb: Annotated[Literal["start", "stop"], tyro.conf.Positional]
    far_away: Literal["yes", "no"] = "no"
    way: Literal["up", "down"] | None = None
    free: str = ""
    steps: int = 0
    slowly: bool = False
    stops: tuple[str, ...] = ()
    each: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    shoes: Shoes = field(default_factory=Shoes)


@dataclass
class Talk:
    verb: tyro.conf.OmitArgPrefixes[
        Annotated[Walk, tyro.conf.subcommand("loudly")] | Annotated[Shoes, tyro.conf.subcommand("softly")]
    ]


@dataclass
class Carry:
    things: Annotated[tuple[str, ...], tyro.conf.Positional]
    slowly: bool = False


COMMANDS = {"walk": Walk, "talk": Talk, "carry": Carry}


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("walk begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk start --far-away maybe", "--far-away is 'maybe'; choose one of: yes, no"),
        ("walk start --far-away=maybe", "--far-away is 'maybe'; choose one of: yes, no"),
        ("walk start --far_away maybe", "--far-away is 'maybe'; choose one of: yes, no"),
        ("walk start --free x --way left", "--way is 'left'; choose one of: up, down"),
        ("wlak start", "unknown command 'wlak'; did you mean 'walk'?"),
        ("xyz", "unknown command 'xyz'; there are: walk, talk, carry"),
        ("walk --far-away yes begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk --slowly begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk --no-slowly --steps -3 begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk --each a begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk --free=x begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk --shoes.no-tied --shoes.colour red begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk start --shoes.colour green", "--shoes.colour is 'green'; choose one of: red, blue"),
        ("walk start --steps 5 wrongname",
         "walk takes no further word, and 'wrongname' is one; teleop walk --help lists its flags"),
        ("talk louldy", "unknown command 'talk louldy'; did you mean 'loudly'?"),
        ("talk softly --tied on",
         "talk softly takes no further word, and 'on' is one; teleop talk softly --help lists its flags"),
    ],
)
def test_a_wrong_word_is_named_with_the_valid_ones(typed, sentence):
    with pytest.raises(CommandError) as error:
        check_words(typed.split(), COMMANDS)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "typed",
    ["", "--help", "walk", "walk start", "walk --free begin", "walk start --far-away yes --way down", "walk stop --way",
     "walk start --free maybe", "walk start --nonsense 3", "walk start --way --free x", "walk --stops a b start",
     "walk --steps", "talk", "talk loudly --free begin start",
     "carry a b --slowly c", "walk start -h", "walk --each a start --each b"],
)  # fmt: skip
def test_everything_else_is_left_to_the_parser(typed):
    check_words(typed.split(), COMMANDS)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("walk start --stops a --free x --stops=b --stops c d", "walk start --stops a b c d --free x"),
        ("walk --each a --each b start --free x --free y", "walk --each a --each b start --free x --free y"),
        ("--help", "--help"),
        ("jump --stops a --stops b", "jump --stops a --stops b"),
    ],
)
def test_a_flag_of_many_words_may_be_typed_again(typed, words):
    assert joined(typed.split(), COMMANDS) == words.split()


@pytest.mark.parametrize("command", ["serve", "preview"])
def test_options_of_the_device_add_up_as_the_manual_has_them(monkeypatch, command):
    heard = []
    target = f"teleopd.launch.commands.{command}.serve"
    monkeypatch.setattr(target, lambda config, **_: heard.append(config.device) or 0)
    for typed in ("--device deadman=either_bumper --device turn=-rz", "--device deadman=either_bumper turn=-rz"):
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--source", "gamepad", *typed.split()])
        assert ended.value.code == 0
    assert heard == [{"deadman": "either_bumper", "turn": "-rz"}] * 2


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("serve --solver foo", "teleop: --solver is 'foo'; choose one of: auto, fast, compiled, mink\n"),
        ("demo --source=suit", "teleop: --source is 'suit'; choose one of: pico, xsens, optitrack\n"),
        ("ctl strat", f"teleop: verb is 'strat'; choose one of: {', '.join(get_args(Verb))}\n"),
        ("ctl --robot unitree_g1 strat", f"teleop: verb is 'strat'; choose one of: {', '.join(get_args(Verb))}\n"),
        ("demo --seconds 5 wrongname",
         "teleop: demo takes no further word, and 'wrongname' is one; teleop demo --help lists its flags\n"),
        ("policy shwo", "teleop: unknown command 'policy shwo'; did you mean 'show'?\n"),
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
