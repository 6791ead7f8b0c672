"""Stands for a service: a session in which the gate's last command and a reference count up until this is ended."""

from __future__ import annotations

import time

import numpy as np

from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.model import Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.streams import Bus

N, ZEROS, UNIT = MODEL.n, np.zeros(MODEL.n), np.array([1.0, 0, 0, 0])
owner = SessionOwner("unitree_g1")
bus = Bus(owner.session, N, create=True)
ready = False
while True:
    now_ns, q = time.monotonic_ns(), 0.01 * np.arange(N)
    bus.slot("safety_status").write(SafetyStatus(
        now_ns, 1, int(Mode.ACTIVE), now_ns, -1, 0, 0, np.zeros(32, np.uint32), np.zeros(8, np.uint32),
        np.zeros(N, np.uint32), True, False, -1, 1, q, 0,
    ))  # fmt: skip
    bus.slot("reference").write(Reference(
        1, 1, now_ns, now_ns, now_ns, True, True, 0, 100.0, ZEROS[:3], UNIT, ZEROS[:3], ZEROS[:3], q + 1.0, ZEROS,
    ))  # fmt: skip
    if not ready:
        print("ready", flush=True)
        ready = True
    time.sleep(0.01)
