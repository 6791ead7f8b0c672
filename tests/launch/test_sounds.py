"""Tones at the beginning and the end of episodes."""

from __future__ import annotations

import io
import subprocess
import wave

import numpy as np
import pytest

from teleopd.launch import sounds
from teleopd.launch.sounds import RATE_HZ, TONES, Sounds, tone
from teleopd.service.capture.records import ENDED, FAILED, RECORDING, WAITING, RecorderStatus, as_bytes


def status(state: int) -> RecorderStatus:
    return RecorderStatus(1, state, 0, 0, 0, 0, False, as_bytes("", 8), as_bytes("", 8))


def test_each_change_is_heard_once():
    heard: list[str] = []
    watched = Sounds(True, heard.append)
    for state in (None, WAITING, RECORDING, RECORDING, WAITING, RECORDING, FAILED, FAILED, RECORDING, ENDED):
        watched.watch(None if state is None else status(state))
    assert heard == ["begin", "end", "begin", "fail", "begin", "end"]


def test_nothing_is_heard_where_nobody_asked():
    heard: list[str] = []
    Sounds(False, heard.append).watch(status(RECORDING))
    assert heard == []


@pytest.mark.parametrize("what", TONES)
def test_a_tone_has_its_pitches(what: str):
    with wave.open(io.BytesIO(tone(TONES[what]))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(float)
    for part, pitch in zip(np.array_split(samples, len(TONES[what])), TONES[what], strict=True):
        spectrum = np.abs(np.fft.rfft(part, 1 << 16))
        assert np.argmax(spectrum) * RATE_HZ / (1 << 16) == pytest.approx(pitch, abs=10)


def test_the_computers_player_gets_a_file_and_without_one_the_bell_rings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    played: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: played.append(command))
    monkeypatch.setattr(sounds.shutil, "which", lambda name: "/usr/bin/aplay" if name == "aplay" else None)
    loud = Sounds(True)
    loud.watch(status(RECORDING))
    assert played[0][:2] == ["aplay", "-q"] and played[0][2].endswith("begin.wav")
    loud.close()
    monkeypatch.setattr(sounds.shutil, "which", lambda name: None)
    bell = Sounds(True)
    bell.watch(status(RECORDING))
    bell.close()
    assert len(played) == 1 and capsys.readouterr().err == "\a"
