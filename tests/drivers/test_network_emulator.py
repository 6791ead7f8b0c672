"""NetworkEmulator: what it sends, and what it refuses to be."""

from __future__ import annotations

import asyncio
import json

import pytest

from teleopd.drivers.emulation import EmulatorError
from teleopd.drivers.faults import FaultError
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.network.emulator import EmulatorOptions, NetworkEmulator
from teleopd.drivers.network.source import NetworkSource
from teleopd.drivers.source import SourceUnavailable

CLIP = load_motion("wave")


def test_a_frame_is_plain_json():
    told = json.loads(NetworkEmulator(CLIP, EmulatorOptions(deadman=True)).frame(50))
    assert (told["schema"], told["seq"], told["up"], told["deadman"]) == ("teleopd.pose/1", 50, "z", True)
    assert told["stamp_ns"] == pytest.approx(50 * 1e9 / CLIP.fps, abs=1)
    assert told["names"][:2] == ["Pelvis", "L5"] and told["pos_m"] == CLIP.pos_w[50].tolist()


def test_y_up_puts_height_second_and_left_first():
    told = json.loads(NetworkEmulator(CLIP, EmulatorOptions(up="y")).frame(0))
    ahead, left, height = CLIP.pos_w[0, 0]
    assert told["pos_m"][0] == [left, height, ahead]


def test_freeze_repeats_the_pose_while_counters_run():
    emulator = NetworkEmulator(CLIP, EmulatorOptions(freeze_at_s=0.5, freeze_s=0.5, rate_hz=60.0))
    frames = [json.loads(emulator.frame(k)) for k in (29, 30, 45, 59, 60)]
    same = [frame["pos_m"] == frames[1]["pos_m"] for frame in frames]
    assert same == [False, True, True, True, False] and [f["seq"] for f in frames] == [29, 30, 45, 59, 60]


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"rate_hz": 0.5}, EmulatorError, "rate is 0.5 Hz; give 1 to 1000"),
        ({"port": 0}, EmulatorError, "port 0 is not between 1 and 65535"),
        ({"loss": 1.5}, FaultError, "loss is 1.5; give a share between 0 and 1"),
    ],
)
def test_impossible_settings_are_one_sentence(options, error, sentence):
    with pytest.raises(error) as raised:
        NetworkEmulator(CLIP, EmulatorOptions(**options))
    assert str(raised.value) == sentence


def test_addresses():
    assert NetworkEmulator(CLIP).address == "udp://127.0.0.1:9870"
    assert NetworkEmulator(CLIP, EmulatorOptions(transport="websocket", port=5)).address == "ws://127.0.0.1:5/pose"


def test_a_refusing_and_an_absent_server_are_one_sentence():
    async def run():
        source = NetworkSource(port=0, transport="websocket", token="a")
        await source.open()
        emulator = NetworkEmulator(CLIP, EmulatorOptions(port=source.port, transport="websocket", token="b"))
        with pytest.raises(SourceUnavailable) as refused:
            await emulator.run(seconds=0.1)
        await source.close()
        with pytest.raises(SourceUnavailable) as absent:
            await emulator.run(seconds=0.1)
        return emulator.address, str(refused.value), str(absent.value)

    address, refused, absent = asyncio.run(run())
    assert refused == f"{address} refuses: HTTP status 401"
    assert absent.startswith(f"cannot send to {address}: ")


@pytest.mark.parametrize("transport", ["udp", "websocket"])
def test_faults_reach_the_receiver_and_time_never_goes_back(transport):
    async def run():
        source = NetworkSource(port=0, transport=transport)
        await source.open()
        options = EmulatorOptions(port=source.port, transport=transport, loss=0.2, dup=0.2, reorder=0.2, seed=4)
        sending = asyncio.create_task(NetworkEmulator(CLIP, options).run(seconds=1.0))
        seen = []

        async def take():
            async for pose in source.poses():
                seen.append(pose)

        taking = asyncio.create_task(take())
        await sending
        await asyncio.sleep(0.05)
        await source.close()
        await taking
        return seen, source.counters

    seen, counters = asyncio.run(run())
    assert all(a.seq < b.seq and a.t_source_ns < b.t_source_ns for a, b in zip(seen, seen[1:], strict=False))
    assert len(seen) > 20 and counters.rejected == {}
    assert counters.lost > 0 and counters.duplicated > 0 and counters.reordered > 0
