"""Latest wins: what a consumer that is late finds, and what it must not lose."""

from __future__ import annotations

import asyncio

import pytest

from teleopd.drivers import newest
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.newest import NewestPose
from teleopd.drivers.source import SourceCounters
from teleopd.service.dataset.retarget_clip import pose_of

POSE = pose_of(load_motion("stand"), 0)


def numbered(number, delay_ms=0, buttons=()):
    t_ns = 10**9 + number * 10**7
    return POSE._replace(seq=number, t_ns=t_ns, t_source_ns=t_ns - delay_ms * 10**6, buttons=frozenset(buttons))


def test_a_newer_pose_takes_the_place_of_one_that_waits():
    holder = NewestPose(SourceCounters())
    holder.put(numbered(1))
    holder.put(numbered(2))
    assert holder.pending.seq == 2
    assert holder.take().seq == 2 and holder.take() is None


def test_a_press_that_ended_before_it_was_read_is_seen_once():
    holder = NewestPose(SourceCounters())
    holder.put(numbered(1, buttons=["stop"]))
    holder.put(numbered(2, buttons=["a"]))
    holder.put(numbered(3))
    assert holder.take().buttons == {"stop", "a"}
    holder.put(numbered(4))
    assert holder.take().buttons == frozenset()


@pytest.mark.parametrize(("held_up_ns", "read"), [(None, [1, 3]), (50_000_000, [3])])
def test_over_tcp_a_pose_that_was_held_up_waits_for_those_right_behind_it(monkeypatch, held_up_ns, read):
    monkeypatch.setattr(newest, "SETTLE_S", 0.05)

    async def run():
        counters = SourceCounters()
        holder, seen = NewestPose(counters, held_up_ns), []
        holder.begin()

        async def consume():
            seen.extend([pose.seq async for pose in holder.poses()])

        consumer = asyncio.create_task(consume())
        holder.put(numbered(1, delay_ms=400))
        for _ in range(3):
            await asyncio.sleep(0)  # the consumer has looked
        holder.put(numbered(2, delay_ms=300))
        holder.put(numbered(3, delay_ms=200))
        while counters.delivered < len(read):
            await asyncio.sleep(0.001)
        holder.end()
        await consumer
        return seen, counters.delivered

    assert asyncio.run(run()) == (read, len(read))


def test_the_end_wakes_a_consumer_that_waits():
    async def run():
        holder = NewestPose(SourceCounters())
        holder.begin()
        asyncio.get_running_loop().call_soon(holder.end)
        return [pose async for pose in holder.poses()]

    assert asyncio.run(run()) == []
