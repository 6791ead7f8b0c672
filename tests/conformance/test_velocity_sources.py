"""What every registered source of velocity commands must do, a device at the other end of a pipe or terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from teleopd.drivers.gamepad.emulator import PipePad
from teleopd.drivers.gamepad.stick import Said
from teleopd.drivers.source import SourceCounters, SourceState
from teleopd.drivers.velocity import VelocityCommand
from teleopd.launch import registry
from teleopd.service.console.stick import Stick

NAMES = [
    name for name in registry.names("source") if getattr(registry.load("source", name), "delivers", "") == "velocity"
]
PATIENCE_S = 20.0


class Rig(NamedTuple):
    """A source, and what presses its deadman and walks forward."""

    source: Any
    forward: Callable[[], object]
    end: Callable[[], object]


def gamepad(folder: Path) -> Rig:
    pad = PipePad(folder / "event0")

    def forward() -> None:
        pad.button("right_bumper", True)
        pad.axis("left_y", -1.0)

    return Rig(registry.load("source", "gamepad")(pad=str(pad.path)), forward, pad.close)


def keyboard(_folder: Path) -> Rig:
    ours, theirs = pty.openpty()

    def end() -> None:
        os.close(ours)
        os.close(theirs)

    source = registry.load("source", "keyboard")(terminal=os.ttyname(theirs))
    return Rig(source, lambda: os.write(ours, b"w"), end)


def stick(_folder: Path) -> Rig:
    source, page = registry.load("source", "stick")(), Stick((0.6, 0.6, 0.8))
    down: list[str] = []

    def said() -> Said:
        for button in down:
            page.heard(button, time.monotonic_ns())
        return page.said()

    source.listen(said)
    return Rig(source, lambda: down.append("forward"), lambda: None)


RIGS: dict[str, Callable[[Path], Rig]] = {"gamepad": gamepad, "keyboard": keyboard, "stick": stick}


@pytest.fixture(params=NAMES)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    made = RIGS[request.param](tmp_path)
    yield made
    made.end()


def test_every_velocity_source_is_covered():
    assert set(NAMES) == set(RIGS)


def test_before_it_is_open(rig: Rig):
    assert rig.source.name in NAMES and rig.source.nominal_hz == 50.0
    assert rig.source.counters == SourceCounters()
    assert rig.source.state is SourceState.CLOSED


def test_states_and_commands_from_open_to_close(rig: Rig):
    async def run() -> list[VelocityCommand]:
        await rig.source.open()
        assert rig.source.state is SourceState.CONNECTING
        seen: list[VelocityCommand] = []
        async for command in rig.source.commands():
            assert rig.source.state is SourceState.STREAMING
            seen.append(command)
            if len(seen) == 3:
                rig.forward()
            if command.forward:
                await rig.source.close()
        await rig.source.close()
        assert rig.source.state is SourceState.CLOSED
        return seen

    seen = asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    assert [command.seq for command in seen] == list(range(len(seen)))
    assert all(after.t_ns > before.t_ns for before, after in zip(seen, seen[1:], strict=False))
    for command in seen[:3]:
        assert command[2:7] == (0.0, 0.0, 0.0, False, False)
    assert seen[-1].forward > 0.0 and seen[-1].deadman
    assert rig.source.counters.delivered == len(seen) and rig.source.counters.rejected == {}
