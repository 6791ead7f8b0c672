"""The page in a real browser: Debian's Chromium, driven by Playwright, without a network but the loopback."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("viser")
pytest.importorskip("playwright")

import playwright.sync_api as api

from teleopd.service.console.access import Role
from teleopd.service.console.gateway import Gateway
from teleopd.service.console.relay import Relay

from .served import SECRET, Served, serving

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(300)]

CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SMALL = {"viewport": {"width": 640, "height": 480}, "device_scale_factor": 0.25}
"""Without a graphics card each pixel of the 3D view costs."""
WAIT_MS = 90_000
"""Longer than a page takes to draw without a graphics card on a busy machine."""


def until(page, condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_MS / 1e3
    while not condition():
        assert time.monotonic() < deadline, what
        page.wait_for_timeout(50)


def started(playwright, *flags: str):
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "no Chromium; make setup installs it"
    return playwright.chromium.launch(executable_path=program, args=[*CHROMIUM, *flags])


@pytest.fixture(scope="module")
def browser():
    """One that cannot draw in 3D, as an old tablet: what stops the robot must not need it, and CI has no graphics."""
    with api.sync_playwright() as playwright:
        opened = started(playwright, "--disable-3d-apis")
        yield opened
        opened.close()


@pytest.fixture
def console(snapshot) -> Iterator[Served]:
    """Shown as the console process shows it, a run that goes on."""
    ended = threading.Event()
    with serving() as served:

        def run() -> None:
            frame = 0
            while not ended.wait(1 / 4):
                frame += 1
                now_ns = snapshot.now_ns + frame * 250_000_000
                q = snapshot.state.q + 0.3 * (frame % 2)
                served.view.serve_operator(now_ns)
                served.view.show(snapshot._replace(now_ns=now_ns, state=snapshot.state._replace(q=q)))

        thread = threading.Thread(target=run)
        thread.start()
        yield served
        ended.set()
        thread.join()


def opened(browser, console: Served, role: Role = Role.OPERATE, **view: object):
    page = browser.new_context(**SMALL | view).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(console.access.url(role))
    assert console.access.tokens.operate not in page.url
    page.get_by_text("key: Escape", exact=False).wait_for()
    return page


def test_without_the_token_there_is_a_sentence_and_nothing_to_press(browser, console: Served):
    page = browser.new_context(**SMALL).new_page()
    page.goto(console.access.address)
    assert "needs its token" in page.content() and page.locator("button").count() == 0


@pytest.mark.parametrize("role", Role)
def test_the_soft_stop_is_a_finger_or_a_key_away_on_a_tablet(browser, console: Served, role: Role):
    page = opened(browser, console, role, viewport={"width": 768, "height": 1024}, has_touch=True)
    button = page.locator("#teleopd-stop button")
    box = button.bounding_box()
    assert box is not None and box["width"] >= 200 and box["height"] >= 80
    assert box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= 768 and box["y"] + box["height"] <= 1024
    button.tap()
    until(page, lambda: console.operator.stops == 1, "a finger stops")
    page.keyboard.press("Escape")
    until(page, lambda: console.operator.stops == 2, "the key stops")
    page.get_by_text("stop sent").wait_for()


def test_a_page_finds_its_way_back_after_a_restart_and_says_while_it_is_lost(browser, console: Served):
    page = opened(browser, console)
    console.gateway.close()
    page.get_by_text("NO CONNECTION: nothing here reaches the robot").wait_for()
    page.locator("#teleopd-stop button").click()
    page.get_by_text("NOT SENT", exact=False).or_(page.get_by_text("NO CONNECTION", exact=False)).first.wait_for()
    assert console.operator.stops == 0
    again = Gateway(
        console.access, Relay(console.view.port, SECRET, lambda: console.view.stop_buttons), console.operator.stop
    )
    try:
        page.get_by_text("key: Escape", exact=False).wait_for()
        page.locator("#teleopd-stop button").click()
        until(page, lambda: console.operator.stops == 1, "it stops again")
    finally:
        again.close()


@pytest.mark.long  # two minutes where the processor draws
def test_the_page_shows_the_run_and_asks_nobody_else(console: Served):
    with api.sync_playwright() as playwright:
        browser = started(playwright, "--enable-unsafe-swiftshader")
        context = browser.new_context(**SMALL)
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(console.access.url())
        page.get_by_text("ACTIVE", exact=True).first.wait_for()
        page.locator("canvas").first.wait_for()
        foreign = [url for url in asked if not url.startswith((console.access.address, "data:", "blob:"))]
        assert not foreign, "the page works without the internet"
        before = page.locator("canvas").first.screenshot()
        until(page, lambda: page.locator("canvas").first.screenshot() != before, "the robot moves")
        browser.close()
