"""Cameras in a LeRobot data set: which picture each frame shows, how films lie behind one another, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.service.capture.cameras.peers import grey, shade

from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.service.capture.cameras.h264 import Encoder
from teleopd.service.capture.export import film, lerobot
from teleopd.service.capture.export.errors import ExportError
from teleopd.service.capture.export.lerobot_check import check_lerobot
from teleopd.service.capture.export.recordings import cameras_of, common_cameras
from teleopd.service.capture.export.run import Summary, export_episodes
from teleopd.service.capture.export.settings import Settings
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.schemas import channels
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter

T0, MS = 5_000_000_000, 1_000_000
SETTINGS = Settings("lerobot", 30.0, cameras=("head",))
STEP_MS = 40
"""Between two pictures: 25 a second, slower than the data set."""


def level(i: int) -> int:
    """Shade of picture i."""
    return 30 + 4 * (i % 50)


def recording(
    folder: Path, name: str, seconds: float = 2.0, size: tuple[int, int] = (64, 48), hole: range = range(0),
    cameras: tuple[str, ...] = ("head",),
) -> Path:  # fmt: skip
    """State and target at 100 Hz and grey pictures; those in `hole` never came."""
    header = EpisodeHeader(G1.name, G1.joint_names, ("Pelvis",), {"task": "wave", "verdict": "keep"}, {}, cameras)
    writer = EpisodeWriter(PartFile(folder, name), header, T0, 1_790_000_000_000_000_000)
    table, n = channels(G1.joint_names, ("Pelvis",)), int(seconds * 100)
    for stream in ("state", "target"):
        arrays = [np.full((n, column.size), 0.5 if "quat" in column.name else 0.1) for column in table[stream].columns]
        writer.write(stream, T0 + 10 * MS * np.arange(n, dtype=np.int64), arrays)
    for camera in cameras:
        encoder = Encoder()
        for i in range(int(seconds * 1000 / STEP_MS)):
            coded = encoder.encode(grey(level(i), size), key=i == 0 or i == hole.stop)
            if i not in hole:
                writer.picture(camera, T0 + STEP_MS * MS * i, T0 + STEP_MS * MS * i, coded.data, coded.size)
    return writer.finish({}, {})


def export(paths: list[Path], to: Path, settings: Settings = SETTINGS) -> Summary:
    return export_episodes(paths, to, settings)


def frames_of(path: Path) -> list[tuple[float, float]]:
    """(time, shade) of every frame of a film."""
    with av.open(str(path)) as container:
        return [(float(frame.time), shade(frame)) for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("films")
    paths = [recording(folder, "a"), recording(folder, "b", 1.5), recording(folder, "c", 1.0)]
    return folder / "set", export(paths, folder / "set")


def test_every_frame_shows_the_picture_taken_nearest_to_it_in_every_episode(data_set: tuple[Path, Summary]):
    root, summary = data_set
    assert summary.status == 0, summary.failed
    shown = frames_of(root / "videos/observation.images.head/chunk-000/file-000.mp4")
    data = pq.read_table(root / "data").to_pydict()
    assert len(shown) == len(data["index"]) == summary.frames
    np.testing.assert_allclose([t for t, _ in shown], np.arange(len(shown)) / 30, atol=1e-4)
    origins = json.loads((root / "meta/teleopd.json").read_text())["episodes"]
    for i, (_, found) in enumerate(shown):
        start_s = origins[data["episode_index"][i]]["start_s"]
        t_ms = (start_s + data["frame_index"][i] / 30) * 1000
        wanted = [level(int(k)) for k in {round(t_ms / STEP_MS - 1e-3), round(t_ms / STEP_MS + 1e-3)}]
        assert min(abs(found - one) for one in wanted) < 3, (i, t_ms, found)
        assert abs(data["skew_s"][i][2]) <= STEP_MS / 2000 + 1e-6


def test_the_tables_say_where_each_episodes_film_lies(data_set: tuple[Path, Summary]):
    root, _ = data_set
    rows = pq.read_table(root / "meta/episodes").to_pydict()
    key = "videos/observation.images.head"
    starts, ends = rows[f"{key}/from_timestamp"], rows[f"{key}/to_timestamp"]
    assert starts == [0.0, *ends[:-1]]
    np.testing.assert_allclose(np.subtract(ends, starts) * 30, rows["length"])
    assert rows[f"{key}/chunk_index"] == rows[f"{key}/file_index"] == [0, 0, 0]
    info = json.loads((root / "meta/info.json").read_text())
    said = info["features"]["observation.images.head"]
    assert (said["dtype"], said["shape"], said["info"]["video.codec"]) == ("video", [48, 64, 3], "h264")
    assert info["features"]["skew_s"]["names"] == ["state", "action", "camera.head"]
    assert "observation.images.head" not in pq.read_table(root / "data").column_names
    stats: Any = json.loads((root / "meta/stats.json").read_text())["observation.images.head"]
    assert np.shape(stats["mean"]) == (3, 1, 1) and 0 < stats["min"][0][0][0] < stats["mean"][0][0][0] < 1
    assert json.loads((root / "meta/modality.json").read_text())["video"] == {
        "head": {"original_key": "observation.images.head"}
    }


def test_films_go_on_in_another_file_when_one_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lerobot, "VIDEO_FILE_MB", 0.0001)
    paths = [recording(tmp_path, name, 1.0) for name in ("a", "b")]
    assert export(paths, tmp_path / "set").status == 0
    folder = tmp_path / "set/videos/observation.images.head/chunk-000"
    assert sorted(path.name for path in folder.iterdir()) == ["file-000.mp4", "file-001.mp4"]
    rows = pq.read_table(tmp_path / "set/meta/episodes").to_pydict()
    assert rows["videos/observation.images.head/file_index"] == [0, 1]
    assert rows["videos/observation.images.head/from_timestamp"] == [0.0, 0.0]


def test_a_camera_that_was_silent_too_long_refuses_the_episode_and_split_cuts_it(tmp_path: Path):
    path = recording(tmp_path, "a", 4.0, hole=range(40, 60))
    summary = export([path], tmp_path / "set")
    assert "'camera/head' has a gap, or its clock jumps, by 0.840 s at 1.560 s" in summary.failed[0][1]
    cut = export([path], tmp_path / "cut", Settings("lerobot", 30.0, cameras=("head",), on_gap="split"))
    assert [row["name"] for row in cut.episodes] == ["a.1", "a.2"] and cut.status == 0


def test_cameras_that_differ_are_named_with_both_recordings(tmp_path: Path):
    one, two = recording(tmp_path, "one"), recording(tmp_path, "two", cameras=("head", "wrist"))
    assert (cameras_of(one), cameras_of(two)) == (("head",), ("head", "wrist"))
    with pytest.raises(ExportError) as raised:
        common_cameras([one, two])
    assert str(raised.value) == (
        f"{one} has the cameras head and {two} head and wrist: name those that all have with --cameras, or none"
    )
    assert export([one, two], tmp_path / "set").status == 0, "those that all have"


def test_a_recording_without_the_camera_is_a_failure_of_its_own(tmp_path: Path):
    summary = export([recording(tmp_path, "one"), recording(tmp_path, "two", cameras=())], tmp_path / "set")
    assert len(summary.episodes) == 1
    assert [sentence for _, sentence in summary.failed] == ["it has no stream 'camera/head'; it has state, target"]


def test_pictures_of_two_sizes_are_refused_naming_both(tmp_path: Path):
    paths = [recording(tmp_path, "big", 1.0), recording(tmp_path, "small", 1.0, (32, 32))]
    with pytest.raises(ExportError) as raised:
        export(paths, tmp_path / "set")
    assert str(raised.value) == (
        "pictures of big have 64x48, those of small 32x32: export each size by itself, or with --cameras none"
    )


def test_other_formats_say_that_they_have_no_pictures():
    with pytest.raises(ExportError, match=r"^format csv has no pictures; cameras go into lerobot only$"):
        Settings("csv", cameras=("head",))


def test_a_film_that_is_too_short_is_found(data_set: tuple[Path, Summary], tmp_path: Path):
    root, summary = data_set
    path = root / "videos/observation.images.head/chunk-000/file-000.mp4"
    whole = path.read_bytes()
    other = recording(tmp_path, "x", 0.5)
    export([other], tmp_path / "short")
    path.write_bytes((tmp_path / "short/videos/observation.images.head/chunk-000/file-000.mp4").read_bytes())
    try:
        with pytest.raises(ExportError, match=r"^frames in file-000\.mp4: \d+ expected, \d+ found$"):
            check_lerobot(root)
    finally:
        path.write_bytes(whole)
    assert film.count_frames(path) == summary.frames
