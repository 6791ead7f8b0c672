"""Tones that confirm the beginning and the end of an episode, for an operator who wears a headset. Off by default.

They are played by whatever player the computer has, in a process of its own; without one the terminal's bell rings.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from teleopd.service.capture.records import FAILED, RECORDING, RecorderStatus

RATE_HZ = 22_050
TONES: Mapping[str, tuple[float, ...]] = {"begin": (660.0, 990.0), "end": (990.0, 660.0), "fail": (220.0, 220.0, 220.0)}
"""What happened -> pitches [Hz], one after the other."""
TONE_S, FADE_S = 0.12, 0.01
PLAYERS: Sequence[tuple[str, ...]] = (("pw-play",), ("paplay",), ("aplay", "-q"), ("afplay",))


def tone(pitches: Sequence[float]) -> bytes:
    """A WAV file, mono, 16 bits."""
    t = np.arange(round(TONE_S * RATE_HZ)) / RATE_HZ
    fade = np.clip(np.minimum(t, TONE_S - t) / FADE_S, 0.0, 1.0)
    sound = np.concatenate([0.3 * fade * np.sin(2 * np.pi * pitch * t) for pitch in pitches])
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(np.rint(32767 * sound).astype("<i2").tobytes())
    return file.getvalue()


def player() -> tuple[str, ...] | None:
    """The command that plays a WAV file here; None where there is none."""
    return next((command for command in PLAYERS if shutil.which(command[0])), None)


class Sounds:
    """Watches the recorder's state; call `watch` often. It never waits and never fails."""

    def __init__(self, on: bool, play: Callable[[str], object] | None = None) -> None:
        """`play`: takes 'begin', 'end' or 'fail'; the computer's player by default."""
        self._folder = tempfile.TemporaryDirectory(prefix="teleopd-sounds-") if on and play is None else None
        self._play = (play or self._aloud) if on else None
        self._state: int | None = None

    def watch(self, status: RecorderStatus | None) -> None:
        """The recorder's newest word."""
        if self._play is None or status is None or status.state == self._state:
            return
        before, self._state = self._state, status.state
        if status.state == RECORDING:
            self._play("begin")
        elif status.state == FAILED:
            self._play("fail")
        elif before == RECORDING:
            self._play("end")

    def close(self) -> None:
        """Remove the files; safe to call twice."""
        if self._folder is not None:
            self._folder.cleanup()

    def _aloud(self, what: str) -> None:
        command = player()
        with suppress(OSError):
            if command is None or self._folder is None:
                print("\a", end="", file=sys.stderr, flush=True)
                return
            file = Path(self._folder.name) / f"{what}.wav"
            if not file.exists():
                file.write_bytes(tone(TONES[what]))
            subprocess.Popen([*command, str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
