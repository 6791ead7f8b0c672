"""Hands of a test: an operator who climbs the ladder of a running service and can stay on any rung, and its truth."""

from __future__ import annotations

import threading
import time
from typing import Any

from teleopd.robots.links.sim.control import SimControl
from teleopd.robots.links.sim.wire import VirtualTruth
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, Mode

from .conftest import Service, StartService, until


def walking(start_service: StartService, *flags: str, **more: Any) -> Service:
    """A service with an emulated suit that walks on and on, at 60 Hz."""
    service = start_service(*flags, **more)
    service.emulate("--motion", "walk")
    return service


def follow(service: Service) -> None:
    """Wait until the robot follows. A machine that is busy with other things starves the emulated suit, and a stream
    below 80 % of its rate engages nobody: that may take minutes, and says nothing about the service."""
    until(lambda: service.mode is Mode.ACTIVE, "the robot follows", 180.0)
    service.see_children()


class Operator:
    """Holds the deadman in a thread of its own, as a person would while they do something else."""

    def __init__(self, service: Service) -> None:
        self.service = service
        until(lambda: service.mode is not None, "robot-io speaks")
        self._writer = OperatorWriter(service.bus.slot("operator_device"), service.session.token)
        self._lock, self._held, self._over = threading.Lock(), False, threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._over.wait(0.02):
            with self._lock:
                self._writer.hold(self._held, time.monotonic_ns())

    def hold(self, held: bool) -> None:
        with self._lock:
            self._held = held
            self._writer.hold(held, time.monotonic_ns())

    def act(self, act: Act) -> None:
        with self._lock:
            self._writer.act(act, time.monotonic_ns())

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def climb(self, mode: Mode) -> None:
        """Lead a service that has just started to that rung; HOLD and RETURN last only a moment."""
        service = self.service
        if mode in (Mode.BOOT, Mode.CHECK):
            return
        service.wait_mode(Mode.IDLE)
        if mode is Mode.IDLE:
            return
        if mode is Mode.DAMPED:
            self.act(Act.DAMP)
            service.wait_mode(Mode.DAMPED)
            return
        self._repeat(Act.READY, Mode.READY)
        if mode is Mode.READY:
            return
        until(lambda: service.status().ready_to_arm, "the ramp is over")
        self._repeat(Act.ARM, Mode.ARMED)
        if mode is Mode.ARMED:
            time.sleep(1.0)  # the gantry lets go
            return
        self._engage()
        if mode is Mode.HOLD:
            self.hold(False)
            service.wait_mode(Mode.HOLD)
        elif mode is Mode.RETURN:
            self.act(Act.STOP)
            service.wait_mode(Mode.RETURN)

    def _repeat(self, act: Act, mode: Mode) -> None:
        """A word that comes before the step is allowed is refused, so it is said again."""
        def done() -> bool:
            self.act(act)
            time.sleep(0.1)
            return self.service.mode is mode

        until(done, f"{act.name} leads to {mode.name}")

    def _engage(self) -> None:
        def done() -> bool:
            self.hold(False)
            time.sleep(0.1)
            self.hold(True)
            time.sleep(0.3)
            return self.service.mode is Mode.ACTIVE

        time.sleep(1.0)
        until(done, "engaged", 180.0)
        time.sleep(1.5)  # past the blend, into the first steps


def truth(service: Service) -> VirtualTruth:
    """Where the virtual robot really is."""
    found = SimControl(service.session).truth()
    assert found is not None
    return found


def stands(service: Service, seconds: float) -> bool:
    """Whether the robot is on its feet now and for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if truth(service).fallen:
            return False
        time.sleep(0.02)
    return True
