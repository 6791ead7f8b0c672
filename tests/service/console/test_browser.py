"""The page in a real browser: Debian's Chromium, driven by Playwright, without a network but the loopback."""

from __future__ import annotations

import contextlib
import io
import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("viser")
pytest.importorskip("playwright")

import numpy as np
import playwright.sync_api as api
from PIL import Image

from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.capture.records import SHOWING, TILE_BYTES, CameraStatus, CameraTile, as_bytes, as_text
from teleopd.service.console.access import Role
from teleopd.service.console.facts import RunFacts
from teleopd.service.console.gateway import Gateway
from teleopd.service.console.keeper import Keeper
from teleopd.service.console.relay import Relay
from teleopd.service.latency_status import BUCKETS_MS, STAGES, LatencyStatus
from teleopd.service.setup_words import KINDS, SetupStatus
from teleopd.service.streams import Bus, PolicyStatus

from .people import t_posed
from .served import SECRET, Served, serving

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(300)]

CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SMALL = {"viewport": {"width": 640, "height": 480}, "device_scale_factor": 0.25}
"""Without a graphics card each pixel of the 3D view costs."""
TABLET = {"viewport": {"width": 768, "height": 1024}, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
WAIT_MS = 90_000
"""Longer than a page takes to draw without a graphics card on a busy machine."""


FACTS = RunFacts("xsens", "", "twist2", ("pico", "xsens"), "", (("default", "teleop serve --policy default"),))
CAMERA = CameraStatus(1, SHOWING, 15.0, 100, 0, 0, 320, 240, as_bytes("head", 32), as_bytes("", 400))


def picture(frame: int) -> bytes:
    """A JPEG, brighter from one to the next."""
    written = io.BytesIO()
    Image.new("RGB", (64, 48), (100 + 20 * (frame % 8), 50, 50)).save(written, "JPEG")
    return written.getvalue()


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
def driver():
    """Playwright; there can be one at a time."""
    with api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(driver):
    """One that cannot draw in 3D, as an old tablet: what stops the robot must not need it, and CI has no graphics."""
    opened = started(driver, "--disable-3d-apis")
    yield opened
    opened.close()


@pytest.fixture
def browser(chromium):
    """Without the pages of earlier tests: they would go on drawing and asking."""
    yield chromium
    for context in chromium.contexts:
        context.close()


class Stage:
    """What the run does; tests turn the knobs."""

    mode = Mode.ACTIVE


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def console(snapshot, make, stage: Stage, owner: SessionOwner, tmp_path: Path, monkeypatch) -> Iterator[Served]:
    """Shown as the console process shows it, a run that goes on, ten times a second."""
    monkeypatch.setenv("TELEOPD_OPERATORS", str(tmp_path / "operators"))
    ended = threading.Event()
    with serving() as served:
        bus = Bus(owner.session, MODEL.n, create=True)
        keeper = Keeper(MODEL, bus, served.desk, asks=True, token=owner.session.token, facts=FACTS)

        def run() -> None:
            frame = 0
            while not ended.wait(0.1):
                frame += 1
                now_ns = snapshot.now_ns + frame * 100_000_000
                publish(bus, frame, now_ns, snapshot.now_ns)
                now = snapshot._replace(
                    now_ns=now_ns, state=snapshot.state._replace(q=snapshot.state.q + 0.3 * (frame // 3 % 2)),
                    safety=make["status"](stage.mode), human=t_posed(now_ns - 5_000_000, frame),
                    policy=PolicyStatus(now_ns, 0, 0.0, 0.0, 10.0, False),
                )  # fmt: skip
                served.view.serve_operator(now_ns)
                if frame % 3 == 0:
                    served.view.show(now)
                keeper.serve(keeper.complete(now))

        thread = threading.Thread(target=run)
        thread.start()
        yield served
        ended.set()
        thread.join()


def publish(bus: Bus, frame: int, now_ns: int, began_ns: int) -> None:
    """What others write: latencies, a camera that goes on, one that stalls, the parent's answer to a wish."""
    counts = np.full((len(STAGES), len(BUCKETS_MS) + 1), frame)
    sums = frame * 12.0 * counts.sum(axis=1) / frame + 200.0 * (frame % 7)
    bus.slot("latency_status").write(LatencyStatus(now_ns, counts, sums, np.full((len(STAGES), 4), 11.0)))
    for number, hz, taken_ns, jpeg in ((0, 15.0, now_ns - 80_000_000, picture(frame)), (2, 0.0, began_ns, picture(0))):
        bus.slot(f"camera_status_{number}").write(CAMERA._replace(hz=hz))
        padded = np.zeros(TILE_BYTES, np.uint8)
        padded[: len(jpeg)] = np.frombuffer(jpeg, np.uint8)
        bus.slot(f"camera_tile_{number}").write(CameraTile(taken_ns, len(jpeg), padded))
    wish = bus.slot("setup_console").read()
    if wish is not None:
        source, operator = ("pico", "") if KINDS[wish.kind] == "source" else ("xsens", as_text(wish.name))
        said = as_bytes(f"{KINDS[wish.kind]} {as_text(wish.name)} from now on", 400)
        bus.slot("setup_status").write(
            SetupStatus(now_ns, wish.seq, False, as_bytes(source, 64), as_bytes(operator, 64), said)
        )


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
    page = opened(browser, console, role, **TABLET)
    button = page.locator("#teleopd-stop button")
    box = button.bounding_box()
    assert box is not None and box["width"] >= 200 and box["height"] >= 80
    assert box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= 768 and box["y"] + box["height"] <= 1024
    button.tap()
    until(page, lambda: console.operator.stops == 1, "a finger stops")
    page.keyboard.press("Escape")
    until(page, lambda: console.operator.stops == 2, "the key stops")
    page.get_by_text("stop sent").wait_for()


@pytest.mark.parametrize("size", [TABLET, DESKTOP])
def test_a_browser_without_3d_is_told_what_is_missing_and_what_works(browser, console: Served, size):
    """viser shows neither the robot nor its buttons then, and would leave an empty page."""
    page = opened(browser, console, **size)
    sentence = page.locator("#teleopd-flat")
    assert "ready, arm and hold to run are missing" in sentence.text_content()
    said, stop = sentence.bounding_box(), page.locator("#teleopd-stop button").bounding_box()
    assert said is not None and stop is not None and said["y"] + said["height"] < stop["y"], "it covers nothing"
    assert said["y"] >= 0 and said["x"] >= 0 and said["x"] + said["width"] <= size["viewport"]["width"]


def picture_of(plot) -> str:
    return plot.evaluate("canvas => canvas.toDataURL()")


@pytest.mark.parametrize("role", Role)
def test_the_plots_move_and_name_their_units(browser, console: Served, role: Role):
    page = opened(browser, console, role, **DESKTOP)
    titles = page.locator("#teleopd-side .plots h3").all_text_contents()
    assert titles == [
        "latency per stage [ms]", "source rate [Hz]", "source age [ms]", "loop lateness p99 [ms]"
    ]  # fmt: skip
    plot = page.locator("#teleopd-plot-latency-per-stage")
    until(page, lambda: int(plot.get_attribute("data-points") or 0) >= 8, "figures arrive")
    before, said = picture_of(plot), plot.get_attribute("aria-label")
    assert all(stage.replace("_", " ") in said for stage in STAGES) and said.count(" ms") == len(STAGES)
    until(page, lambda: picture_of(plot) != before and plot.get_attribute("aria-label") != said, "the plot moves")
    assert page.locator("#teleopd-plot-source-rate").get_attribute("aria-label") == "source rate: rate 120 Hz"
    limbs = page.locator("#teleopd-side .chips span").all_text_contents()
    assert len(limbs) == 6 and all(limb.endswith(" tracked") for limb in limbs)
    assert page.locator("#teleopd-side .gate").text_content() == "no intervention"


PIXEL = """image => {
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data[0];
}"""


def test_camera_tiles_show_pictures_that_go_on_and_say_when_one_stalls(browser, console: Served):
    page = opened(browser, console, Role.WATCH, **DESKTOP)
    tiles = page.locator("#teleopd-side .tiles figure")
    until(page, lambda: tiles.count() == 2, "a tile for each camera")
    tiles.first.get_by_text("head: 15 Hz, 0.1 s old").wait_for()
    assert tiles.first.locator(".words").text_content() == ""
    image = tiles.first.locator("img")
    until(page, lambda: image.get_attribute("data-seq"), "a picture is shown")
    before = image.evaluate(PIXEL)
    assert 80 <= before <= 255, "its own colour"
    until(page, lambda: image.evaluate(PIXEL) != before, "pictures go on")
    tiles.nth(1).get_by_text("no picture for", exact=False).wait_for()
    assert "stalled" in tiles.nth(1).get_attribute("class")


def saying(page, selector: str, words: str) -> None:
    """Wait until that part of the page says so."""
    part = page.locator(selector)
    until(page, lambda: words in (part.text_content() or ""), f"{selector}: '{words}', not '{part.text_content()}'")


def test_an_operator_is_calibrated_from_the_page_and_stops_with_the_keyboard_meanwhile(
    browser, console: Served, stage: Stage, tmp_path: Path
):
    page = opened(browser, console, **DESKTOP)
    stage.mode = Mode.IDLE
    saying(page, ".mode", "IDLE")
    button, said = page.locator(".calibration button"), "#teleopd-side .calibration .said"
    button.click()
    saying(page, said, "refused: operator '' cannot be a file name")
    name = page.locator(".calibration input")
    name.fill("anna")
    name.press("Escape")
    until(page, lambda: console.operator.stops == 1, "the key stops while a name is typed")
    button.click()
    saying(page, ".calibration .big", "T-pose in")
    page.keyboard.press("Escape")
    until(page, lambda: console.operator.stops == 2, "the key stops while it counts down")
    saying(page, ".calibration .big", "hold still")
    page.keyboard.press("Escape")
    until(page, lambda: console.operator.stops == 3, "the key stops while it measures")
    saying(page, said, "anna: T-pose of")
    assert "scales: legs" in page.locator(said).text_content() and (tmp_path / "operators" / "anna.toml").is_file()
    saying(page, ".run .now", "operator anna")


def test_nothing_is_calibrated_or_chosen_while_the_robot_follows(browser, console: Served, stage: Stage):
    page = opened(browser, console, **DESKTOP)
    saying(page, ".mode", "ACTIVE")
    page.locator(".calibration input").fill("anna")
    page.locator(".calibration button").click()
    saying(page, ".calibration .said", "refused: the robot is ACTIVE; calibrate while it does not follow you")
    assert page.locator(".source button").is_disabled()
    answer = page.evaluate(
        """() => fetch("/teleopd/ask", {method: "POST", headers: {"Content-Type": "application/json"},
        body: '{"what":"source","name":"pico"}'}).then(async (a) => a.status + " " + await a.text())"""
    )
    assert answer.startswith("409 the robot is ACTIVE; source and operator are changed in IDLE, READY, DAMPED")


def test_source_and_policy_are_chosen_before_arming(browser, console: Served, stage: Stage):
    page = opened(browser, console, **DESKTOP)
    stage.mode = Mode.READY
    saying(page, ".run .now", "source xsens, policy twist2")
    page.locator(".policy select").select_option("default")
    saying(page, ".run .command", "another policy needs a restart: teleop serve --policy default")
    use = page.locator(".source button")
    until(page, lambda: use.is_enabled(), "READY is before arming")
    page.locator(".source select").select_option("pico")
    use.click()
    saying(page, ".run .said", "source pico from now on")
    saying(page, ".run .now", "source pico, policy twist2")


def test_the_force_limit_is_asked_for_with_a_slider(browser, console: Served):
    page = opened(browser, console, **DESKTOP)
    saying(page, ".force h3", "force limit of the arms: 10.0 N")
    slider = page.locator(".force input")
    slider.focus()
    slider.press("ArrowLeft")
    saying(page, ".force .said", "force limit: to 9.5 N at 1 N/s")
    slider.press("Escape")
    until(page, lambda: console.operator.stops == 1, "the key stops from the slider")


def test_who_only_watches_is_offered_no_control(browser, console: Served, stage: Stage):
    page = opened(browser, console, Role.WATCH, **DESKTOP)
    stage.mode = Mode.IDLE
    saying(page, ".run .now", "source xsens, policy twist2")
    for part in (".calibration", ".force", ".row.source"):
        assert page.locator(f"#teleopd-side {part}").is_hidden(), part


def apart(one: dict, other: dict) -> bool:
    """Whether two boxes share no point."""
    return any(
        first[at] + first[size] <= second[at]
        for first, second in itertools.permutations((one, other))
        for at, size in (("x", "width"), ("y", "height"))
    )


BETWEEN = pytest.param({"viewport": {"width": 1024, "height": 768}}, marks=pytest.mark.long)


@pytest.mark.parametrize("size", [TABLET, BETWEEN, DESKTOP], ids=str)
def test_the_figures_never_cover_the_soft_stop_and_escape_stops_from_within_them(browser, console: Served, size):
    page = opened(browser, console, **size)
    toggle, button = page.locator("#teleopd-side .head button"), page.locator("#teleopd-stop button")
    if toggle.get_attribute("aria-expanded") == "false":
        toggle.click()
    page.locator("#teleopd-side canvas").first.wait_for()
    assert apart(page.locator("#teleopd-side").bounding_box(), page.locator("#teleopd-stop").bounding_box())
    button.click()
    until(page, lambda: console.operator.stops == 1, "the button stops with the figures open")
    toggle.focus()
    page.keyboard.press("Escape")
    until(page, lambda: console.operator.stops == 2, "the key stops with the focus in the figures")
    toggle.click()
    page.locator("#teleopd-side canvas").first.wait_for(state="hidden")
    until(page, lambda: console.desk.watchers == 0, "hidden figures cost nothing")


def test_figures_that_stop_coming_are_said(browser, console: Served):
    page = opened(browser, console, **DESKTOP)
    plot = page.locator("#teleopd-plot-latency-per-stage")
    until(page, lambda: int(plot.get_attribute("data-points") or 0) >= 1, "figures arrive")
    console.gateway.close()
    page.get_by_text("no figures for", exact=False).wait_for()


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
def test_the_page_shows_the_run_and_asks_nobody_else(driver, console: Served):
    with contextlib.closing(started(driver, "--enable-unsafe-swiftshader")) as browser:
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
        assert page.locator("#teleopd-flat").count() == 0, "it can draw"
        before = page.locator("canvas").first.screenshot()
        until(page, lambda: page.locator("canvas").first.screenshot() != before, "the robot moves")
