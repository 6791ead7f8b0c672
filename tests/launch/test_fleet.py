"""`teleop fleet` on a real mosquitto with 50 robots, and on what nobody should publish."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from teleopd.launch import cli
from teleopd.launch.commands.fleet import Follower
from teleopd.service.telemetry.fleet import MOST_ROBOTS, Fleet, Row, summary, urgent_first
from teleopd.service.telemetry.fleet_view import Page, cells, page, table
from teleopd.service.telemetry.settings import Broker, broker_of

from ..service.telemetry.brokers import MadBroker, Mosquitto, free_port
from ..service.telemetry.robots import MODES, fleet

ROBOTS = 50


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "mosquitto")
    yield broker
    broker.close()


def state(serial: str = "lab-7", **changes: object) -> bytes:
    message = {
        "headerId": 1, "timestamp": "", "serialNumber": serial, "robot": "unitree_g1", "mode": "ACTIVE",
        "modeSeconds": 1.0, "modeCause": None, "causes": [], "alarms": [], "operator": "anna", "engaged": True,
        "source": {"name": "xsens", "state": "streaming", "rateHz": 60.0, "ageMs": 1.0, "loss": 0.0}, "policy": "",
        "batteryPercent": None, "motors": None, "recording": "", "sessionSeconds": 1.0, "softwareVersion": "",
        "configSha256": "",
    }  # fmt: skip
    return json.dumps(message | changes).encode()


def connection(word: str) -> bytes:
    return json.dumps({"headerId": 1, "timestamp": "", "serialNumber": "lab-7", "connectionState": word}).encode()


def test_fifty_robots_one_json_line_each(mosquitto: Mosquitto):
    async def run() -> tuple[int | None, bytes]:
        robots = asyncio.create_task(fleet(ROBOTS, mosquitto.port))
        watching = Follower(Broker("127.0.0.1", mosquitto.port))
        following = asyncio.create_task(watching.run())
        while len([row for row in watching.fleet.rows(0.0) if row.mode]) < ROBOTS:
            await asyncio.sleep(0.05)
        view = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "teleopd.launch.cli", "fleet", "--broker", f"127.0.0.1:{mosquitto.port}", "--json",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await view.communicate()
        for task in (robots, following):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return view.returncode, out

    code, out = asyncio.run(run())
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["serial"] for row in rows] == [f"g1-{number:02d}" for number in range(ROBOTS)]
    for number, row in enumerate(rows):
        assert row["connection"] == "ONLINE" and row["mode"] == MODES[number % len(MODES)].name
        assert (row["operator"], row["battery_percent"]) == (f"operator {number}", float(number))
        assert row["alarms"] == (["source stale"] if number % 10 == 0 else [])


def test_a_broker_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]):
    port = free_port()
    with pytest.raises(SystemExit) as ended:
        cli.main(["fleet", "--broker", f"127.0.0.1:{port}", "--json", "--seconds", "0.3"])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith(f"teleop: broker 127.0.0.1:{port} did not answer: ") and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--broker", "http://x"], "broker 'http://x' is not of the form HOST or HOST:PORT, as robots.local:1883"),
        (["--broker", "x:70000"], "broker 'x:70000' is not of the form HOST or HOST:PORT, as robots.local:1883"),
        (["--broker", "x", "--seconds", "0"], "--seconds is 0; give a positive number"),
        (["--broker", "x", "--password-file", "/nowhere"],
         "--password-file /nowhere cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["fleet", *words])
    assert capsys.readouterr().err == f"teleop: {sentence}\n"


def test_brokers_as_they_are_typed():
    assert broker_of("robots.local")[:2] == ("robots.local", 1883)
    assert broker_of("robots.local", tls=True)[:2] == ("robots.local", 8883)
    assert broker_of("[fe80::1]:2000")[:2] == ("fe80::1", 2000)
    assert "secret" not in repr(broker_of("x", password="secret"))


def test_connections_and_silence():
    heard = Fleet()
    heard.note("teleop/v1/lab-7/connection", connection("ONLINE"), 10.0, retained=True)
    assert heard.rows(10.0) == [Row("lab-7", "ONLINE", "", "", "", "", None, (), None)]
    heard.note("teleop/v1/lab-7/state", state(), 10.0)
    assert [row[:6] for row in heard.rows(12.0)] == [
        ("lab-7", "ONLINE", "unitree_g1", "ACTIVE", "anna", "xsens streaming 60 Hz")
    ]
    assert (heard.rows(15.0)[0].connection, heard.rows(15.1)[0].connection) == ("ONLINE", "SILENT")
    heard.note("teleop/v1/lab-7/connection", connection("CONNECTIONBROKEN"), 16.0)
    assert heard.rows(16.0)[0].connection == "CONNECTIONBROKEN"
    assert summary(heard.rows(16.0), {}) == "1 robots: 0 online, 0 offline, 1 gone"
    heard.note("teleop/v1/lab-7/state", state(), 17.0, retained=True)
    assert heard.rows(17.0)[0].age_s is None, "the broker kept it: nobody knows since when"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("teleop/v1/a/state", b"\xff\x00"), ("teleop/v1/a/state", b"[" * 60_000), ("teleop/v1/a/state", b"x" * 70_000),
        ("teleop/v1/a/state", b'{"mode": 3}'), ("teleop/v1/a b/state", state()), ("teleop/v1/a/b/state", state()),
        ("teleop/v1/a/connection", connection("MAYBE")), ("teleop/v1//state", state()),
    ],
)  # fmt: skip
def test_what_is_not_of_the_schema_is_counted_and_shown_nowhere(topic: str, payload: bytes):
    heard = Fleet()
    heard.note(topic, payload, 1.0)
    assert len(heard) == 0 and sum(heard.refused.values()) == 1
    assert summary([], heard.refused).endswith("; 1 messages refused")


def test_what_needs_a_person_stands_on_top():
    def row(serial: str, connection: str, *alarms: str) -> Row:
        return Row(serial, connection, "", "", "", "", None, alarms, 0.0)

    rows = [row("a", "ONLINE"), row("b", "OFFLINE"), row("c", "ONLINE", "x"), row("d", "SILENT"),
            row("e", "CONNECTIONBROKEN")]  # fmt: skip
    assert [found.serial for found in urgent_first(rows)] == ["d", "e", "c", "a", "b"]


def test_the_number_of_robots_is_bounded():
    heard = Fleet()
    for number in range(MOST_ROBOTS + 5):
        heard.note(f"teleop/v1/r{number}/connection", connection("ONLINE"), 1.0)
    assert len(heard) == MOST_ROBOTS and heard.refused == {"too many robots": 5}


def test_hostile_words_are_text_in_the_table_and_in_the_page():
    heard = Fleet()
    evil = "<script>x</script>\x1b[2J\u202e[red]boo"
    heard.note("teleop/v1/lab-7/state", state(operator=evil, mode='"><b>', alarms=["&x"]), 1.0)
    rows = heard.rows(1.0)
    text = page(rows, "fleet")
    assert "<script>" not in text and "<b>" not in text and "&amp;x" in text and "\x1b" not in text
    assert cells(rows[0])[3] == "<script>x</script>[2J[red]boo"
    console = Console(width=200, record=True, file=open("/dev/null", "w"))
    console.print(table(rows, "fleet"))
    assert "<script>x</script>[2J[red]boo" in console.export_text()


def test_the_page_is_served_and_takes_nothing():
    served = Page(0)
    try:
        heard = Fleet()
        heard.note("teleop/v1/lab-7/state", state(), 1.0)
        served.text = page(heard.rows(1.0), "fleet")
        with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/", timeout=30) as answer:
            assert "<td>lab-7</td>" in answer.read().decode()
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        for request in (
            urllib.request.Request(f"http://127.0.0.1:{served.port}/", data=b"x"),
            urllib.request.Request(f"http://127.0.0.1:{served.port}/etc/passwd"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=30)
            assert refused.value.code in (404, 501)
    finally:
        served.close()


def test_a_mad_broker_is_left_and_the_view_goes_on():
    async def run() -> None:
        async with MadBroker("commands") as mad:
            watching = Follower(Broker("127.0.0.1", mad.port))
            following = asyncio.create_task(watching.run())
            while not (mad.calls and (watching.trouble or watching.fleet.refused)):
                await asyncio.sleep(0.01)
            assert watching.fleet.rows(0.0) == []
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following

    asyncio.run(run())
