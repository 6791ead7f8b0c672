"""`teleop`: the command line. Every command exits non-zero with one clear sentence on bad input."""

from __future__ import annotations

import sys
import typing
from importlib.metadata import version
from typing import Annotated, TypeAlias

import tyro

from teleopd.launch.choices import check_words, joined
from teleopd.launch.commands import (
    calibrate,
    capture,
    ctl,
    decode,
    demo,
    doctor,
    emulate,
    eval,
    failsafe,
    import_table,
    policy,
    preview,
    qualify,
    retarget,
    robot,
    serve,
)
from teleopd.launch.errors import sentence_of

Command: TypeAlias = (
    Annotated[serve.Serve, tyro.conf.subcommand("serve", prefix_name=False)]
    | Annotated[demo.Demo, tyro.conf.subcommand("demo", prefix_name=False)]
    | Annotated[calibrate.Calibrate, tyro.conf.subcommand("calibrate", prefix_name=False)]
    | Annotated[import_table.ImportTable, tyro.conf.subcommand("import-table", prefix_name=False)]
    | Annotated[preview.Preview, tyro.conf.subcommand("preview", prefix_name=False)]
    | Annotated[emulate.Emulate, tyro.conf.subcommand("emulate", prefix_name=False)]
    | Annotated[doctor.Doctor, tyro.conf.subcommand("doctor", prefix_name=False)]
    | Annotated[decode.Decode, tyro.conf.subcommand("decode", prefix_name=False)]
    | Annotated[capture.Capture, tyro.conf.subcommand("capture", prefix_name=False)]
    | Annotated[ctl.Ctl, tyro.conf.subcommand("ctl", prefix_name=False)]
    | Annotated[policy.Policy, tyro.conf.subcommand("policy", prefix_name=False)]
    | Annotated[eval.Eval, tyro.conf.subcommand("eval", prefix_name=False)]
    | Annotated[qualify.Qualify, tyro.conf.subcommand("qualify", prefix_name=False)]
    | Annotated[failsafe.Failsafe, tyro.conf.subcommand("failsafe", prefix_name=False)]
    | Annotated[retarget.Retarget, tyro.conf.subcommand("retarget", prefix_name=False)]
    | Annotated[robot.Robot, tyro.conf.subcommand("robot", prefix_name=False)]
)
COMMANDS: dict[str, type] = {
    mark.name: kind for kind, mark in (typing.get_args(part) for part in typing.get_args(Command))
}


def main(argv: list[str] | None = None) -> None:
    """Parse and run one command; the exit status is the command's."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments in (["--version"], ["-V"]):
        print(f"teleop {version('teleopd')}")
        return
    try:
        check_words(arguments, COMMANDS)
        words = joined(arguments, COMMANDS)
        command = tyro.cli(Command, prog="teleop", args=words, description=__doc__)
        if isinstance(command, serve.Serve | preview.Preview):
            status = command.run(flags_given(arguments))
        else:
            status = command.run()
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
