"""Run in a network namespace of its own (unshare -rn): the interface goes down and comes up under a link and a robot.

Prints one line a phase: 'up RECEIVED', 'down', 'again RECEIVED'. The interface is loopback, set by its flags.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable

from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.unitree_g1.model import MODEL

GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 0x1


def set_up(up: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(probe, GET_FLAGS, asked))[1]
        fcntl.ioctl(probe, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP if up else flags & ~UP))


def read_until(link: DdsLink, what: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.001)
        link.read()
    return what()


set_up(True)
robot = subprocess.Popen([sys.executable, "-m", "teleopd.launch.cli", "robot"], stderr=subprocess.DEVNULL)
try:
    link = DdsLink(MODEL, "lo")
    counters = link.counters
    assert read_until(link, lambda: counters.received >= 100, 60.0), "no robot"
    print("up", counters.received, flush=True)
    set_up(False)
    read_until(link, lambda: False, 0.2)  # what was under way
    before = counters.received
    assert not read_until(link, lambda: counters.received > before, 1.0), "reports came over an interface that is down"
    print("down", flush=True)
    set_up(True)
    assert read_until(link, lambda: counters.received >= before + 100, 60.0), "nothing came after it was up again"
    assert counters.bad_crc == counters.bad_length == 0
    print("again", counters.received, flush=True)
finally:
    robot.kill()
    robot.wait()
