"""The policy computer away from the robot: serve -> LCM -> lcm-bridge -> DDS -> virtual G1, each a process, and a
network in between that is cut. UDP multicast on this computer; no root.

Paced in real time, so these run in `make test-long` only; the parts are tested without pacing in
`tests/service/test_bridge_stage.py` and `tests/robots/lcm`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import LONG_S, TELEOP, Service, StartService, until

from teleopd.launch.operator_script import OperatorScript
from teleopd.robots.ipc.session import Session
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, Mode
from teleopd.service.streams import Bus

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(600), pytest.mark.long]
DOMAIN = 1 + os.getpid() % 200
GROUP, NEAR, FAR = "239.255.76.67", 20000 + os.getpid() % 10000, 30000 + os.getpid() % 10000
PLAYED = ("--source", "motion_file", "--motion", "wave", "--loop", "--no-standby")


def url(port: int) -> str:
    return f"udpm://{GROUP}:{port}?ttl=0"


class Wire:
    """The network between the two computers: LCM's packets from one port to the other and back, until it is cut."""

    def __init__(self) -> None:
        self.cut = self._ending = False
        self._in = {port: self._listening(port) for port in (NEAR, FAR)}
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        self._out.bind(("", 0))
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @staticmethod
    def _listening(port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((GROUP, port))
        member = struct.pack("4sL", socket.inet_aton(GROUP), socket.INADDR_ANY)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        return made

    def _carry(self) -> None:
        own = self._out.getsockname()[1]
        while not self._ending:
            for ready in select.select(list(self._in.values()), [], [], 0.05)[0]:
                data, (_, port) = ready.recvfrom(65536)
                if port != own and not self.cut:
                    self._out.sendto(data, (GROUP, FAR if ready is self._in[NEAR] else NEAR))

    def close(self) -> None:
        self._ending = True
        self._thread.join(5)
        for one in (*self._in.values(), self._out):
            one.close()


class Program:
    """A command of ours as a process."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.runtime, self.report_path, self.log = folder / "run", folder / "report.json", folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*TELEOP, *arguments], env={**os.environ, "TELEOPD_RUNTIME_DIR": str(self.runtime)}, stdout=log,
                stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


class Bridge(Program):
    def __init__(self, folder: Path, policy: str) -> None:
        super().__init__(
            folder, "lcm-bridge", "--interface", "lo", "--domain", str(DOMAIN), "--lcm-url", url(NEAR), "--policy",
            policy, "--auto-arm-virtual", "--report", str(folder / "report.json"),
        )  # fmt: skip
        self._bus: Bus | None = None

    @property
    def mode(self) -> Mode | None:
        assert self.process.poll() is None, self.log.read_text()
        session = Session("unitree_g1", self.runtime / "unitree_g1")
        if self._bus is None and session.path("safety_status").exists():
            self._bus = Bus(session, MODEL.n)
        status = None if self._bus is None else self._bus.slot("safety_status").read()
        return None if status is None else Mode(status.mode)

    def wait_mode(self, *modes: Mode) -> None:
        until(lambda: self.mode in modes, f"{modes} at the bridge")

    def end(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(LONG_S) == 0, self.log.read_text()
        found = json.loads(self.report_path.read_text())
        assert isinstance(found, dict)
        return found


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


@pytest.fixture
def bridge(tmp_path: Path, shared_data: Path) -> Iterator[Bridge]:
    """Its robot stands on the bridge's own policy."""
    folders = [tmp_path / name for name in ("robot", "bridge")]
    for folder in folders:
        folder.mkdir()
    robot = Program(folders[0], "robot", "--domain", str(DOMAIN), "--physics-hz", "500")
    made = Bridge(folders[1], str(shared_data / "policies" / "twist2" / "twist2_1017_20k.onnx"))
    try:
        made.wait_mode(Mode.ARMED)
        yield made
    finally:
        made.kill()
        robot.kill()


def follow(service: Service, bridge: Bridge) -> OperatorWriter:
    """Operate the policy computer until the bridge follows it; a machine that starves the wire costs a reset or two."""
    service.wait_mode(*Mode)
    writer = OperatorWriter(service.bus.slot("operator_ctl_engage"), service.session.token)
    script = OperatorScript(auto_engage=True, virtual=False, countdown_s=1.0)

    def look() -> bool:
        now_ns, status = time.monotonic_ns(), service.status()
        step = script.step(status, now_ns)
        damped = status.mode == Mode.DAMPED and now_ns - status.mode_since_ns > 2_500_000_000
        writer.act(Act.RESET if damped and now_ns % 500_000_000 < 50_000_000 else step.act, now_ns)
        # A press that finds the bridge not ready engages nothing there: let go, as a person would, and press again.
        in_vain = status.mode == Mode.ACTIVE and now_ns - status.mode_since_ns > 3_000_000_000
        writer.hold(step.engage_held and not in_vain, now_ns)
        return bridge.mode is Mode.ACTIVE

    try:
        until(look, "the bridge follows", 3 * LONG_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{service.log()}\n{bridge.log.read_text()}") from None
    return writer


def test_a_lost_network_is_a_return_and_a_new_press_engages(bridge: Bridge, wire: Wire, start_service: StartService):
    service = start_service(*PLAYED, "--link", "lcm", "--lcm-url", url(FAR), "--unqualified")
    try:
        follow(service, bridge)
        wire.cut = True
        bridge.wait_mode(Mode.ARMED)
        service.wait_mode(Mode.DAMPED)
        wire.cut = False
        until(lambda: service.status().blocked_by < 0, "the network is back")
        assert bridge.mode is Mode.ARMED, "nothing resumes by itself"
        follow(service, bridge)
    finally:
        service.interrupt()
        service.end()
    bridge.wait_mode(Mode.ARMED)
    report = bridge.end()
    assert report["upright"]
    assert report["interventions"]["SOURCE_LOST"] >= 1, "the cut"
    assert [mode for _, mode, _ in report["modes"]].index("DAMPED") == len(report["modes"]) - 1, "its own end alone"


def test_the_far_operators_damping_is_obeyed(bridge: Bridge, start_service: StartService):
    service = start_service(*PLAYED, "--link", "lcm", "--lcm-url", url(NEAR), "--unqualified")
    try:
        follow(service, bridge).act(Act.DAMP, time.monotonic_ns())
        bridge.wait_mode(Mode.DAMPED)
    finally:
        service.interrupt()
        service.end()


def test_the_virtual_g1_over_lcm_engages_and_is_brought_down(tmp_path: Path, start_service: StartService):
    robot = Program(tmp_path, "robot", "--link", "lcm", "--lcm-url", url(NEAR))
    try:
        service = start_service(*PLAYED, "--link", "lcm", "--lcm-url", url(NEAR), "--auto-engage-virtual")
        service.wait_mode(Mode.ACTIVE)
        service.interrupt()
        assert service.end() == 0 and service.report()["upright"]
        robot.process.send_signal(signal.SIGINT)
        assert robot.process.wait(LONG_S) == 0
        words = robot.log.read_text().replace("\n", " ")
        assert "speaks LCM on" in words and "refused: 0 of another type" in words
    finally:
        robot.kill()
