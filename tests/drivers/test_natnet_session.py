"""The client's handshake, its time passed in."""

from __future__ import annotations

import pytest

from teleopd.drivers.natnet import wire
from teleopd.drivers.natnet.messages import Kind, ServerInfo
from teleopd.drivers.natnet.session import Session

MS = 1_000_000
INFO = ServerInfo("Motive", (3, 0, 0, 0), (4, 1, 0, 0), 10_000_000, 1511, True, "239.255.42.99")
UNICAST = INFO._replace(multicast=False)
OLD = ServerInfo("Motive", (1, 7, 0, 0), (2, 7, 0, 0), 0, 0, None, "")


def kinds(datagrams):
    return [wire.decode(d, (4, 2)).kind.name for d in datagrams]


def run(session, start_ms, end_ms, *, hear=False):
    """Kinds that fell due, each with its time [ms], asked every 10 ms."""
    sent = []
    for t in range(start_ms, end_ms, 10):
        if hear:
            session.heard(t * MS)
        sent += [(t, kind) for kind in kinds(session.due(t * MS))]
    return sent


def connected(info=INFO, **options):
    session = Session(**{"discover": False, "multicast": None} | options)
    session.due(0)
    session.welcomed(info, 0)
    return session


def test_connect_is_repeated_with_growing_waits_until_an_answer():
    session = Session(discover=False, multicast=None)
    times = [t for t, kind in run(session, 0, 6000) if kind == "CONNECT"]
    assert times == [0, 350, 800, 1450, 2500, 3750, 5000], "250 ms for the answer, then 100, 200 ... 1000"
    assert session.reconnect.last_failure == "the server does not answer" and not session.connected


def test_discovery_is_followed_by_connect():
    session = Session(discover=True, multicast=None)
    assert kinds(session.due(0)) == ["DISCOVERY"]
    assert kinds(session.welcomed(INFO, MS)) == ["CONNECT", "REQUEST"]
    assert session.welcomed(INFO, 2 * MS) == [], "the answer to CONNECT"


def test_after_the_answer_clock_and_models_are_asked_for():
    session = connected()
    sent = run(session, 0, 5000, hear=True)
    assert [t for t, kind in sent if kind == "ECHOREQUEST"] == [0, 50, 100, 150, 200, 2200, 4200]
    assert [t for t, kind in sent if kind == "REQUEST_MODELDEF"] == [0, 1000, 2000, 3000, 4000], "unanswered"
    assert {kind for _, kind in sent} == {"ECHOREQUEST", "REQUEST_MODELDEF"}, "no keep-alive in multicast"


@pytest.mark.parametrize(
    ("info", "multicast", "alive"),
    [(UNICAST, None, True), (INFO, None, False), (INFO, False, True), (UNICAST, True, False), (OLD, None, False)],
)
def test_keep_alives_once_a_second_in_unicast_only(info, multicast, alive):
    session = connected(info, multicast=multicast)
    times = [t for t, kind in run(session, 0, 3500, hear=True) if kind == "KEEPALIVE"]
    assert times == ([0, 1000, 2000, 3000] if alive else [])


def test_models_are_asked_for_once_when_they_change_and_at_most_once_a_second():
    session = connected()
    session.due(0)
    session.models_came()
    assert "REQUEST_MODELDEF" not in dict((k, t) for t, k in run(session, 10, 3000, hear=True))
    for t in range(3000, 3500, 10):  # changes in every frame
        session.want_models()
        if "REQUEST_MODELDEF" in kinds(session.due(t * MS)):
            session.models_came()
    assert session.models_requested == 2
    assert [k for _, k in run(session, 4000, 5000, hear=True)].count("REQUEST_MODELDEF") == 1


def test_servers_before_3_0_have_no_echo():
    assert "ECHOREQUEST" not in [kind for _, kind in run(connected(OLD), 0, 3000, hear=True)]


def test_a_silent_server_is_connected_to_anew_and_asked_everything_again():
    session = connected()
    session.models_came()
    assert run(session, 0, 2000)[-1][1] == "ECHOREQUEST" and session.connected
    assert session.due(2000 * MS) == [] and session.reconnect.last_failure == "the server fell silent"
    assert kinds(session.due(2100 * MS)) == ["CONNECT"]
    assert kinds(session.welcomed(INFO, 2101 * MS)) == ["REQUEST"]
    assert kinds(session.due(2101 * MS)) == ["ECHOREQUEST", "REQUEST_MODELDEF"]


def test_an_echo_counts_once_and_only_when_it_was_sent():
    session = connected()
    stamps = [wire.decode(d, (4, 2)).body.client_stamp for d in session.due(0)[:1]]
    assert [session.echo_answered(s) for s in (*stamps, *stamps, 99)] == [True, False, False]
    session.due(50 * MS)
    session.ask_clock(60 * MS)
    assert not session.echo_answered(50 * MS), "sent before the clock jumped"
    assert kinds(session.due(60 * MS)) == ["ECHOREQUEST"]


@pytest.mark.parametrize(("natnet", "asked"), [((4, 2), False), ((4, 3), True)])
def test_a_newer_server_is_asked_for_a_bitstream_that_can_be_read(natnet, asked):
    session = Session(discover=False, multicast=None)
    session.due(0)
    texts = [wire.decode(d, (4, 2)).body for d in session.welcomed(UNICAST._replace(natnet_version=(*natnet, 0, 0)), 1)]
    assert texts == ["FrameRate"] + ["Bitstream,4.2"] * asked
    assert session.version == (4, 2)


def test_a_changed_bitstream_renews_the_connection():
    session = connected()
    session.renew(10 * MS)
    assert kinds(session.due(110 * MS)) == [Kind.CONNECT.name]
