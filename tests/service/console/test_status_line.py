from __future__ import annotations

import io

from rich.console import Console

from teleopd.safety.words import Cause, Mode
from teleopd.service.console.snapshot import Snapshot
from teleopd.service.console.status_line import render_status
from teleopd.service.link_status import LinkStatus


def text_of(snapshot: Snapshot) -> str:
    console = Console(file=io.StringIO(), width=130, record=True)
    console.print(render_status(snapshot))
    return console.export_text()


def test_a_healthy_run(snapshot):
    text = text_of(snapshot)
    for expected in (
        "ACTIVE for 3.0 s deadman held", "next: release to stop following",
        "streaming at 119.9 Hz, newest frame 5 ms old", "5000 received, 3 dropped, 0 rejected",
        "receipt to target 11.0 / 19.5", "no intervention", "control late p99 1.25 ms, missed 4, CPU 8 %",
    ):  # fmt: skip
        assert expected in text
    assert "!" not in text


def test_before_anything_was_published():
    text = text_of(Snapshot(0, None, None, None, None, None, None, None, {}, {}))
    for expected in ("starting", "wait: the robot loop has not started", "connecting, no frame yet", "nothing meas"):
        assert expected in text


def test_trouble_is_shown(snapshot, make):
    gate = make["status"]().gate_counts.copy()
    gate[2] = 17
    safety = make["status"](Mode.HOLD, causes=1 << Cause.SOURCE_STALE, gate_counts=gate, engage_held=False)
    later = snapshot._replace(safety=safety, source=make["source_status"](state=2), human=None)
    text = text_of(later._replace(now_ns=snapshot.now_ns + 900_000_000))
    for expected in ("HOLD for 3.9 s", "newest frame 908 ms old", "17 ticks with an intervention", "! source stale"):
        assert expected in text
    assert "deadman" not in text


def test_markup_in_a_peers_text_is_not_interpreted(snapshot):
    assert "! [bold]x[/bold]" in text_of(snapshot._replace(notes=("[bold]x[/bold]",)))


def test_the_link_is_shown_where_something_crossed_it(snapshot):
    assert "hardware" not in text_of(snapshot)
    link = LinkStatus(7, 15, 500, 0, 2, 0, 480, 0, 0, 1, 0)
    text = text_of(snapshot._replace(link=link))
    assert "hardware 15, 500 reports, 480 commands, 2 with a wrong checksum, 1 commands of others" in text
    assert "hardware" not in text_of(snapshot._replace(link=LinkStatus(7, -1, *[0] * 9)))
