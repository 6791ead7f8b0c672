"""The link's counters in the report and in the status line."""

from __future__ import annotations

from pathlib import Path

from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkCounters
from teleopd.service.link_status import LinkStatus
from teleopd.service.streams import Bus
from teleopd.service.telemetry.link_report import COUNTS, REFUSED, LinkMeter, link_words

S = 1_000_000_000


def status(t_s: float, received: int, sent: int = 0, **counts: int) -> LinkStatus:
    rest = dict.fromkeys(COUNTS, 0) | {"received": received, "sent": sent} | counts
    return LinkStatus(round(t_s * S), 5, **rest)


def test_the_record_carries_every_counter_of_the_link_in_its_order():
    assert COUNTS == tuple(LinkCounters.__dataclass_fields__)
    assert set(REFUSED) == set(COUNTS) - {"received", "sent"}


def test_a_link_that_counts_nothing_is_not_reported():
    meter = LinkMeter()
    assert meter.result() is None
    meter.note(status(1.0, 0))
    assert meter.result() is None and link_words(status(1.0, 0)) == "" and link_words(None) == ""


def test_rate_is_of_the_whole_run_and_counters_add_up_over_a_restart():
    meter = LinkMeter()
    meter.note(status(1.0, 250, 100, bad_crc=3))
    assert meter.result() == {
        "mode_machine": 5, "battery_percent": None, "state_hz": None, **dict.fromkeys(COUNTS, 0), "received": 250,
        "sent": 100, "bad_crc": 3,
    }  # fmt: skip
    meter.note(status(3.0, 1248, 1100, bad_crc=3, foreign_commands=2))
    result = meter.result()
    assert result is not None and result["state_hz"] == 499.0 and result["foreign_commands"] == 2
    meter.note(status(4.0, 10, 5))
    meter.note(status(5.0, 500, 495, frozen=7))
    result = meter.result()
    assert result is not None
    assert (result["received"], result["sent"], result["bad_crc"], result["frozen"]) == (1748, 1595, 3, 7)
    assert result["state_hz"] == 490.0, "since the restart"
    charged = status(6.0, 600)._replace(battery=42)
    meter.note(charged)
    result = meter.result()
    assert result is not None and result["battery_percent"] == 42
    assert link_words(charged).endswith("battery 42 %") and "battery" not in link_words(status(1.0, 1))


def test_it_reads_the_slot(tmp_path: Path):
    bus = Bus(Session("toy", tmp_path), 3, create=True)
    meter = LinkMeter()
    meter.collect(bus)
    assert meter.result() is None
    bus.slot("link_status").write(status(1.0, 77))
    meter.collect(bus)
    result = meter.result()
    assert result is not None and result["received"] == 77


def test_words_name_what_was_refused_and_only_that():
    assert link_words(status(1.0, 20, 10)) == "hardware 5, 20 reports, 10 commands"
    assert link_words(status(1.0, 20, 10, bad_crc=1, foreign_commands=4)) == (
        "hardware 5, 20 reports, 10 commands, 1 with a wrong checksum, 4 commands of others"
    )
    meter = LinkMeter()
    meter.note(status(1.0, 20, 10))
    meter.note(status(2.0, 519, 509))
    assert link_words(meter.result()) == "hardware 5, 519 reports at 499.0 Hz, 509 commands"
