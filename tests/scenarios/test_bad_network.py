"""A whole service behind a bad network: loss, jitter, a frozen stream, exchanged sides, a flood. The robot stays up.

One service, one walk; between the emulated suit and the service sits a relay that spoils what passes.
"""

from __future__ import annotations

import heapq
import multiprocessing
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.xsens import wire
from teleopd.safety.failsafe import DAMP_MASK
from teleopd.safety.words import Cause, Mode
from teleopd.service.streams import SourceStatus

from .conftest import Emulator, StartService, free_port, until
from .operating import follow, truth

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(1200), pytest.mark.slow, pytest.mark.long]

PHASE_S = 4.0
FLOOD = 400_000
"""Packets; at 100 000 a second four seconds."""
MIRROR = [MVN_SEGMENTS.index(name.replace("Left", "_").replace("Right", "Left").replace("_", "Right"))
          for name in MVN_SEGMENTS]  # fmt: skip
Spoil = Callable[[bytes], list[tuple[float, bytes]]]
"""A packet -> delays [s] and packets to send in its place."""


def pass_on(data: bytes) -> list[tuple[float, bytes]]:
    return [(0.0, data)]


class Relay(threading.Thread):
    """Hears the suit on a port of its own and sends on from one socket, as one sender."""

    def __init__(self, to_port: int) -> None:
        super().__init__(daemon=True)
        self.spoil: Spoil = pass_on
        self.passed = 0
        self._in = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._in.bind(("127.0.0.1", 0))
        self._in.settimeout(0.002)
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.connect(("127.0.0.1", to_port))
        self.port = int(self._in.getsockname()[1])
        self._waiting: list[tuple[float, int, bytes]] = []
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        heard = 0
        while not self._over.is_set():
            try:
                data = self._in.recv(8192)
            except TimeoutError:
                data = b""
            if data:
                for delay, packet in self.spoil(data):
                    heard += 1
                    heapq.heappush(self._waiting, (time.monotonic() + delay, heard, packet))
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                try:
                    self._out.send(heapq.heappop(self._waiting)[2])
                    self.passed += 1
                except OSError:  # refused: the service is not there yet
                    pass

    def close(self) -> None:
        self._over.set()
        self.join()
        self._in.close()
        self._out.close()


def losing(share: float) -> Spoil:
    chance = random.Random(share)
    return lambda data: [] if chance.random() < share else [(0.0, data)]


def jittering(most_s: float) -> Spoil:
    chance = random.Random(1)
    return lambda data: [(chance.uniform(0.0, most_s), data)]


class Freezing:
    """The body of the first packet with the number of each: fresh by every count, and dead."""

    def __init__(self) -> None:
        self._body: wire.Pose | None = None

    def __call__(self, data: bytes) -> list[tuple[float, bytes]]:
        header, body = wire.decode(data)[:2]
        if not isinstance(body, wire.Pose):
            return [(0.0, data)]
        self._body = self._body or body
        return [(0.0, repacked(header, self._body.pos_w, self._body.quat_w))]


def exchanging(data: bytes) -> list[tuple[float, bytes]]:
    """Left is called right and right left, as after a suit was put on wrongly or a solver flipped."""
    header, body = wire.decode(data)[:2]
    if not isinstance(body, wire.Pose):
        return [(0.0, data)]
    return [(0.0, repacked(header, body.pos_w[MIRROR], body.quat_w[MIRROR]))]


def repacked(header: wire.Header, pos: np.ndarray, quat: np.ndarray) -> bytes:
    return wire.encode_pose(
        pos, quat, sample=header.sample, time_code_ms=header.time_code_ms, character=header.character
    )


def flood(port: int, count: int) -> None:
    """Entry of a process: as many packets as it can, from a stranger."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", port))
        sent = 0
        while sent < count:
            try:
                sent += out.send(bytes(60)) == 60
            except OSError:
                sent += 1  # refused by the kernel, which was told to


class Phase(NamedTuple):
    """What happened while the network was bad."""

    causes: set[Cause]
    modes: set[Mode]
    rejected: int
    used: int
    fallen: bool
    seconds: float


PHASES: dict[str, Callable[[], Spoil]] = {
    "loss 1 %": lambda: losing(0.01), "loss 10 %": lambda: losing(0.1), "loss 30 %": lambda: losing(0.3),
    "loss 50 %": lambda: losing(0.5), "jitter 20 ms": lambda: jittering(0.02),
    "jitter 100 ms": lambda: jittering(0.1), "jitter 500 ms": lambda: jittering(0.5), "frozen": Freezing,
    "exchanged": lambda: exchanging, "flood": lambda: pass_on,
}  # fmt: skip


@pytest.fixture(scope="module")
def story(start_service: StartService) -> Any:
    service = start_service("--auto-engage")
    service.wait_mode(Mode.ARMED)
    relay = Relay(service.port)
    emulator = Emulator(relay.port, "--motion", "walk", environment=service.environment)
    told: dict[str, Phase] = {}
    try:
        for name, spoil in PHASES.items():
            follow(service)
            time.sleep(1.0)
            before, source = service.status(), service.bus.slot("source_status").read()
            assert isinstance(source, SourceStatus)
            relay.spoil, began, modes = spoil(), time.monotonic(), set()
            flooders = []
            if name == "flood":
                context = multiprocessing.get_context("spawn")
                flooders = [context.Process(target=flood, args=(service.port, FLOOD // 2)) for _ in range(2)]
                for flooder in flooders:
                    flooder.start()
            while time.monotonic() - began < PHASE_S or any(flooder.is_alive() for flooder in flooders):
                modes.add(Mode(service.status().mode))
                time.sleep(0.01)
            after, later = service.status(), service.bus.slot("source_status").read()
            counts = after.cause_counts.astype(int) - before.cause_counts.astype(int)
            told[name] = Phase({cause for cause in Cause if counts[cause]}, modes, later.rejected - source.rejected,
                               later.used - source.used, truth(service).fallen, time.monotonic() - began)  # fmt: skip
            relay.spoil = pass_on
            print(f"{name}: {told[name]}")
            if Mode(after.mode) is Mode.DAMPED:
                return told
        follow(service)
        service.interrupt()
        told["end"] = Phase(set(), set(), service.end(), 0, service.report()["fell_at_s"] is not None, 0.0)
    finally:
        emulator.kill()
        relay.close()
        service.kill()
    return told


@pytest.mark.parametrize("name", PHASES)
def test_the_robot_stays_on_its_feet_and_nothing_damps_it(story: dict[str, Phase], name: str):
    assert name in story, f"it was damped before, in {list(story)[-1]}"
    phase = story[name]
    assert not phase.fallen
    assert not sum(1 << cause for cause in phase.causes) & DAMP_MASK, phase.causes
    assert phase.modes <= {Mode.ACTIVE, Mode.HOLD, Mode.RETURN, Mode.ARMED}


def test_a_lost_packet_in_a_hundred_or_ten_goes_unnoticed(story: dict[str, Phase]):
    for name in ("loss 1 %", "loss 10 %", "jitter 20 ms"):
        assert Cause.SOURCE_LOST not in story[name].causes and story[name].used > 100


def test_a_stream_that_is_fresh_and_frozen_is_held_then_left(story: dict[str, Phase]):
    frozen = story["frozen"]
    assert frozen.rejected > 100
    assert frozen.causes & {Cause.SOURCE_FROZEN, Cause.SOURCE_STALE, Cause.SOURCE_INVALID}
    assert frozen.modes & {Mode.RETURN, Mode.ARMED}, "a source that shows nothing new is left within half a second"


def test_sides_that_are_exchanged_are_refused_and_never_followed(story: dict[str, Phase]):
    exchanged = story["exchanged"]
    assert exchanged.rejected > 100 and exchanged.used < 30
    assert exchanged.modes & {Mode.RETURN, Mode.ARMED}


def test_a_flood_costs_neither_balance_nor_the_stream(story: dict[str, Phase]):
    """400 000 packets of a stranger, as fast as two processes can."""
    print(f"\n{FLOOD / story['flood'].seconds:.0f} packets a second")
    assert story["flood"].used > 30 and Cause.TARGETS_LOST not in story["flood"].causes


def test_it_ends_in_order_and_upright(story: dict[str, Phase]):
    assert story["end"].rejected == 0 and not story["end"].fallen


def test_the_relay_passes_a_packet_on():
    relay = Relay(free_port())
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.sendto(b"x" * 30, ("127.0.0.1", relay.port))
        until(lambda: relay.passed == 1, "the packet was passed on")
    finally:
        relay.close()
