from __future__ import annotations

import re

import numpy as np
import pytest

from teleopd.safety.words import Cause, Mode
from teleopd.service.console.panel import facts_html, ladder_html, mode_html


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_is_shown_with_its_next_act(snapshot, make, mode):
    html = mode_html(snapshot._replace(safety=make["status"](mode)))
    assert words(html).startswith(f"{mode.name} IDLE READY ARMED ACTIVE next: ")


@pytest.mark.parametrize(
    ("mode", "rung"),
    [
        (Mode.CHECK, "IDLE"), (Mode.READY, "READY"), (Mode.ACTIVE, "ACTIVE"), (Mode.HOLD, "ACTIVE"),
        (Mode.RETURN, "ARMED"), (Mode.DAMPED, None), (None, None),
    ],
)  # fmt: skip
def test_the_ladder_marks_the_rung_the_robot_is_on(mode: Mode | None, rung: str | None):
    marked = re.findall(r"color:white\">(\w+)<", ladder_html(mode))
    assert marked == ([] if rung is None else [rung])


def test_before_robot_io_spoke(snapshot):
    html = mode_html(snapshot._replace(safety=None))
    assert words(html) == "STARTING IDLE READY ARMED ACTIVE next: wait: the robot loop has not started"


def test_facts(snapshot, make):
    counts = make["status"]().cause_counts.copy()
    counts[Cause.SOURCE_STALE] = 2
    text = words(facts_html(snapshot._replace(safety=make["status"](cause_counts=counts))))
    for expected in (
        "source streaming", "rate 119.9 Hz", "age 5 ms", "receipt to target 11.0 ms, p99 19.5 ms", "deadman held",
        "interventions source stale 2", "recording none",
    ):  # fmt: skip
        assert expected in text


def test_a_peers_sentence_cannot_inject_markup(snapshot, make):
    evil = b"<img src=x onerror=alert(1)>"
    text = np.zeros(240, np.uint8)
    text[: len(evil)] = np.frombuffer(evil, np.uint8)
    html = facts_html(snapshot._replace(source=make["source_status"](rejected=3, last_rejection=text)))
    assert "<img" not in html and "&lt;img src=x onerror=alert(1)&gt;" in html
