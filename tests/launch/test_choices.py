"""A word on the command line that cannot be meant: one sentence with what can, exit status 2, whatever the command."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

import pytest
import tyro
from hypothesis import example, given, settings, strategies

from teleopd.launch import cli, registry
from teleopd.launch.choices import check_words, joined
from teleopd.launch.commands.ctl import Verb
from teleopd.launch.errors import CommandError
from teleopd.launch.understood import understood


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
    speed: float | None = None
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
    where_to: str
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
        ("walk start --steps", "--steps has no value; teleop walk --help says what it takes"),
        ("walk start --way --free x", "--way has no value; teleop walk --help says what it takes"),
        ("walk start --free -x", "--free has no value; teleop walk --help says what it takes"),
        ("walk start --spede 3", "walk has no flag --spede; did you mean --speed?"),
        ("walk start --q=3", "walk has no flag --q; teleop walk --help lists them"),
        ("walk start -v", "walk has no flag -v; teleop walk --help lists them"),
        ("walk start --slowly=true",
         "--slowly takes no value, and '--slowly=true' gives it one; teleop walk --help says more"),
        ("walk start --steps abc", "--steps is 'abc'; give a whole number"),
        ("walk start --steps=2.5", "--steps is '2.5'; give a whole number"),
        ("walk start --steps=", "--steps is ''; give a whole number"),
        ("walk start --speed 2,5", "--speed is '2,5'; give a number"),
        ("walk", "walk needs verb: start, stop"),
        ("walk --stops", "walk needs verb: start, stop"),
        ("walk --stops a b start --slowly", "walk needs verb: start, stop"),
        ("walk --stops a begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk --stops=a begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk -- begin", "verb is 'begin'; choose one of: start, stop"),
        ("walk start -- --slowly",
         "walk takes no further word, and '--slowly' is one; teleop walk --help lists its flags"),
        ("walk start --stops=-x a --stops=-y", "--stops: '-x' and '-y' look like flags; only one of them may"),
        ("walk start --steps None", "--steps is 'None'; give a whole number"),
        ("walk start --far-away None", "--far-away is 'None'; choose one of: yes, no"),
        ("walk start --speed -1_", "--speed is '-1_'; give a number"),
        ("walk start --speed none", "--speed is 'none'; give a number"),
        ("walk start --free -- x", "--free has no value; teleop walk --help says what it takes"),
        ("talk --colour red softly", "talk needs one more word before '--colour': loudly, softly"),
        ("talk -- softly", "talk needs one more word before '--': loudly, softly"),
        ("--slowly walk", "a command comes before '--slowly'; teleop --help lists them"),
        ("-x", "a command comes before '-x'; teleop --help lists them"),
        ("-- walk start", "a command comes before '--'; teleop --help lists them"),
        ("carry a b", "carry needs --where-to; teleop carry --help says what it is"),
        ("talk", "talk needs one more word: loudly, softly"),
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
    ["", "--help", "walk start", "walk start --free begin", "walk start --far-away yes --way down", "walk --help",
     "walk start --free maybe", "walk start --steps -3 --speed -1e3", "walk start --speed None",
     "walk --speed=-inf stop", "walk start --nonsense --help", "talk loudly --free begin start",
     "carry a b --slowly c --where-to here", "carry --where-to here",
     "walk start -h", "walk start --each a --each b", "walk start --stops",
     "walk start --tyro-print-completion bash", "walk start --way None", "walk --stops a b start",
     "walk --stops=a b start", "walk -- start", "carry --where-to=--x -- -x --where-to",
     "carry --where-to x -- -a --help"],
)  # fmt: skip
def test_everything_else_is_left_to_the_parser(typed):
    check_words(typed.split(), COMMANDS)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("walk start --stops a --free x --stops=b --stops c d", "walk --stops a b c d --free x -- start"),
        ("walk --each a --each b start --free x --free y", "walk --each a --each b --free x --free y -- start"),
        ("talk loudly --stops a --free x --stops b start", "talk loudly --stops a b --free x -- start"),
        ("walk start --stops a --stops=-x --stops b --free=-y", "walk --stops=-x a b --free=-y -- start"),
        ("walk --stops=--stops start", "walk --stops=--stops -- start"),
        ("carry a --slowly b --where-to x -- -c", "carry --slowly --where-to x -- a b -c"),
        ("walk start --steps --help", "walk --help"),
        ("talk loudly -h x", "talk loudly --help"),
        ("talk --help", "talk --help"),
        ("walk --tyro-print-completion bash", "walk --tyro-print-completion bash"),
        ("--help", "--help"),
        ("", ""),
        ("jump --stops a --stops b", "jump --stops a --stops b"),
    ],
)
def test_a_flag_of_many_words_may_be_typed_again(typed, words):
    assert joined(typed.split(), COMMANDS) == words.split()


WORDS = (
    "start", "stop", "begin", "None", "-5", "-1e3", "-Inf", "-infinity", "-NAN", "-1_0", "1_0", "-.5", "2.5",
    "-5 degrees", "- cold", "-", "-x", "-x=3", "--5", "-_x", "---", "yes", "up", "", "--", "--free", "--free=-x",
    "--free=", "--steps", "--steps=-1", "--speed", "--speed=-nan", "--way", "--far_away", "--far-away=no", "--slowly",
    "--no-slowly", "--stops", "--stops=-x", "--each", "--each=--free", "--shoes.no-tied", "--nonsense",
)  # fmt: skip


def parses(words: list[str]) -> bool:
    """Whether the parser takes them, alone."""
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            tyro.cli(Walk, args=words)
        except SystemExit:
            return False
    return True


@settings(max_examples=150)
@given(words=strategies.lists(strategies.sampled_from(WORDS), max_size=7, unique=True))
@example(words=["start", "--free", "-5 degrees", "--speed", "-Inf"])
@example(words=["--free", "- cold", "--stops", "a", "--each", "---", "start"])
@example(words=["--steps", "-1_0", "--", "start"])
@example(words=["--way", "None", "--stops=-x", "up", "stop"])
def test_what_the_parser_takes_is_never_refused_and_what_it_refuses_never_reaches_it(words):
    try:
        check_words(["walk", *words], COMMANDS)
    except CommandError:
        assert not parses(words)
    else:
        assert parses(joined(["walk", *words], COMMANDS)[1:])


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
        ("serve --sorce xsens", "teleop: serve has no flag --sorce; did you mean --source?\n"),
        ("serve --port abc", "teleop: --port is 'abc'; give a whole number\n"),
        ("serve --seconds", "teleop: --seconds has no value; teleop serve --help says what it takes\n"),
        ("decode xsens", "teleop: decode needs file; teleop decode --help says what it is\n"),
        ("policy", "teleop: policy needs one more word: list, show, check, import, fetch, train, eval, export\n"),
        ("policy shwo", "teleop: unknown command 'policy shwo'; did you mean 'show'?\n"),
        ("--foo", "teleop: a command comes before '--foo'; teleop --help lists them\n"),
        ("policy --robot x list", "teleop: policy needs one more word before '--robot': list, show, check, import, "
         "fetch, train, eval, export\n"),
        ("retarget a --unit 0.01 b --out o --robot x",
         f"teleop: unknown robot 'x'; valid: {', '.join(registry.names('robot'))}\n"),
        ("retarget -- -x.bvh", "teleop: no folder to write to: give one with --out DIR\n"),
        ("serve --device=-x", "teleop: device option '-x' is not of the form key=value\n"),
        ("emulate --set a xsens", "teleop: device option 'a' is not of the form key=value\n"),
        ("emulate --loss 2 -- xsens", "teleop: --loss is 2.0; give a share between 0 and 1\n"),
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


def all_commands(commands: Mapping[str, type], under: str = "") -> Iterator[tuple[str, type]]:
    for name, kind in commands.items():
        verbs = understood(kind).verbs
        yield from all_commands(verbs, f"{under}{name} ") if verbs else [(f"{under}{name}", kind)]


@pytest.mark.parametrize(("command", "kind"), [pytest.param(*each, id=each[0]) for each in all_commands(cli.COMMANDS)])
def test_every_flag_that_help_lists_is_understood_and_no_other(capsys, monkeypatch, command, kind):
    monkeypatch.setenv("COLUMNS", "1000")  # no description is broken into a line that begins with a flag
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    lines = re.findall(r"^\W*(--.*?)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    assert set(re.findall(r"--[a-z][a-z.-]*", " ".join(lines))) == set(understood(kind).flags)
