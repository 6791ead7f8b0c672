"""Opening the link as a run does: every question is asked before, unless it replaces a link that died."""

from __future__ import annotations

import pytest
from tests.robots.dds.conftest import DOMAIN

from teleopd.robots.catalog import load_robot, open_link
from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkOptions, LinkUnavailable
from teleopd.robots.links.dds import opening
from teleopd.robots.links.dds.link import DdsLink

G1 = load_robot("unitree_g1")


def test_it_asks_first_and_closes_when_the_answer_is_no(monkeypatch: pytest.MonkeyPatch, tmp_path):
    closed: list[DdsLink] = []
    asked: list[bool] = []

    def wait_ready(_link: DdsLink, _timeout_s: float = 5.0, *, release: bool = False) -> None:
        asked.append(release)
        raise LinkUnavailable("no")

    monkeypatch.setattr(DdsLink, "wait_ready", wait_ready)
    close = DdsLink.close
    monkeypatch.setattr(DdsLink, "close", lambda link: (closed.append(link), close(link)) and None)
    session = Session("unitree_g1", tmp_path)
    with pytest.raises(LinkUnavailable, match="^no$"):
        open_link("dds", session, G1, LinkOptions("lo", DOMAIN, release=True))
    assert asked == [True] and len(closed) == 1
    link = open_link("dds", session, G1, LinkOptions("lo", DOMAIN, at_once=True))
    assert asked == [True] and link.read() is None
    link.close()


def test_interfaces_are_listed_loopback_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.if_nameindex", lambda: [(2, "wlan0"), (1, "lo"), (3, "eth0")])
    assert opening.interface_names() == ["lo", "eth0", "wlan0"]
