"""What stands at the other end: pictures, JPEG of them, and an RTSP camera that speaks the real protocol over TCP."""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import threading
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np


def grey(level: int, size: tuple[int, int] = (64, 48)) -> Any:
    """A frame of one shade."""
    return av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), level, dtype=np.uint8), format="rgb24")


def shade(frame: Any) -> float:
    """Mean level of a frame."""
    return float(frame.to_ndarray(format="rgb24").mean())


def jpeg(level: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A grey picture of that level, as FFmpeg compresses it."""
    codec: Any = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = *size, "yuvj420p", Fraction(1, 30)
    frame = grey(level, size).reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in codec.encode(frame) + codec.encode(None))


class RtspCamera:
    """An RTSP 1.0 server (RFC 2326) with one H.264 stream in RTP (RFC 6184) interleaved in its TCP connection.

    Picture k is grey of level 20 + 8 (k mod 25); RTP times advance by 1/30 s a picture. `vanish` cuts the connection.
    """

    SIZE = (96, 64)

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._server.getsockname()[1]}/live"
        self._client: socket.socket | None = None
        self._closed = False
        self._begin()
        threading.Thread(target=self._serve, daemon=True).start()

    def _begin(self) -> None:
        """A new stream: its first picture is a key frame with its parameter sets."""
        codec: Any = av.CodecContext.create("libx264", "w")
        codec.width, codec.height = self.SIZE
        codec.pix_fmt, codec.time_base, codec.gop_size, codec.max_b_frames = "yuv420p", Fraction(1, 30), 5, 0
        codec.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "repeat-headers=1"}
        self._codec = codec
        self.sent = 0

    def vanish(self) -> None:
        """The camera loses its network."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed = True
        self.vanish()
        self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.close()

    def _serve(self) -> None:
        while not self._closed:
            with contextlib.suppress(OSError):
                self._client, _ = self._server.accept()
                self._talk(self._client)

    def _talk(self, client: socket.socket) -> None:
        self._begin()
        with client, client.makefile("rb") as lines:
            while line := lines.readline().decode():
                method = line.split(" ")[0]
                headers = {}
                while (header := lines.readline().decode().strip()):
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                extra, body = "", ""
                if method == "OPTIONS":
                    extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                elif method == "DESCRIBE":
                    body = self._sdp()
                    extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                elif method == "SETUP":
                    extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                answer = f"RTSP/1.0 200 OK\r\nCSeq: {headers.get('cseq', '1')}\r\n{extra}\r\n{body}"
                client.sendall(answer.encode())
                if method == "PLAY":
                    self._play(client)
                    return

    def _sdp(self) -> str:
        first = self._picture()
        sps, pps = (next(nal for nal in first if nal[0] & 31 == kind) for kind in (7, 8))
        sets = ",".join(base64.b64encode(nal).decode() for nal in (sps, pps))
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=t\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n"
            "a=framerate:30\r\na=control:track1\r\n"
        )

    def _picture(self) -> list[bytes]:
        """NAL units of the next picture."""
        frame = grey(20 + 8 * (self.sent % 25), self.SIZE).reformat(format="yuv420p")
        frame.pts, frame.time_base = self.sent, Fraction(1, 30)
        self.sent += 1
        data = b"".join(bytes(packet) for packet in self._codec.encode(frame))
        return [nal.strip(b"\0") for nal in data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if nal.strip(b"\0")]

    def _play(self, client: socket.socket) -> None:
        sequence = 0
        while not self._closed:
            stamp = (self.sent * 3000) & 0xFFFFFFFF
            nals = self._picture()
            packets: list[bytes] = []
            for nal in nals:
                if len(nal) <= 1200:
                    packets.append(nal)
                    continue
                body, kind = nal[1:], nal[0] & 31  # FU-A
                for at in range(0, len(body), 1200):
                    last = at + 1200 >= len(body)
                    flags = (0x80 if at == 0 else 0) | (0x40 if last else 0) | kind
                    packets.append(bytes([(nal[0] & 0xE0) | 28, flags]) + body[at : at + 1200])
            for i, packet in enumerate(packets):
                marker = 0x80 if i == len(packets) - 1 else 0
                head = struct.pack(">BBHII", 0x80, 96 | marker, sequence & 0xFFFF, stamp, 7)
                sequence += 1
                client.sendall(struct.pack(">cBH", b"$", 0, len(head) + len(packet)) + head + packet)
            time.sleep(1 / 30)
