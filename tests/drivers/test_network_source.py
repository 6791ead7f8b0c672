"""NetworkSource: frames given by hand with injected times; then sockets, for what only a socket can show."""

from __future__ import annotations

import asyncio
import json
import runpy
import socket
import sys
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.network.source import NetworkSource
from teleopd.drivers.sender import MAX_NAMED, REBIND_NS
from teleopd.drivers.source import SourceState, SourceUnavailable
from teleopd.service.frame_checks import FrameChecks

CLIP = load_motion("walk_and_turn")
SENDER = ("192.168.0.7", 50000)
PERIOD_NS = 10_000_000


def data(seq, **fields):
    index = seq % CLIP.frames
    return json.dumps({
        "schema": "teleopd.pose/1", "seq": seq, "stamp_ns": seq * PERIOD_NS, "names": MVN_SEGMENTS,
        "pos_m": CLIP.pos_w[index].tolist(), "quat_wxyz": CLIP.quat_w[index].tolist(), **fields,
    }).encode()  # fmt: skip


class Fed:
    """A source fed frames one period apart; what it publishes is read from the slot, as `poses()` does."""

    def __init__(self):
        self.source = NetworkSource()
        self.now_ns = 10**12

    def __call__(self, raw, sender=SENDER, wait_ns=PERIOD_NS):
        self.now_ns += wait_ns
        self.source._newest.take()
        self.source.receive(memoryview(raw), sender, self.now_ns)
        return self.source._newest.pending


@pytest.fixture
def fed():
    return Fed()


def test_a_pose_carries_what_the_frame_said(fed):
    pose = fed(data(41, deadman=True, buttons=["a", "stop"]))
    assert pose.skeleton.family == "mvn" and pose.skeleton.body_names == MVN_SEGMENTS
    assert (pose.seq, pose.t_ns, pose.t_source_ns, pose.resets) == (41, fed.now_ns, fed.now_ns, 0)
    assert pose.deadman is True and pose.buttons == frozenset(("a", "stop"))
    np.testing.assert_allclose(pose.pos_w, CLIP.pos_w[41], atol=1e-12)


def test_a_press_that_nobody_read_before_the_next_frame_is_not_lost(fed):
    source, now_ns = fed.source, fed.now_ns
    for k, buttons in enumerate([[], ["stop"], [], ["a"]]):
        source.receive(memoryview(data(k, buttons=buttons)), SENDER, now_ns + (k + 1) * PERIOD_NS)
    assert source._newest.pending.buttons == {"stop", "a"}
    source._newest.take()
    source.receive(memoryview(data(4)), SENDER, now_ns + 5 * PERIOD_NS)
    assert source._newest.pending.buttons == frozenset()


def test_the_deadman_is_off_in_the_next_frame_that_does_not_hold_it(fed):
    assert [fed(data(k, deadman=k == 0)).deadman for k in (0, 1)] == [True, False]
    assert fed(data(2)).deadman is False


def test_device_time_shows_queueing(fed):
    fed(data(0))
    late = fed(data(1), wait_ns=PERIOD_NS + 30_000_000)
    assert late.t_ns - late.t_source_ns == 30_000_000


def test_lost_duplicated_and_reordered_are_counted_and_not_published(fed):
    published = [fed(data(k)) is not None for k in (0, 1, 1, 4, 3, 3, 5)]
    counters = fed.source.counters
    assert published == [True, True, False, True, False, False, True]
    assert (counters.received, counters.lost, counters.duplicated, counters.reordered) == (7, 1, 2, 1)


def test_a_new_recording_and_a_moved_origin_raise_resets(fed):
    assert [fed(data(k)).resets for k in (900, 901, 0, 1)] == [0, 0, 1, 1]
    assert [fed(data(k, origin=o)).resets for k, o in ((2, 1), (3, 1), (4, 0))] == [2, 2, 3]


def test_a_stamp_that_jumps_is_a_new_recording_and_maps_anew(fed):
    fed(data(0))
    pose = fed(data(1, stamp_ns=2**62))
    assert (pose.resets, pose.t_source_ns) == (1, pose.t_ns)
    pose = fed(data(2, stamp_ns=0))
    assert (pose.resets, pose.t_source_ns) == (2, pose.t_ns)


def test_bad_frames_are_counted_and_the_stream_goes_on(fed):
    for bad in (b"", b"x", data(1, schema="teleopd.pose/9"), data(1, names=["Pelvis"] * 23), data(1, up="x")):
        assert fed(bad) is None
    assert fed.source.sender == SENDER, "a frame that decodes binds, whatever its body"
    assert fed(data(2)).seq == 2
    assert fed.source.counters.rejected == {"empty": 1, "malformed": 2, "wrong_schema": 1, "duplicate_body": 1}
    assert fed.source.counters.received == 6


def test_a_bad_frame_does_not_bind(fed):
    fed(b"{}", sender=("10.0.0.9", 1))
    assert fed.source.sender is None
    assert fed(data(0)).seq == 0


def test_foreign_senders_are_dropped_counted_and_named_once(fed, caplog):
    fed(data(0))
    others = [("10.0.0.9", 50000), ("10.0.0.9", 50000), ("192.168.0.7", 50001)]
    assert [fed(data(1), sender=other) for other in others] == [None] * 3
    assert fed.source.counters.foreign == 3
    assert fed.source.foreign_senders == [("10.0.0.9", 50000), ("192.168.0.7", 50001)]
    assert [record.getMessage() for record in caplog.records] == [
        "network: ignoring 10.0.0.9:50000; listening to 192.168.0.7:50000",
        "network: ignoring 192.168.0.7:50001; listening to 192.168.0.7:50000",
    ]
    for k in range(40):
        fed(data(k), sender=("10.0.1.1", k), wait_ns=0)
    assert len(fed.source.foreign_senders) == MAX_NAMED


def test_a_restarted_program_goes_on_from_another_port_after_a_silence(fed):
    fed(data(500))
    other = ("192.168.0.7", 50001)
    assert fed(data(0), sender=other, wait_ns=REBIND_NS) is None
    pose = fed(data(1), sender=other, wait_ns=1)
    assert (pose.resets, pose.seq, fed.source.sender) == (1, 1, other)
    assert fed(data(2), sender=("10.0.0.9", 1), wait_ns=100 * REBIND_NS) is None, "another computer never"


def test_state_and_measured_rate(fed):
    source = fed.source
    assert source.state_at(0) is SourceState.CLOSED and source.nominal_hz == 30.0
    source._newest.begin()
    fed(b"noise")
    assert source.state_at(fed.now_ns) is SourceState.CONNECTING, "noise is no stream"
    for k in range(100):
        fed(data(k))
    assert source.nominal_hz == pytest.approx(100.0)
    assert source.state_at(fed.now_ns + 30_000_000) is SourceState.STREAMING
    assert source.state_at(fed.now_ns + 30_000_001) is SourceState.STALE


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"port": 65536}, "UDP port 65536 is not between 0 and 65535"),
        ({"port": -1, "transport": "websocket"}, "TCP port -1 is not between 0 and 65535"),
        ({"transport": "tcp"}, "transport is 'tcp'; choose one of udp, websocket"),
        ({"token": "x"}, "a token is for transport websocket; UDP frames carry none"),
        ({"token": "", "transport": "websocket"},
         "the token is empty; give one of at least one character, or none at all"),
    ],
)  # fmt: skip
def test_impossible_settings_are_one_sentence(options, sentence):
    with pytest.raises(SourceUnavailable) as error:
        NetworkSource(**options)
    assert str(error.value) == sentence


@pytest.mark.checkout
def test_the_example_sends_a_person(monkeypatch):
    """examples/send_pose.py, its socket and its sleeps replaced: every frame is accepted, up to the frame checks."""
    sent = []

    class Enough(Exception):
        pass

    class Socket:
        def sendto(self, raw, address):
            assert address == ("127.0.0.1", 9870)
            sent.append(raw)
            if len(sent) == 200:
                raise Enough

    monkeypatch.setattr(socket, "socket", lambda *_: Socket())
    monkeypatch.setattr("time.sleep", lambda _s: None)
    with pytest.raises(Enough):
        runpy.run_path(str(Path(__file__).parents[2] / "examples" / "send_pose.py"))
    monkeypatch.undo()
    fed, checks = Fed(), None
    for raw in sent:
        pose = fed(raw, wait_ns=16_666_667)
        checks = checks or FrameChecks(pose.skeleton)
        assert checks.check(pose, fed.now_ns).reason == ""
        assert pose.valid.all()
    assert not {"numpy", "teleopd"} & set(_imports("send_pose.py"))


def _imports(name):
    text = (Path(__file__).parents[2] / "examples" / name).read_text()
    found = [line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert set(found) <= sys.stdlib_module_names
    return found


# --- WebSocket -------------------------------------------------------------------------------------------------------


def serving(act, **options):
    """Open a WebSocket source on a free port, run `act(source, session, url)`, close."""

    async def run():
        source = NetworkSource(port=0, transport="websocket", **options)
        await source.open()
        try:
            async with aiohttp.ClientSession() as session:
                url = f"ws://127.0.0.1:{source.port}/pose"
                return await asyncio.wait_for(act(source, session, url), 20)
        finally:
            await source.close()

    return asyncio.run(run())


async def refusal(session, url, **options):
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await session.ws_connect(url, **options)
    return error.value.status


def test_websocket_text_and_binary_arrive():
    async def act(source, session, url):
        poses = source.poses()
        async with session.ws_connect(url) as ws:
            await ws.send_str(data(0).decode())
            first = await anext(poses)
            await ws.send_bytes(data(1))
            return first.seq, (await anext(poses)).seq, source.state

    assert serving(act) == (0, 1, SourceState.STREAMING)


def test_a_tap_sees_every_message_first():
    async def act(source, session, url):
        seen = []
        source.record(lambda raw, sender, receiver, t_ns: seen.append((bytes(raw), receiver, t_ns)))
        async with session.ws_connect(url) as ws:
            await ws.send_bytes(b"junk")
            await ws.send_str(data(0).decode())
            pose = await anext(source.poses())
        return [raw for raw, _, _ in seen], seen[1][1:], (("127.0.0.1", source.port), pose.t_ns)

    raw, told, true = serving(act)
    assert raw == [b"junk", data(0)] and told == true


def test_after_a_stall_a_websocket_consumer_gets_the_newest():
    async def act(source, session, url):
        poses = source.poses()
        async with session.ws_connect(url) as ws:
            for k in range(60):
                await ws.send_bytes(data(k))
            while source.counters.received < 60:
                await asyncio.sleep(0.001)
            return (await anext(poses)).seq, source.counters.delivered

    assert serving(act) == (59, 1)


def test_a_token_is_asked_for_and_never_told(caplog):
    async def act(source, session, url):
        found = [
            await refusal(session, url),
            await refusal(session, url + "?token=wrong"),
            await refusal(session, url, headers={"Authorization": "Bearer wrong"}),
        ]
        for ways in ({"url": url + "?token=s3cret"}, {"url": url, "headers": {"Authorization": "Bearer s3cret"}}):
            async with session.ws_connect(**ways) as ws:
                await ws.send_bytes(data(source.counters.received))
                while not source.counters.received:
                    await asyncio.sleep(0.001)
        return found, source.counters

    found, counters = serving(act, token="s3cret")
    assert found == [401, 401, 401]
    assert counters.rejected == {"token": 3} and counters.received == 2
    assert "s3cret" not in caplog.text + counters.last_rejection


def test_a_web_page_may_not_send_without_a_token():
    async def act(source, session, url):
        status = await refusal(session, url, headers={"Origin": "https://example.org"})
        return status, source.counters.rejected, source.counters.last_rejection

    assert serving(act) == (
        403, {"browser": 1}, "a browser may send poses only with a token; start the service with one",
    )  # fmt: skip


def test_a_web_page_with_the_token_may():
    async def act(source, session, url):
        async with session.ws_connect(url + "?token=t", headers={"Origin": "https://example.org"}) as ws:
            await ws.send_bytes(data(0))
            return (await anext(source.poses())).seq

    assert serving(act, token="t") == 0


def test_one_client_at_a_time():
    async def act(source, session, url):
        poses = source.poses()
        async with session.ws_connect(url) as first:
            await first.send_bytes(data(0))
            await anext(poses)
            second = await refusal(session, url)
            await first.send_bytes(data(1))
            kept = (await anext(poses)).seq
        return second, kept, source.counters.foreign

    assert serving(act) == (409, 1, 1)


def test_a_client_that_comes_back_continues():
    async def act(source, session, url):
        poses, seen = source.poses(), []
        for k in range(3):
            async with session.ws_connect(url) as ws:
                await ws.send_bytes(data(10 * k))
                pose = await anext(poses)
                seen.append((pose.seq, pose.resets))
            await asyncio.sleep(0.05)
        return seen

    assert serving(act) == [(0, 0), (10, 1), (20, 2)]


def test_a_silent_client_is_replaced_by_its_own_computer(monkeypatch):
    monkeypatch.setattr("teleopd.drivers.sender.REBIND_NS", 0)

    async def act(source, session, url):
        poses = source.poses()
        async with session.ws_connect(url) as first:
            await first.send_bytes(data(0))
            await anext(poses)
            async with session.ws_connect(url) as second:
                await second.send_bytes(data(1))
                pose = await anext(poses)
                gone = await first.receive()
        return pose.seq, pose.resets, gone.type, gone.data

    assert serving(act) == (1, 1, aiohttp.WSMsgType.CLOSE, 1008)


def test_a_message_that_is_too_long_ends_the_connection_and_is_counted():
    async def act(source, session, url):
        async with session.ws_connect(url) as ws:
            await ws.send_bytes(bytes(70_000))
            closed = await ws.receive()
        async with session.ws_connect(url) as ws:
            await ws.send_bytes(data(0))
            return closed.data, (await anext(source.poses())).seq, source.counters.rejected

    assert serving(act) == (1009, 0, {"oversized": 1})


def test_other_requests_are_told_what_to_do():
    async def act(source, session, url):
        http = url.replace("ws:", "http:")
        async with session.get(http) as plain, session.get(http.replace("/pose", "/")) as elsewhere:
            return plain.status, await plain.text(), elsewhere.status

    assert serving(act) == (426, "connect to /pose as a WebSocket\n", 404)


def test_a_taken_tcp_port_is_one_sentence():
    async def act(source, session, url):
        with pytest.raises(SourceUnavailable) as error:
            await NetworkSource(port=source.port, transport="websocket").open()
        return source.port, str(error.value)

    port, sentence = serving(act)
    assert sentence == (
        f"TCP port {port} on 127.0.0.1 is in use by another program; stop it, or choose another port with --port"
    )


def test_closing_sends_the_client_away():
    async def act(source, session, url):
        async with session.ws_connect(url) as ws:
            await ws.send_bytes(data(0))
            await anext(source.poses())
            await source.close()
            await source.close()
            gone = await ws.receive()
        return gone.data, source.state

    assert serving(act) == (1001, SourceState.CLOSED)
