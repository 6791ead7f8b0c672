"""The camera process: reads every camera of a recording, compresses its pictures and hands them to the recorder.

One thread for each camera, so that one that hangs holds up no other. It runs at the lowest priority: pictures may come
late, the robot may not. A camera that fails is opened again every two seconds; the robot is told nothing of it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from teleopd.robots.ipc.rings import Ring
from teleopd.robots.ipc.session import Session
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.model import LowState, RobotModel
from teleopd.robots.rates import freeze_collector
from teleopd.service.capture.cameras.h264 import Encoder
from teleopd.service.capture.cameras.parts import parts_of
from teleopd.service.capture.cameras.pictures import Picture, PictureSource, open_pictures, source_class
from teleopd.service.capture.cameras.spec import CameraError, CameraSpec
from teleopd.service.capture.cameras.tile import Tiles
from teleopd.service.capture.records import (
    NAME_BYTES,
    NO_PICTURE,
    OPENING,
    SENTENCE_BYTES,
    SHOWING,
    CameraPart,
    CameraStatus,
    RecorderStatus,
    as_bytes,
)
from teleopd.service.child import Ending
from teleopd.service.streams import Bus

NICE = 10
AGAIN_S = 2.0
"""A camera that failed is opened again after this."""
SAY_NS = 200_000_000
END_S = 1.5
"""Threads may take so long to end."""


def main(session: Session, robot: str, cameras: Sequence[CameraSpec]) -> None:
    """Entry of the process."""
    from teleopd.robots.catalog import load_robot

    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa draws on all processors at once where there is no graphics card
    model, ending, stop = load_robot(robot), Ending(), threading.Event()
    for spec in cameras:
        source_class(spec)
    os.nice(NICE)  # the threads inherit it; loading their code was not to wait for it
    threads = []
    for number, spec in enumerate(cameras):
        bus = Bus(session, model.n)  # of its own: slots are not for several threads
        feed = Feed(
            spec, bus.ring(f"record_camera_{number}"), bus.slot(f"camera_status_{number}"),
            bus.slot("recorder_status"), Tiles(bus.slot(f"camera_tile_{number}")),
        )  # fmt: skip
        thread = threading.Thread(
            target=feed.run, args=(model, bus.slot("state").read, stop), daemon=True, name=f"camera {spec.name}"
        )
        thread.start()
        threads.append(thread)
    freeze_collector()
    while not ending.now:
        time.sleep(0.05)
    stop.set()
    deadline = time.monotonic() + END_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        os._exit(0)  # one that hangs in a driver must not hold up the end


class Feed:
    """One camera."""

    def __init__(
        self, spec: CameraSpec, ring: Ring[CameraPart], status: Slot[CameraStatus], recorder: Slot[RecorderStatus],
        tiles: Tiles | None = None,
    ) -> None:  # fmt: skip
        """`tiles`: shows the pictures to those who look on."""
        self._spec, self._ring, self._status, self._recorder = spec, ring, status, recorder
        self._tiles = tiles
        self._encoder = Encoder()
        self._before = self._damaged = self._lost = 0
        """Of the times it was open before, and in all."""
        self._begun_ns = self._last_ns = self._coded = 0
        self._key = True
        self._size = (0, 0)
        self._times: list[int] = []
        self._said_ns = 0

    def run(self, model: RobotModel, state: Callable[[], LowState | None], stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            self._say(OPENING, "", 0)
            try:
                source = open_pictures(self._spec, model, state)
            except CameraError as error:
                self._say(NO_PICTURE, str(error), 0)
                stop.wait(AGAIN_S)
                continue
            try:
                self._show(source, stop)
            except CameraError as error:
                self._say(NO_PICTURE, str(error), source.received)
                stop.wait(AGAIN_S)
            except Exception as error:  # a mistake of ours or of a library: it costs this camera two seconds
                self._say(NO_PICTURE, f"camera '{self._spec.name}' failed: {type(error).__name__}: {error}", 0)
                stop.wait(AGAIN_S)
            finally:
                self._before += source.received
                self._damaged += source.damaged
                self._key = True
                with suppress(Exception):  # what failed may fail again
                    source.close()

    def _show(self, source: PictureSource, stop: threading.Event) -> None:
        quiet_since_ns = time.monotonic_ns()
        while not stop.is_set():
            picture = source.read()
            now_ns = time.monotonic_ns()
            if picture is not None:
                quiet_since_ns = now_ns
                self._take(picture, self._before + source.received)
                self._times = [t for t in self._times if now_ns - t < 1_000_000_000] + [now_ns]
            if now_ns - self._said_ns >= SAY_NS:
                quiet = now_ns - quiet_since_ns > 1_000_000_000
                sentence = f"camera '{self._spec.name}' sends nothing ({self._spec.shown})" if quiet else ""
                self._say(NO_PICTURE if quiet else SHOWING, sentence, source.received, source.damaged)

    def _take(self, picture: Picture, seq: int) -> None:
        """Compress one picture and hand it on; where the ring is full it is lost, and a key frame follows."""
        picture = picture._replace(t_ns=max(picture.t_ns, self._last_ns + 1))  # a map that learns may step back
        self._last_ns = picture.t_ns
        recorder = self._recorder.read()
        begun_ns = 0 if recorder is None else recorder.t_begun_ns
        if begun_ns != self._begun_ns:  # an episode begins with a key frame
            self._begun_ns, self._key = begun_ns, True
        if self._tiles is not None:
            self._tiles.show(picture)
        coded = self._encoder.encode(picture.frame, key=self._key)
        self._size = coded.size
        self._key = False
        self._coded += 1
        for part in parts_of(seq, self._coded, picture, coded.data, coded.key, coded.size):
            if not self._ring.push(part):
                self._lost += 1
                self._key = True
                return

    def _say(self, state: int, sentence: str, received: int, damaged: int = 0) -> None:
        self._said_ns = time.monotonic_ns()
        self._status.write(CameraStatus(
            self._said_ns, state, float(len(self._times)) if state == SHOWING else 0.0, self._before + received,
            self._damaged + damaged, self._lost, *self._size, as_bytes(self._spec.name, NAME_BYTES),
            as_bytes(sentence, SENTENCE_BYTES),
        ))  # fmt: skip
