"""`teleop`: the command line. Every command exits non-zero with one clear sentence on bad input."""

from __future__ import annotations

import importlib
import sys
import typing
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Annotated, Any

import tyro

from teleopd.launch.choices import check_words, joined
from teleopd.launch.errors import sentence_of

PLACES = {
    "serve": "serve:Serve",
    "demo": "demo:Demo",
    "calibrate": "calibrate:Calibrate",
    "import-table": "import_table:ImportTable",
    "preview": "preview:Preview",
    "emulate": "emulate:Emulate",
    "doctor": "doctor:Doctor",
    "decode": "decode:Decode",
    "capture": "capture:Capture",
    "ctl": "ctl:Ctl",
    "policy": "policy:Policy",
    "eval": "eval:Eval",
    "qualify": "qualify:Qualify",
    "failsafe": "failsafe:Failsafe",
    "bugreport": "bugreport:BugReport",
    "deploy": "deploy:Deploy",
    "fleet": "fleet:FleetView",
    "retarget": "retarget:Retarget",
    "robot": "robot:Robot",
    "lcm-bridge": "lcm_bridge:LcmBridge",
}
"""Of each command: module in `launch/commands`, and class."""


class Commands(Mapping[str, type]):
    """Name -> class, imported when it is asked for: `teleop ctl stop` waits for no physics to load."""

    def __getitem__(self, name: str) -> type:
        module, _, kind = PLACES[name].partition(":")
        found: type = getattr(importlib.import_module(f"teleopd.launch.commands.{module}"), kind)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


COMMANDS = Commands()
BY_FLAGS = ("serve", "preview")
"""Commands whose flags override a file: they are told which were typed."""


def parsed(words: list[str]) -> Any:
    """The command these words ask for: its own class alone is imported where the first word names it."""
    if words and words[0] in COMMANDS:
        return tyro.cli(COMMANDS[words[0]], prog=f"teleop {words[0]}", args=words[1:])
    marked = tuple(Annotated[kind, tyro.conf.subcommand(name, prefix_name=False)] for name, kind in COMMANDS.items())
    return tyro.cli(typing.Union[marked], prog="teleop", args=words, description=__doc__)  # type: ignore[call-overload]  # noqa: UP007


def main(argv: list[str] | None = None) -> None:
    """Parse and run one command; the exit status is the command's."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments in (["--version"], ["-V"]):
        from teleopd.launch.schemas import schema_versions

        print(f"teleop {version('teleopd')}")
        for name, schema in schema_versions().items():
            print(f"  {name}: {schema}")
        return
    try:
        check_words(arguments, COMMANDS)
        words = joined(arguments, COMMANDS)
        command = parsed(words)
        status = command.run(flags_given(arguments)) if words[0] in BY_FLAGS else command.run()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        status = 141
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        print(f"teleop: {sentence}", file=sys.stderr)
        status = 2
    sys.exit(status)


def flags_given(arguments: list[str]) -> frozenset[str]:
    """Names of the flags that were typed, as the fields they set: only these override file and environment."""
    names = (token[2:].partition("=")[0] for token in arguments if token.startswith("--"))
    return frozenset(name.replace("-", "_").removeprefix("no_") for name in names)


if __name__ == "__main__":
    main()
