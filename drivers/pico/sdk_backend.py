"""The vendor's client kit as a `Link`, in a child process: its crashes end the child, its silence restarts it.

What the kit cannot give is missing here too: a frame above 16,351 B (a body with both hands in full precision) never
arrives, focus and the active input are unknown, and so is which headset sends. Body, head and controllers do arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from teleopd.drivers.pico import wire

CHILD = Path(__file__).with_name("sdk_child.py")
DEVICE = "vendor-kit"
"""Stands for the headset, which the kit does not name."""
LEAVE_S = 2.0
"""Longest wait for the child to close the kit before it is killed."""
NOT_INSTALLED = 3


class SdkLink:
    """One child at a time; `run` may be called again after it returned."""

    def __init__(self, host: str, port: int, python: str = sys.executable) -> None:
        """`python`: interpreter that has the kit, where it is not this one."""
        self.target = f"{host}:{port}"
        self._host, self._port, self._python = host, port, python

    async def run(self, connected: Callable[[], None], receive: Callable[[bytes, int], None]) -> str:
        """See `Link`. Connected means: the first frame arrived, for the kit says nothing earlier."""
        with tempfile.TemporaryDirectory(prefix="teleopd-pico-") as folder:
            settings = f"[Client]\nconnectAddr={self._host}\nconnectPort={self._port}\n"
            (Path(folder) / "PXREASetting.ini").write_text(settings)  # the kit reads it in its working directory
            child = await asyncio.create_subprocess_exec(
                self._python, "-I", str(CHILD), cwd=folder, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                frames = await self._read(child, connected, receive)
            finally:
                await _end(child)
        return self._why(child.returncode, frames)

    async def control(self, device: str, command: str) -> bool:
        """Not through the kit; always False."""
        return False

    async def _read(
        self, child: asyncio.subprocess.Process, connected: Callable[[], None], receive: Callable[[bytes, int], None]
    ) -> int:
        assert child.stdout is not None
        frames = 0
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                (size,) = struct.unpack("<I", await child.stdout.readexactly(4))
                if size > wire.MAX_FEEDBACK:
                    return frames
                text = await child.stdout.readexactly(size)
                frames += 1
                if frames == 1:
                    connected()
                receive(wire.encode_feedback(wire.Feedback(wire.STATE, DEVICE, None, text)), time.monotonic_ns())
        return frames

    def _why(self, code: int | None, frames: int) -> str:
        if code == NOT_INSTALLED:
            return "the vendor's kit is not installed; install it with: pip install 'teleopd[pico-sdk]'"
        if code is not None and code < 0:
            return f"the vendor's kit crashed with {signal.Signals(-code).name}"
        if not frames:
            return (
                f"the vendor's kit receives nothing from {self.target}; is the PC service running, the headset sending?"
            )
        return f"the vendor's kit no longer receives anything from {self.target}"


async def _end(child: asyncio.subprocess.Process) -> None:
    """Let the child close the kit; kill it when it does not."""
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), LEAVE_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
