"""The gateway's routes for our own part of the page, over real sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("viser")
pytest.importorskip("aiohttp")

import requests
import websockets
from websockets.sync.client import ClientConnection, connect

from teleopd.service.console import side
from teleopd.service.console.access import Role
from teleopd.service.console.desk import MOST_WAITING, Answer, Calibrate, ChooseSource, ForceLimit

from .served import Served, serving


@pytest.fixture(scope="module")
def console() -> Iterator[Served]:
    with serving() as served:
        yield served


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def live(console: Served, role: Role | None = Role.OPERATE, origin: str | None = None) -> ClientConnection:
    return connect(
        console.access.address.replace("http", "ws", 1) + "/teleopd/live",
        origin=origin or console.access.address,  # type: ignore[arg-type]
        additional_headers={} if role is None else console.cookie(role), compression=None,
    )  # fmt: skip


def ask(console: Served, body: object, role: Role | None = Role.OPERATE, **headers: str) -> requests.Response:
    return requests.post(
        console.access.address + "/teleopd/ask", timeout=30,
        data=body if isinstance(body, bytes) else json.dumps(body),
        headers={"Content-Type": "application/json", **({} if role is None else console.cookie(role)), **headers},
    )  # fmt: skip


def test_the_figures_come_as_they_change_to_operator_and_watcher(console: Served):
    for role in Role:
        console.desk.message = b'{"a":1}'
        with live(console, role) as page:
            assert page.recv(timeout=30) == '{"a":1}'
            assert console.desk.watchers == 1
            console.desk.message = b'{"a":2}'
            assert page.recv(timeout=30) == '{"a":2}'
        until(lambda: console.desk.watchers == 0, "a page that left is not counted")


def test_the_figures_need_token_and_own_origin(console: Served):
    for role, origin, status in ((None, None, 401), (Role.OPERATE, "http://evil.example", 403)):
        with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
            live(console, role, origin)
        assert caught.value.response.status_code == status


def test_a_page_that_speaks_where_nothing_is_expected_is_cut(console: Served):
    with live(console) as page:
        page.send("hello")
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            while True:
                page.recv(timeout=30)
    with live(console) as page:
        page.send(b"\x00" * (side.MAX_SAID + 1))
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            while True:
                page.recv(timeout=30)


def test_no_more_pages_than_it_may_tell(console: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(side, "MAX_LIVE", 1)
    with live(console), pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        live(console)
    assert caught.value.response.status_code == 503
    until(lambda: console.desk.watchers == 0, "it is gone")


def test_pictures_are_served_to_who_has_a_token(console: Served):
    console.desk.pictures[0] = b"\xff\xd8picture"
    address = console.access.address + "/teleopd/camera/"
    found = requests.get(address + "0", timeout=30, headers=console.cookie(Role.WATCH))
    assert (found.content, found.headers["Content-Type"]) == (b"\xff\xd8picture", "image/jpeg")
    assert found.headers["Cache-Control"] == "no-store" and found.headers["X-Content-Type-Options"] == "nosniff"
    assert requests.get(address + "0", timeout=30).status_code == 401
    assert requests.get(address + "1", timeout=30, headers=console.cookie()).status_code == 404


def test_an_ask_reaches_the_loop_once_and_says_what_becomes_of_it(console: Served):
    console.desk.check = lambda said: Answer(True, f"{type(said).__name__} taken")
    answer = ask(console, {"what": "calibrate", "operator": "anna", "pose": "t"})
    assert (answer.status_code, answer.text) == (200, "Calibrate taken\n")
    assert console.desk.take() == Calibrate("anna", "t") and console.desk.take() is None
    assert ask(console, {"what": "force_limit", "newton": None}).status_code == 200
    assert ask(console, {"what": "source", "name": "vmc"}).status_code == 200
    assert (console.desk.take(), console.desk.take()) == (ForceLimit(None), ChooseSource("vmc"))


def test_a_refusal_is_one_sentence_and_reaches_nobody(console: Served):
    console.desk.check = lambda _said: Answer(False, "the robot is ACTIVE")
    answer = ask(console, {"what": "source", "name": "vmc"})
    assert (answer.status_code, answer.text, console.desk.take()) == (409, "the robot is ACTIVE\n", None)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b'{"what":"format"}', b'{"what":"source","name":5}', b'{"what":"source"}',
        b'{"what":"calibrate","operator":"a","pose":"x"}', b'{"what":"source","name":"a","more":1}',
        b"[" * 500, b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused_in_a_sentence(console: Served, body: bytes):
    console.desk.check = lambda _said: Answer(True, "taken")
    answer = ask(console, body)
    assert answer.status_code == 400 and answer.text.startswith("this is no question of a page: ")
    assert console.desk.take() is None


def test_who_may_only_look_asks_for_nothing(console: Served):
    console.desk.check = lambda _said: Answer(True, "taken")
    question = {"what": "source", "name": "vmc"}
    assert ask(console, question, Role.WATCH).status_code == 403
    assert ask(console, question, None).status_code == 401
    assert ask(console, question, Origin="http://evil.example").status_code == 403
    assert ask(console, question, **{"Content-Type": "text/plain"}).status_code == 415
    assert ask(console, b" " * 5000).status_code in (400, 413)
    assert console.desk.take() is None


def test_a_flood_of_asks_does_not_pile_up(console: Served):
    console.desk.check = lambda _said: Answer(True, "taken")
    answers = [ask(console, {"what": "source", "name": "vmc"}).status_code for _ in range(MOST_WAITING + 2)]
    assert answers == [200] * MOST_WAITING + [409] * 2
    while console.desk.take() is not None:
        pass
