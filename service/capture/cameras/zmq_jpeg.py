"""Pictures of Unitree's image server: JPEG over a ZeroMQ PUB socket, with or without its header of 12 bytes.

The header (a server started with `Unit_Test`) is the server's wall clock as a double and a 32-bit count of pictures,
both little-endian; in a message of several parts the first is the colour picture. Read in the public image servers of
xr_teleoperate and teleimager, not tried with a robot.
"""

from __future__ import annotations

import queue
import struct
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import av
import zmq

from teleopd.service.capture.cameras.pictures import CameraClock, Picture
from teleopd.service.capture.cameras.spec import CameraError, CameraSpec

START = b"\xff\xd8"
"""Of every JPEG."""
HEADER = struct.Struct("<dI")
WAIT_MS = 1000
QUIET_TURNS = 3
"""After so many waits for nothing it connects anew: ZeroMQ gives a server up that once sent too much."""
WAITING = 60
"""Messages that wait to be decoded, two seconds of them; what comes beyond is lost, and counted."""
MOST_BYTES = 8 << 20
"""A longer message is no picture."""


class ZmqJpeg:
    """One such camera. That nobody is there is no failure: the server may come and go.

    A thread of its own takes every message and stamps it at once: most servers send no times.
    """

    def __init__(self, spec: CameraSpec, *_drawn: object) -> None:
        self._spec, self.damaged = spec, 0
        self._clock, self._counted = CameraClock(), -1
        self._taken = self._dropped = 0
        self._waiting: queue.Queue[tuple[bytes, int]] = queue.Queue(WAITING)
        self._context, self._stop = zmq.Context(), threading.Event()
        self._decoder: Any = av.CodecContext.create("mjpeg", "r")
        try:
            socket = self._connected()
        except zmq.ZMQError as error:
            self._context.term()
            sentence = f"camera '{spec.name}': cannot connect to {spec.shown}: {error.strerror}"
            raise CameraError(sentence) from None
        self._thread = threading.Thread(target=self._receive, args=(socket,), daemon=True, name=f"zmq {spec.name}")
        self._thread.start()

    @property
    def received(self) -> int:
        """See `PictureSource`."""
        return self._taken + self._dropped

    def read(self) -> Picture | None:
        """See `PictureSource`."""
        try:
            message, received_ns = self._waiting.get(timeout=WAIT_MS / 1000)
        except queue.Empty:
            return None
        sent_ns = self._count(message)
        t_ns = received_ns if sent_ns is None else self._clock.map(sent_ns, received_ns)
        frame = self._decode(message[HEADER.size :] if sent_ns is not None else message)
        if frame is None:
            self.damaged += 1
            return None
        return Picture(t_ns, received_ns, frame)

    def close(self) -> None:
        """See `PictureSource`."""
        self._stop.set()
        self._thread.join()
        self._context.term()

    def _connected(self) -> Any:
        parts = urlsplit(self._spec.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        socket: Any = self._context.socket(zmq.SUB)
        for option, value in ((zmq.LINGER, 0), (zmq.MAXMSGSIZE, MOST_BYTES), (zmq.IPV6, 1), (zmq.SUBSCRIBE, b"")):
            socket.setsockopt(option, value)
        try:
            socket.connect(f"tcp://{host}:{parts.port}")
        except zmq.ZMQError:
            socket.close()
            raise
        return socket

    def _receive(self, socket: Any) -> None:
        quiet = 0
        while not self._stop.is_set():
            if not socket.poll(min(WAIT_MS, 200)):
                quiet += 1
                if quiet * min(WAIT_MS, 200) >= QUIET_TURNS * WAIT_MS:
                    quiet = 0
                    socket.close()
                    socket = self._connected()
                continue
            quiet = 0
            message = socket.recv_multipart()[0]
            try:
                self._waiting.put_nowait((message, time.monotonic_ns()))
            except queue.Full:
                self._dropped += 1
        socket.close()

    def _count(self, message: bytes) -> int | None:
        """Count one message, and by the server's own count those that never came; its sending time [ns], or None."""
        self._taken += 1
        if message[:2] == START or message[HEADER.size : HEADER.size + 2] != START:
            return None
        seconds, number = HEADER.unpack_from(message)
        if 0 <= self._counted < number < self._counted + 1000:
            self._taken += number - self._counted - 1
        self._counted = number
        return int(seconds * 1e9) if 0 < seconds < 1e10 else None

    def _decode(self, data: bytes) -> Any:
        if data[:2] != START:
            return None
        try:
            frames = self._decoder.decode(av.Packet(data))
        except (OSError, ValueError):
            return None
        return frames[0] if frames else None
