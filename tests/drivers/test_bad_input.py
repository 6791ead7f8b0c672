"""What every live source does with a stream that is well formed and wrong: refused, counted, one sentence, no crash.

The same person, scaled or with bad quaternions, is sent by each device's own emulator; what else each source may hear
(foreign senders, other versions, two people) is tested beside it.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.natnet import wire as natnet
from teleopd.drivers.natnet.emulator import EmulatorOptions as NatNetOptions
from teleopd.drivers.natnet.emulator import NatNetEmulator
from teleopd.drivers.natnet.encode import encode_frame
from teleopd.drivers.natnet.messages import Kind
from teleopd.drivers.natnet.source import NatNetSource
from teleopd.drivers.network.emulator import NetworkEmulator
from teleopd.drivers.network.source import NetworkSource
from teleopd.drivers.pico.emulator import EmulatorOptions as PicoOptions
from teleopd.drivers.pico.emulator import PicoEmulator
from teleopd.drivers.pico.source import PicoSource
from teleopd.drivers.vmc.emulator import VmcEmulator
from teleopd.drivers.vmc.source import VmcSource
from teleopd.drivers.xsens.emulator import XsensEmulator
from teleopd.drivers.xsens.source import XsensSource

SENDER = ("127.0.0.1", 1510)
STRANGER = ("10.0.0.66", 1510)
START_NS = 10**12
CLIP = load_motion("walk")


class Rig:
    """A source that is fed frame by frame, with the person its emulator shows."""

    def __init__(self, source, datagrams):
        self.source = source
        self.datagrams = datagrams
        self.frame = 0
        self.published = 0

    def send(self, clip=CLIP, frames=1, sender=SENDER):
        """The next frames of `clip`."""
        for _ in range(frames):
            self.frame += 1
            now_ns = START_NS + self.frame * int(1e9 / CLIP.fps)
            for datagram in self.datagrams(clip, self.frame, now_ns):
                self.source._newest.take()
                if isinstance(self.source, PicoSource):
                    self.source.receive(datagram, now_ns)
                else:
                    self.source.receive(memoryview(datagram), sender, now_ns)
                self.published += self.source._newest.pending is not None


def xsens():
    return Rig(XsensSource(port=0), lambda clip, k, _: [XsensEmulator(clip).datagrams(k)[0]])


def network():
    return Rig(NetworkSource(port=0), lambda clip, k, _: [NetworkEmulator(clip).frame(k)])


def vmc():
    return Rig(VmcSource(port=0), lambda clip, k, _: VmcEmulator(clip).datagrams(k))


def pico():
    options = PicoOptions(rate_hz=CLIP.fps)
    return Rig(PicoSource(), lambda clip, k, _: [PicoEmulator(clip, options).frame(k, 1_700_000_000_000_000_000)])


def optitrack():
    device = NatNetEmulator(CLIP, NatNetOptions())
    source = NatNetSource(host=SENDER[0])
    for datagram in (natnet.encode_server_info(device.server_info()), device._answer(Kind.REQUEST_MODELDEF, None, 0)):
        source.receive(memoryview(datagram), SENDER, START_NS)
    return Rig(source, lambda clip, k, now_ns: [NatNetEmulator(clip, NatNetOptions()).datagram(k, now_ns)])


RIGS = {"xsens": xsens, "optitrack": optitrack, "pico": pico, "network": network, "vmc": vmc}


@pytest.fixture(params=RIGS)
def rig(request):
    return RIGS[request.param]()


def rejections(rig):
    return sum(rig.source.counters.rejected.values())


@pytest.mark.parametrize("factor", [0.01, 0.1, 10.0, 100.0])
def test_a_scale_that_is_off_is_refused_from_the_first_frame_and_the_right_one_followed(rig, factor):
    rig.send(replace(CLIP, pos_w=CLIP.pos_w * factor), frames=4)
    counters = rig.source.counters
    assert rig.published == 0
    assert set(counters.rejected) == {"implausible_position"}, counters
    assert counters.rejected["implausible_position"] >= 3
    assert counters.last_rejection and "\n" not in counters.last_rejection
    rig.send(frames=4)
    assert rig.published >= 2


@pytest.mark.parametrize("factor", [0.9, 1.1, 0.5, 2.0])
def test_quaternions_of_another_length_are_refused_and_the_stream_goes_on(rig, factor):
    rig.send(frames=5)
    delivered = rig.published
    assert delivered >= 3
    rig.send(replace(CLIP, quat_w=CLIP.quat_w * factor), frames=3)
    counters = rig.source.counters
    assert set(counters.rejected) == {"quaternion_norm"}, counters
    assert "norm" in counters.last_rejection and "\n" not in counters.last_rejection
    before = rig.published
    assert before <= delivered + 1, "of frames spread over datagrams the last good one may end only now"
    rig.send(frames=4)
    assert rig.published >= before + 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the emulators
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(rig, value):
    rig.send(frames=5)
    pos = CLIP.pos_w.copy()
    pos[:, 0] = value
    before = rig.published
    rig.send(replace(CLIP, pos_w=pos), frames=3)
    assert rejections(rig) >= 2
    assert rig.published <= before + 1
    assert "\n" not in rig.source.counters.last_rejection


@pytest.mark.parametrize("name", [name for name in RIGS if name != "pico"])
def test_a_second_sender_is_refused_counted_and_named(name, caplog):
    """PICO comes over a connection: there a second headset is refused, see test_pico_source.py."""
    caplog.set_level("INFO")
    rig = RIGS[name]()
    rig.send(frames=5)
    before = rig.published
    rig.send(replace(CLIP, pos_w=CLIP.pos_w + (5.0, 0.0, 0.0)), frames=3, sender=STRANGER)
    assert rig.published == before
    assert rig.source.counters.foreign >= 3
    assert caplog.text.count("10.0.0.66") == 1


def test_a_signalling_nan_is_refused_without_a_warning():
    """Casting one to double raises the processor's invalid flag, which numpy would print about. Found by fuzzing."""
    rig = optitrack()
    rig.send(frames=2)
    raw = bytearray(rig.datagrams(CLIP, 3, START_NS + 10**9)[0])
    frame = natnet.decode(bytes(raw), (4, 1)).body
    at = bytes(raw).index(frame.skeletons[0].bones["pos"][0].tobytes())
    raw[at : at + 4] = b"\x01\x00\x80\x7f"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rig.source.receive(memoryview(raw), SENDER, START_NS + 10**9)
    assert set(rig.source.counters.rejected) == {"non_finite"}


@pytest.mark.parametrize("stamp_s", [np.nan, np.inf, 1e306])
def test_a_frame_time_that_is_none_reaches_no_arithmetic(stamp_s):
    """NaN escaped from the source as ValueError, infinity as OverflowError. Found by fuzzing."""
    rig = optitrack()
    rig.send(frames=2)
    frame = natnet.decode(rig.datagrams(CLIP, 3, START_NS + 10**9)[0], (4, 1)).body
    raw = encode_frame(frame._replace(timestamp_s=stamp_s), (4, 1))
    rig.source.receive(memoryview(raw), SENDER, START_NS + 10**9)
    assert rig.source.counters.rejected == {"implausible_stamp": 1}
    rig.send(frames=2)
    assert rig.published == 4
