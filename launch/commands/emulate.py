"""`teleop emulate`: a capture device on loopback, from a recorded or built-in motion, over its real wire protocol."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from teleopd.drivers.motion_file.leads import with_leads
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.motion_file.looping import Loop
from teleopd.launch import registry
from teleopd.launch.emulated_operator import check_hand, press_when_armed
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import DeviceName
from teleopd.launch.options import checked, parse_pairs
from teleopd.robots.rates import freeze_collector

LOOP_S = 180.0
"""A loop is a new recording after so long [s], or where it would leave the room: it is laid out in memory before."""


@dataclass(frozen=True, slots=True)
class Emulate:
    """A capture device on loopback, sending a recorded or built-in motion over its real wire protocol."""

    device: DeviceName
    motion: str = "walk_and_turn"
    """A BVH file, or a built-in motion: stand, wave, reach, squat, turn, step_in_place, walk, walk_and_turn."""
    host: str = "127.0.0.1"
    """Where to send."""
    port: int | None = None
    """Port to send to; the device's own when not given."""
    rate: float | None = None
    """Frames per second [Hz]; the clip's own when not given."""
    lead_in: float = 0.0
    """Stand still for so long before the motion begins [s]."""
    lead_out: float = 0.0
    """Stand still for so long after it ends [s]."""
    loop: bool = False
    """Repeat until stopped: the end runs into the beginning without a seam; leads come once in three minutes."""
    seconds: float | None = None
    """End after so long [s]."""
    loss: float = 0.0
    """Share of datagrams lost, 0 to 1."""
    jitter: float = 0.0
    """Largest random delay of a datagram [ms]."""
    dup: float = 0.0
    """Share of datagrams sent twice, 0 to 1."""
    reorder: float = 0.0
    """Share of datagrams sent after their successor, 0 to 1."""
    set: tuple[str, ...] = ()
    """Options of the device as key=value: freeze_at_s=5, clock_jump_at_s=8, recenter_at_s=8; pico: grip=true,
    hands=true; optitrack: natnet=3.0, multicast=true; xsens: datagram=01,02,20, transport=tcp, fingers=true, props=2,
    split=30, characters=2."""
    seed: int = 0
    """Seed of the faults."""
    press_when_armed: bool = False
    """Hold the deadman (PICO grip, network) once the robot of this computer's service stands freely, as an operator
    would; let go for good when it stops following."""
    robot: str = "unitree_g1"
    """Robot that --press-when-armed looks at."""
    quiet: bool = False
    """No progress bar."""

    def run(self) -> int:
        """Send until the motion ends; returns the exit status."""
        emulator_class = registry.load("emulator", self.device)
        for name in ("loss", "dup", "reorder"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise CommandError(f"--{name} is {getattr(self, name)}; give a share between 0 and 1")
        if min(self.lead_in, self.lead_out, self.jitter) < 0:
            raise CommandError("--lead-in, --lead-out and --jitter cannot be negative")
        if self.seconds is not None and not 0.0 < self.seconds < math.inf:
            raise CommandError(f"--seconds is {self.seconds}; give a positive number")
        clip = load_motion(self.motion)
        if self.loop:
            clip = Loop(clip).unrolled(math.ceil(min(self.seconds or LOOP_S, LOOP_S) * clip.fps))
        clip = with_leads(clip, self.lead_in, self.lead_out)
        own = {
            "host": self.host, "port": self.port, "loss": self.loss, "jitter_ms": self.jitter, "dup": self.dup,
            "reorder": self.reorder, "seed": self.seed,
        }  # fmt: skip
        if self.rate is not None:
            own["rate_hz"] = self.rate
        extra = checked(parse_pairs(self.set), emulator_class.options, f"emulator {self.device}", (*own, "rate_hz"))
        emulator = emulator_class(clip, emulator_class.options(**own, **extra))
        if self.press_when_armed:
            check_hand(emulator, self.device)
            registry.check("robot", self.robot)
        frames = len(clip.pos_w)
        Console(stderr=True).print(
            f"{self.device}: '{clip.name}', {frames} frames, {frames / clip.fps:.1f} s -> {emulator.address}",
            highlight=False,
        )
        freeze_collector()  # the person does not stop while a computer tidies up
        try:
            asyncio.run(self._send(emulator, frames / clip.fps))
        except KeyboardInterrupt:
            return 130
        return 0

    async def _send(self, emulator: object, clip_s: float) -> None:
        hand = asyncio.create_task(press_when_armed(emulator, self.robot)) if self.press_when_armed else None
        try:
            await self._play(emulator, clip_s)
        finally:
            if hand is not None:
                hand.cancel()

    async def _play(self, emulator: object, clip_s: float) -> None:
        total = self.seconds if self.seconds is not None else (None if self.loop else clip_s)
        sent = TextColumn("{task.completed:.1f} s")
        columns = (TextColumn("{task.description}"), BarColumn(), sent, TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), disable=self.quiet, transient=True) as bar:
            task = bar.add_task("sending", total=total)
            await emulator.run(  # type: ignore[attr-defined]
                seconds=self.seconds, loop=self.loop, progress=lambda sent_s: bar.update(task, completed=sent_s)
            )
