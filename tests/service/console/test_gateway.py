from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("viser")
pytest.importorskip("aiohttp")

import requests
import websockets

from teleopd.safety.words import Act
from teleopd.service.console import gateway as module
from teleopd.service.console.access import Access, Role, Tokens
from teleopd.service.console.errors import CertificateRefused, KeyEncrypted, PortTaken
from teleopd.service.console.relay import BURST, MAX_MESSAGE
from teleopd.service.console.tls import server_context

from .served import CAMERA, SECRET, Served, said, serving


@pytest.fixture(scope="module")
def console() -> Iterator[Served]:
    with serving() as served:
        yield served


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def get(console: Served, path: str = "/", **options) -> requests.Response:
    return requests.get(console.access.address + path, timeout=30, allow_redirects=False, **options)


def post(console: Served, path: str = "/stop", **options) -> requests.Response:
    return requests.post(console.access.address + path, timeout=30, **options)


def test_without_the_token_there_is_no_page_no_file_no_socket_and_no_stop(console: Served):
    stops = console.operator.stops
    for path in ("/", "/index.html", "/teleopd/console.js", "/alive", "/assets/x.js"):
        answer = get(console, path)
        assert (answer.status_code, "needs its token" in answer.text) == (401, True), path
    assert post(console).status_code == 401
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        console.page(role=None)
    assert caught.value.response.status_code == 401
    assert console.operator.stops == stops


def test_the_printed_address_leads_to_the_page_and_its_token_leaves_the_address(console: Served):
    browser = requests.Session()
    answer = browser.get(console.access.url(), timeout=30)
    assert answer.status_code == 200 and answer.url == console.access.address + "/"
    assert "/teleopd/console.js" in answer.text and console.access.tokens.operate not in answer.text
    set_cookie = answer.history[0].headers["Set-Cookie"]
    assert "HttpOnly" in set_cookie and "SameSite=Lax" in set_cookie
    assert browser.get(console.access.address + "/alive", timeout=30).json() == {"role": "operate"}
    assert browser.get(console.access.address + "/nothing", timeout=30).status_code == 404
    script = browser.get(console.access.address + "/teleopd/console.js", timeout=30)
    assert "SOFT STOP" in script.text and script.headers["Content-Type"].startswith("application/javascript")


def test_other_pages_are_told_no_whatever_they_carry(console: Served):
    """A page of another site in the operator's browser, cookie sent along or not."""
    stops = console.operator.stops
    evil = {"Origin": "http://evil.example", **console.cookie()}
    assert post(console, headers=evil).status_code == 403
    assert get(console, headers=evil).status_code == 403
    rebound = {"Host": "evil.example", "Origin": "http://evil.example"}  # its name was pointed at this address
    assert post(console, headers=rebound).status_code == 401
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        console.page(origin="http://evil.example")
    assert caught.value.response.status_code == 403
    assert console.operator.stops == stops
    assert post(console, headers={"Origin": console.access.address, **console.cookie()}).status_code == 200
    assert console.operator.stops == stops + 1
    for name, value in module.SECURITY.items():
        assert get(console, headers=console.cookie()).headers[name] == value


@pytest.mark.parametrize("role", Role)
def test_everybody_who_may_look_may_stop(console: Served, role: Role):
    stops = console.operator.stops
    assert post(console, headers=console.cookie(role)).status_code == 200
    tokens = console.access.tokens
    bearer = {"Authorization": f"Bearer {tokens.operate if role is Role.OPERATE else tokens.watch}"}
    assert post(console, headers=bearer).status_code == 200
    assert console.operator.stops == stops + 2


def test_a_press_that_is_repeated_on_the_way_is_one_press(console: Served):
    """A second press damps: a browser that sends its request again must not be taken for one."""
    stops = console.operator.stops
    for press in ("one", "one", "one", "two"):
        assert post(console, f"/stop?press={press}", headers=console.cookie()).text == "stop sent\n"
    assert console.operator.stops == stops + 2
    assert post(console, "/stop?press=" + "x" * 65, headers=console.cookie()).status_code == 400
    assert console.operator.stops == stops + 2


def test_guessing_is_braked_and_the_right_token_still_opens():
    with serving() as console:
        wrong = {"Cookie": f"teleopd_{console.access.port}=guess"}
        codes = [get(console, headers=wrong).status_code for _ in range(14)]
        assert codes == [401] * 10 + [429] * 4
        assert get(console, "/?token=guess").status_code == 429
        assert get(console, headers=console.cookie()).status_code == 200


def test_a_page_works_through_the_gateway_and_presses_what_its_role_allows(console: Served):
    console.operator.said.clear()
    with console.page(Role.WATCH) as watcher, console.page(Role.OPERATE) as operator:
        for page in (watcher, operator):
            assert page.recv(timeout=30)
            page.send(said(CAMERA))
        until(lambda: len(console.view.server.get_clients()) == 2, "both pages are there")
        watcher.send(said({"type": "GuiUpdateMessage", "uuid": console.button("ready"), "updates": {"value": True}}))
        watcher.send(said({"type": "GuiButtonHoldMessage", "uuid": console.button("hold to run"), "frequency": 20.0}))
        watcher.send(
            said({"type": "GuiUpdateMessage", "uuid": console.button("SOFT STOP"), "updates": {"value": True}})
        )
        until(lambda: console.view._acts, "the watcher's stop")
        operator.send(said({"type": "GuiUpdateMessage", "uuid": console.button("ready"), "updates": {"value": True}}))
        until(lambda: len(console.view._acts) == 2, "the operator's ready")
    for now_ns in range(5):
        console.view.serve_operator(now_ns)
    assert console.operator.said == [(Act.STOP, 0), (Act.READY, 1)], "and no word of the watcher's other presses"


@pytest.mark.parametrize(
    "bad",
    [
        b"\xc1 no msgpack",
        b"",
        said({"no": "type"}),
        said({"type": 5}),
        b"\x91" * 5000,
        "text",
        b"\x00" * (MAX_MESSAGE + 1),
    ],
    ids=["garbage", "empty", "untyped", "mistyped", "nested", "text", "huge"],
)
def test_a_page_that_sends_what_no_page_sends_is_cut_and_the_others_stay(console: Served, bad):
    with console.page() as other, console.page() as page:
        other.recv(timeout=30)
        page.send(bad)
        with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
            while True:
                page.recv(timeout=30)
        assert caught.value.rcvd is None or caught.value.rcvd.code in (1008, 1009), "closed, or reset with data unread"
        other.send(said(CAMERA))
        assert other.recv(timeout=30)


def test_a_page_that_floods_is_cut(console: Served):
    unruly = console.relay.unruly
    with console.page() as page, pytest.raises(websockets.exceptions.ConnectionClosed):
        for _ in range(50 * BURST):
            page.send(said(CAMERA))
        page.recv(timeout=30)
    until(lambda: console.relay.unruly == unruly + 1, "it is counted")


def test_no_more_pages_than_it_may_serve(console: Served):
    with contextlib.ExitStack() as stack:
        for _ in range(module.MAX_PAGES):
            stack.enter_context(console.page())
        with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
            console.page()
        assert caught.value.response.status_code == 503
        assert post(console, headers=console.cookie()).status_code == 200, "stopping needs no page"
    until(lambda: console.gateway._pages == 0, "they are gone")


def test_hundreds_of_silent_connections_crowd_nobody_out(console: Served):
    with contextlib.ExitStack() as stack:
        for i in range(300):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", console.access.port), timeout=30))
            if i % 2:
                one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")  # and never the rest
        assert post(console, headers=console.cookie()).status_code == 200
        until(lambda: len(console.gateway._silent) <= module.MAX_SILENT, "the oldest were cut")


def test_who_stays_silent_is_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "FIRST_REQUEST_S", 0.2)
    with serving() as console, socket.create_connection(("127.0.0.1", console.access.port), timeout=30) as one:
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(1) == b""
        assert console.gateway._silent == {}


def test_viser_answers_only_the_gateway(console: Served):
    inner = f"http://127.0.0.1:{console.view.port}"
    assert requests.get(inner, timeout=30).status_code == 403
    assert requests.get(inner, timeout=30, headers={"X-Teleopd-Inner": "guess"}).status_code == 403
    assert requests.get(inner, timeout=30, headers={"X-Teleopd-Inner": SECRET}).status_code == 200
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        websockets.sync.client.connect(inner.replace("http", "ws"))
    assert caught.value.response.status_code == 403


def test_a_taken_port_is_an_error_not_another_port(console: Served):
    with pytest.raises(PortTaken) as caught:
        module.Gateway(console.access, console.relay, lambda: None)
    assert str(caught.value) == (
        f"port {console.access.port} on 127.0.0.1 is in use, so the browser view cannot start; "
        "choose another with --view-port"
    )


def test_with_a_certificate_it_speaks_tls_and_the_cookie_travels_no_other_way(tmp_path: Path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with serving(certificate=certificate, private_key=key) as console:
        answer = requests.get(console.access.url(), timeout=30, verify=str(certificate), allow_redirects=False)
        assert answer.status_code == 303 and "Secure" in answer.headers["Set-Cookie"]
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(console.access.address.replace("https", "http"), timeout=30)


@pytest.mark.parametrize("alone", [True, False])
def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path, alone: bool):
    """Also where key and certificate share a file. OpenSSL would ask on the terminal, and the service wait."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "1", "-subj",
         "/CN=localhost", "-passout", "pass:hello", "-keyout", key, "-out", certificate], capture_output=True,
    )  # fmt: skip
    assert made.returncode == 0 and "ENCRYPTED" in key.read_text()
    if not alone:
        certificate.write_text(certificate.read_text() + key.read_text())
    with pytest.raises(KeyEncrypted) as caught:
        server_context(Access(1, Tokens("", ""), certificate=certificate, private_key=key if alone else None))
    assert str(caught.value) == (
        f"the key {key if alone else certificate} is encrypted, so the browser view cannot start; "
        "give one without a pass phrase"
    )


def test_a_name_that_no_file_has_is_refused(tmp_path: Path):
    with pytest.raises(CertificateRefused, match="no certificate with its private key"):
        server_context(Access(1, Tokens("", ""), certificate=tmp_path / "a\0b"))


def test_files_that_are_no_certificate_are_refused_by_name(tmp_path: Path):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with (
        pytest.raises(CertificateRefused, match=r"wrong\.pem: no certificate with its private key"),
        serving(certificate=wrong),
    ):
        pass
