"""Makes the pictures of the documentation from a real run of `teleop demo`: docs/pictures/view.png, and console.png and
player.png where Chromium is installed (Debian package: chromium).

    python docs/make_pictures.py [--motion NAME] [--policy FILE]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from teleopd.launch.console_access import load_tokens, token_file
from teleopd.service.console.access import Access

PICTURES = Path(__file__).resolve().parent / "pictures"
PORT = 18765
INTO_THE_MOTION_S = 14.0
PLAYER_PORT, INTO_THE_EPISODE_S = 18766, 9.0
CHROMIUM = (
    "--headless", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--no-first-run", "--hide-scrollbars",
    "--window-size=1400,820", "--virtual-time-budget=1000000", "--timeout=15000",
)  # fmt: skip

CONSOLE_CHROMIUM = ("--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking", "--no-first-run")
CONSOLE_WIDTH, CONSOLE_HEIGHT = 1400, 820
PATIENCE_MS = 120_000.0
"""A page takes a while where a processor draws it."""


def address() -> str:
    """The operator's page, with the token of this user."""
    return Access(PORT, load_tokens(token_file(), print)).url()


def wait_for_page(process: subprocess.Popen[bytes], page: Callable[[], str]) -> bool:
    """True once the page answers; False when the process ended before."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(page(), timeout=1):
                return True
        except urllib.error.HTTPError:
            return True  # it answers; who keeps no cookie is asked for the token again
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return False


def photograph_browser(target: Path, page: str) -> None:
    """Screenshot of a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        print(f"no Chromium here, so no {target.name}; install it with: apt-get install chromium")
        return
    command = [browser, *CHROMIUM, f"--screenshot={target}", page]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    print(f"wrote {target}")


def photograph_console(target: Path, page: str, wait_s: float) -> None:
    """Screenshot of the operator's page once its plots hold `wait_s` [s] of figures; needs Playwright and Pillow."""
    import playwright.sync_api as api
    from PIL import Image

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print(f"no Chromium here, so no {target.name}; install it with: apt-get install chromium")
        return
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=list(CONSOLE_CHROMIUM))
        tab = opened.new_page(viewport={"width": CONSOLE_WIDTH, "height": CONSOLE_HEIGHT})
        tab.set_default_timeout(PATIENCE_MS)
        tab.goto(page)
        points = "Number(document.querySelector('#teleopd-plot-latency-per-stage')?.dataset.points || 0)"
        tab.wait_for_function(f"{points} >= {round(10 * wait_s)}")
        tab.screenshot(path=target, timeout=PATIENCE_MS)
        opened.close()
    Image.open(target).convert("RGB").quantize(256).save(target, optimize=True)  # a third of the size
    print(f"wrote {target}")


def photograph_player(episode: Path, at_s: float) -> None:
    """Screenshot of an episode that is shown again, `at_s` after its beginning [s]."""
    page = f"http://127.0.0.1:{PLAYER_PORT}"
    player = subprocess.Popen([
        sys.executable, "-m", "teleopd.launch.cli", "capture", "play", str(episode), "--view-port", str(PLAYER_PORT),
        "--at", str(at_s), "--paused",
    ])  # fmt: skip
    try:
        if wait_for_page(player, lambda: page):
            photograph_browser(PICTURES / "player.png", page)
    finally:
        player.terminate()
        player.wait()


def main() -> int:
    """Run the demo, photograph its view, keep its snapshot; the demo's own exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion", default="wave")
    parser.add_argument("--policy", default=None)
    chosen = parser.parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable, "-m", "teleopd.launch.cli", "demo", "--motion", chosen.motion, "--out", out,
            "--view-port", str(PORT), "--record", f"{out}/episodes", "--camera", "head=virtual",
        ]  # fmt: skip
        demo = subprocess.Popen(command + (["--policy", chosen.policy] if chosen.policy else []))
        try:
            if wait_for_page(demo, address):
                photograph_console(PICTURES / "console.png", address(), INTO_THE_MOTION_S)
            status = demo.wait(timeout=300)
        finally:
            demo.terminate()
        photograph_player(next(Path(out, "episodes").glob("*.mcap")), INTO_THE_EPISODE_S)
        shutil.copyfile(Path(out) / "view.png", PICTURES / "view.png")
    print(f"wrote {PICTURES / 'view.png'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
