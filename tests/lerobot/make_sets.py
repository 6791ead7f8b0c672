"""Data sets for check.py, from recordings as the recorder writes them: FOLDER/one (3 episodes), FOLDER/two (2), and
with a camera FOLDER/films (3) and FOLDER/film (1)."""

from __future__ import annotations

import sys
from pathlib import Path

from teleopd.service.capture.export.run import export_episodes
from teleopd.service.capture.export.settings import Settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from export import write_recording

work = Path(sys.argv[1])
recordings = work / "recordings"
recordings.mkdir()
paths = [write_recording(recordings, f"e{i}", 4.0 + i, i) for i in range(5)]
seen = [write_recording(recordings, f"f{i}", 2.0 + i, i, (96, 64)) for i in range(4)]
for name, given in (("films", seen[:3]), ("film", seen[3:])):
    assert export_episodes(given, work / name, Settings("lerobot", 30.0, cameras=("head",))).status == 0
for name, given in (("one", paths[:3]), ("two", paths[3:])):
    assert export_episodes(given, work / name, Settings("lerobot")).status == 0
