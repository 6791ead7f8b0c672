"""Flags whose help lists what is registered, so that a source, robot or link added anywhere is in every `--help`."""

from __future__ import annotations

from typing import Annotated

import tyro

from teleopd.launch import registry

SourceFlag = Annotated[
    str, tyro.conf.arg(help=f"Where the motion comes from: {registry.listed('source')}; docs/sources.md says more.")
]
RobotFlag = Annotated[str, tyro.conf.arg(help=f"The robot: {registry.listed('robot')}.")]
LinkFlag = Annotated[
    str, tyro.conf.arg(help=f"How to reach the robot: {registry.listed('link')}; sim is the virtual robot.")
]
DeviceName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(help=f"The device: {registry.listed('emulator')}.")]
