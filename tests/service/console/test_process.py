from __future__ import annotations

import multiprocessing
import socket
import time
from pathlib import Path

import pytest

pytest.importorskip("viser")

from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act
from teleopd.service.child import REFUSED_EXIT, refusal
from teleopd.service.console.access import Access, Tokens
from teleopd.service.console.process import SharedOperator, main
from teleopd.service.streams import Bus


@pytest.fixture
def session(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path))
    owner = SessionOwner("unitree_g1")
    Bus(owner.session, MODEL.n, create=True)
    yield owner.session
    owner.close()


def started(session, port: int):
    access = Access(port, Tokens.new())
    process = multiprocessing.get_context("spawn").Process(target=main, args=(session, "unitree_g1", access, True))
    process.start()
    return process


def test_a_taken_port_ends_the_process_with_one_sentence_for_the_parent(session):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = started(session, port)
        process.join(60)
    assert process.exitcode == REFUSED_EXIT
    assert refusal(session, "console").startswith(f"port {port} on 127.0.0.1 is in use")


def test_a_stop_of_the_gateway_is_in_the_mailbox_at_once_and_counted_whoever_writes_next(session):
    slot = Bus(session, MODEL.n).slot("operator_console")
    operator = SharedOperator(OperatorWriter(slot, session.token))
    operator.hold(True, 1)
    operator.stop()
    assert (slot.read().stops, slot.read().engage_held) == (1, True)
    operator.hold(False, 2)
    operator.act(Act.READY, 3)
    assert (slot.read().stops, slot.read().engage_held, slot.read().act) == (1, False, Act.READY)


def test_serves_until_it_is_asked_to_end(session):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = started(session, port)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.is_alive():
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        assert process.is_alive()
        process.terminate()
        process.join(15)
        assert process.exitcode == 0
    finally:
        process.kill()
