"""VMC: OSC messages and bundles."""

from __future__ import annotations

from functools import partial

from engine import Target
from feeding import clip, line, receiver

from teleopd.drivers.vmc import wire as vmc
from teleopd.drivers.vmc.emulator import VmcEmulator
from teleopd.drivers.vmc.source import VmcSource


def _vmc_seeds() -> list[bytes]:
    vmc.check_available()
    message = vmc.encode_message
    bone = message(vmc.BONE, "Hips", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    status, stamp = message(vmc.STATUS, 1, 3, 0, 1), message(vmc.TIME, 1.5)
    device = VmcEmulator(clip())
    inner = vmc.encode_bundle([bone, status])
    return [
        *device.datagrams(0), *device.datagrams(60)[:1], bone, status, stamp, message(vmc.STATUS, 1),
        message(vmc.ROOT, "root", *(0.0,) * 6, 1.0, *(0.0,) * 6), message("/VMC/Ext/Blend/Val", "A", 0.5), inner,
        vmc.encode_bundle([inner, stamp]), vmc.encode_bundle([vmc.encode_bundle([inner])]), vmc.encode_bundle([]),
    ]  # fmt: skip


VMC = Target(
    "vmc", vmc.decode, lambda: receiver(VmcSource(port=0).receive), partial(line, "vmc"),
    ("drivers/vmc/", "pythonosc/"), _vmc_seeds,
    (b"#bundle\0", b",sfffffff\0\0\0", b",iiii\0\0\0", b",d\0\0", b",h\0\0", b",s\0\0", b",T\0\0",
    b"/VMC/Ext/Bone/Pos\0\0\0", b"/VMC/Ext/OK\0", b"/VMC/Ext/T\0\0", b"Hips\0\0\0\0"),
)  # fmt: skip
