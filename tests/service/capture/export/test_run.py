"""Many recordings in one export: what is written, what is left out, what is refused, and how a stopped one goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.service.capture.episode import Episode
from teleopd.service.capture.export import run
from teleopd.service.capture.export.errors import ExportError
from teleopd.service.capture.export.recordings import body_of, find_recordings
from teleopd.service.capture.export.run import Summary, export_episodes
from teleopd.service.capture.export.settings import Format, Settings
from teleopd.service.capture.export.stage import Stage
from teleopd.service.capture.export.workers import each
from teleopd.service.capture.mcap_file import EpisodeError
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.schemas import channels
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter

Make = Callable[..., Episode]
SETTINGS = Settings("lerobot")


class Shelf:
    """Recordings that are not read from MCAP but made; counts how often each is read."""

    def __init__(self, folder: Path, episodes: dict[str, Episode | Exception]) -> None:
        self.episodes = episodes
        self.read_count: dict[str, int] = {}
        self.paths = [folder / name for name in episodes]
        for path in self.paths:
            path.write_bytes(b"recording")

    def read(self, path: Path, streams: Collection[str]) -> Episode:
        self.read_count[path.name] = self.read_count.get(path.name, 0) + 1
        made = self.episodes[path.name]
        if isinstance(made, Exception):
            raise made
        return replace(made, path=path, streams={name: made.streams[name] for name in streams})

    def body(self, path: Path) -> tuple[str, tuple[str, ...]] | None:
        made = self.episodes[path.name]
        return None if isinstance(made, Exception) else (made.robot, made.joint_names)

    def export(self, to: Path, settings: Settings = SETTINGS, **more: Any) -> Summary:
        return export_episodes(self.paths, to, settings, read=self.read, identify=self.body, **more)


@pytest.fixture
def shelf(make: Make, tmp_path: Path) -> Shelf:
    return Shelf(tmp_path, {f"e{i}.mcap": make(1.0 + 0.2 * i, task=f"task {i % 2}") for i in range(3)})


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(("fmt", "files"), [
    ("npz", ["e0.npz", "e1.npz", "e2.npz", "episodes.json"]), ("csv", ["e0.csv", "e1.csv", "e2.csv", "episodes.json"]),
    ("hdf5", ["data.hdf5"]),
])  # fmt: skip
def test_every_format_is_written_and_nothing_else_is_left(shelf: Shelf, tmp_path: Path, fmt: Format, files: list[str]):
    told: list[tuple[int, int, str]] = []
    summary = shelf.export(tmp_path / "out", Settings(fmt), progress=lambda *said: told.append(said))
    assert (summary.status, summary.failed, summary.left_out) == (0, [], [])
    assert names(tmp_path / "out") == files
    assert not (tmp_path / "out.part").exists()
    assert told == [(0, 3, ""), (1, 3, "e0.mcap"), (2, 3, "e1.mcap"), (3, 3, "e2.mcap")]
    assert [row["name"] for row in summary.episodes] == ["e0", "e1", "e2"]


def test_what_cannot_be_exported_is_listed_and_costs_nothing_else(make: Make, tmp_path: Path):
    bad = make(1.0)
    bad.streams["state"].columns["joint_vel"][17, 3] = np.nan
    shelf = Shelf(tmp_path, {
        "ok.mcap": make(1.0), "nan.mcap": bad, "torn.mcap": EpisodeError("torn.mcap is torn\n  at its start"),
        "bug.mcap": KeyError("x"), "gone.mcap": make(1.0), "also.mcap": make(1.2),
    })  # fmt: skip
    shelf.paths[4].unlink()
    shelf.episodes["gone.mcap"] = EpisodeError("cannot read gone.mcap: No such file or directory")
    summary = shelf.export(tmp_path / "out")
    assert summary.status == 1
    assert [(path.name, said) for path, said in summary.failed] == [
        ("nan.mcap", f"'state.joint_vel' of {G1.joint_names[3]} is nan at 0.034 s"),
        ("torn.mcap", "torn.mcap is torn at its start"),
        ("bug.mcap", "this program failed: KeyError: 'x'"),
        ("gone.mcap", "cannot read gone.mcap: No such file or directory"),
    ]  # fmt: skip
    assert [row["name"] for row in summary.episodes] == ["ok", "also"]
    assert pq.read_table(tmp_path / "out/meta/episodes").num_rows == 2


def test_when_nothing_can_be_exported_nothing_is_written(tmp_path: Path):
    shelf = Shelf(tmp_path, {"torn.mcap": EpisodeError("torn")})
    summary = shelf.export(tmp_path / "out")
    assert (summary.status, len(summary.failed), summary.episodes) == (1, 1, [])
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.part").exists()


def test_only_what_was_judged_good_is_exported_unless_asked(make: Make, tmp_path: Path):
    shelf = Shelf(tmp_path, {
        "maybe.mcap": make(1.0, verdict="maybe"), "drop.mcap": make(1.0, verdict="drop"),
        "none.mcap": make(1.0, verdict=""), "gone.mcap": make(1.0, discarded="true"), "keep.mcap": make(1.0),
    })  # fmt: skip
    summary = shelf.export(tmp_path / "strict")
    assert summary.status == 0
    assert [(path.name, said) for path, said in summary.left_out] == [
        ("maybe.mcap", "it was judged maybe; export it too with --include maybe"),
        ("drop.mcap", "it was judged drop; export it too with --include drop"),
        ("gone.mcap", "the operator discarded it"),
    ]  # fmt: skip
    assert json.loads((tmp_path / "strict/meta/info.json").read_text())["splits"] == {"train": "0:2"}
    summary = shelf.export(tmp_path / "all", Settings("lerobot", include=("keep", "maybe", "drop")))
    assert [row["name"] for row in summary.episodes] == ["none", "keep", "maybe", "drop"]
    splits = json.loads((tmp_path / "all/meta/info.json").read_text())["splits"]
    assert splits == {"train": "0:2", "maybe": "2:3", "drop": "3:4"}


def test_robots_do_not_mix_and_both_are_named(make: Make, tmp_path: Path):
    other = make(1.0, robot=H1.name, joint_names=tuple(H1.joint_names))
    shelf = Shelf(tmp_path, {"a.mcap": make(1.0), "b.mcap": other})
    with pytest.raises(ExportError) as raised:
        shelf.export(tmp_path / "out")
    a, b = shelf.paths
    assert str(raised.value) == f"{a} is of unitree_g1 and {b} of unitree_h1: export each robot by itself"
    assert shelf.read_count == {} and not (tmp_path / "out.part").exists()


def test_joint_sets_do_not_mix_and_the_difference_is_named(make: Make, tmp_path: Path):
    fewer = make(1.0, joint_names=tuple(G1.joint_names[:23]))
    shelf = Shelf(tmp_path, {"a.mcap": make(1.0), "b.mcap": fewer})
    with pytest.raises(ExportError) as raised:
        shelf.export(tmp_path / "out")
    a, b = shelf.paths
    assert str(raised.value) == (
        f"{a} has 29 joints and {b} 23, which differ first in joint 23 ({G1.joint_names[23]} and none): "
        "export each set of joints by itself"
    )
    turned = make(1.0, joint_names=(G1.joint_names[1], G1.joint_names[0], *G1.joint_names[2:]))
    with pytest.raises(ExportError, match=r"differ first in joint 0 \(left_hip_pitch_joint and left_hip_roll_joint\)"):
        Shelf(tmp_path, {"a.mcap": make(1.0), "b.mcap": turned}).export(tmp_path / "out")


def test_a_stopped_export_goes_on_where_it_was(shelf: Shelf, tmp_path: Path):
    whole = shelf.export(tmp_path / "whole")
    shelf.read_count.clear()

    def stop(done: int, _all: int, _name: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.export(tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ExportError) as raised:
        shelf.export(tmp_path / "out")
    assert str(raised.value) == (
        f"{tmp_path / 'out.part'} is there from an export that was stopped: go on with --resume, or delete it"
    )
    summary = shelf.export(tmp_path / "out", resume=True)
    assert shelf.read_count == {"e0.mcap": 1, "e1.mcap": 1, "e2.mcap": 1}
    assert summary.episodes == whole.episodes
    for name in names(tmp_path / "whole"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def stopped(shelf: Shelf, to: Path, settings: Settings = SETTINGS) -> Path:
    def stop(done: int, _all: int, _name: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.export(to, settings, progress=stop)
    shelf.read_count.clear()
    return to.with_name(f"{to.name}.part")


def test_what_changed_since_is_done_again(shelf: Shelf, tmp_path: Path):
    stopped(shelf, tmp_path / "out", Settings("csv"))
    shelf.paths[0].write_bytes(b"another recording")
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"file": "e1.mcap", "verdict": "keep"}) + "\n")
    shelf.export(tmp_path / "out", Settings("csv"), resume=True)
    assert shelf.read_count == {"e0.mcap": 1, "e1.mcap": 1, "e2.mcap": 1}


def test_half_a_line_and_a_lost_piece_are_done_again(shelf: Shelf, tmp_path: Path):
    part = stopped(shelf, tmp_path / "out")
    journal = part / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    summary = shelf.export(tmp_path / "out", resume=True)
    assert shelf.read_count == {"e1.mcap": 1, "e2.mcap": 1} and len(summary.episodes) == 3
    shutil.rmtree(tmp_path / "out")
    part = stopped(shelf, tmp_path / "out")
    for piece in (part / "frames").iterdir():
        piece.unlink()
    shelf.export(tmp_path / "out", resume=True)
    assert shelf.read_count == {"e0.mcap": 1, "e1.mcap": 1, "e2.mcap": 1}


def test_other_settings_do_not_go_on_with_a_stopped_export(shelf: Shelf, tmp_path: Path):
    part = stopped(shelf, tmp_path / "out")
    with pytest.raises(ExportError) as raised:
        shelf.export(tmp_path / "out", Settings("lerobot", rate_hz=30.0), resume=True)
    assert str(raised.value) == (
        f"{part} is of an export with other settings (rate_hz 50.0, now 30.0): give those again, or delete it"
    )
    assert shelf.export(tmp_path / "out", resume=True).status == 0


def test_two_exports_to_one_place_are_not_run_at_once(shelf: Shelf, tmp_path: Path):
    stage = Stage(tmp_path / "out", SETTINGS.record(), resume=False)
    with pytest.raises(ExportError) as raised:
        shelf.export(tmp_path / "out", resume=True)
    assert str(raised.value) == f"another export to {tmp_path / 'out'} is running"
    stage.close()
    assert shelf.export(tmp_path / "out", resume=True).status == 0


def test_nothing_that_exists_is_overwritten(shelf: Shelf, tmp_path: Path):
    said = "exists: give the name of a folder that does not, or delete it"
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("mine")
    folder.mkdir()
    (folder / "mine").write_text("mine")
    for to in (file, folder):
        with pytest.raises(ExportError) as raised:
            shelf.export(to)
        assert str(raised.value) == f"{to} {said}"
    assert file.read_text() == (folder / "mine").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert shelf.export(tmp_path / "empty").status == 0


def test_two_recordings_of_one_name_cannot_become_one_file(make: Make, tmp_path: Path):
    (tmp_path / "b").mkdir()
    one, other = Shelf(tmp_path, {"e.mcap": make(1.0)}), Shelf(tmp_path / "b", {"e.mcap": make(1.0)})
    one.paths += other.paths
    with pytest.raises(ExportError) as raised:
        one.export(tmp_path / "out", Settings("csv"))
    assert str(raised.value) == (
        f"{one.paths[0]} and {one.paths[1]} would both be written to e.csv: rename one, or export them one by one"
    )
    assert len(one.export(tmp_path / "out").episodes) == 2


def test_a_full_disk_keeps_what_was_done(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run, "_write", full)
        with pytest.raises(OSError, match="No space left"):
            shelf.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    shelf.read_count.clear()
    assert shelf.export(tmp_path / "out", resume=True).status == 0
    assert shelf.read_count == {}


def test_a_missing_package_is_named_with_its_extra(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(run.NEEDS, "hdf5", ("no_such_h5py", "hdf5"))  # type: ignore[misc]
    with pytest.raises(ExportError) as raised:
        shelf.export(tmp_path / "out", Settings("hdf5"))
    assert str(raised.value) == "format hdf5 needs no_such_h5py: pip install 'teleopd[hdf5]'"


def test_pieces_of_a_cut_recording_are_episodes_of_their_own(make: Make, tmp_path: Path):
    whole = make(4.0)
    state = whole.streams["state"]
    keep = (state.t_ns < state.t_ns[0] + 1_500_000_000) | (state.t_ns > state.t_ns[0] + 1_900_000_000)
    gone = replace(state, t_ns=state.t_ns[keep], columns={n: v[keep] for n, v in state.columns.items()})
    shelf = Shelf(tmp_path, {"a.mcap": replace(whole, streams={**whole.streams, "state": gone})})
    assert "has a gap" in shelf.export(tmp_path / "refused").failed[0][1]
    summary = shelf.export(tmp_path / "out", Settings("csv", on_gap="split"))
    assert names(tmp_path / "out") == ["a.1.csv", "a.2.csv", "episodes.json"]
    assert [round(row["start_s"], 3) for row in summary.episodes] == [0.018, 1.918]


def test_folders_are_searched_and_every_recording_is_taken_once(tmp_path: Path):
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("in/b.mcap", "in/a.mcap", "in/deep/c.mcap", "in/d.mcap.part", "in/notes.txt"):
        (tmp_path / name).touch()
    folder = tmp_path / "in"
    found = [folder / "a.mcap", folder / "b.mcap", folder / "deep/c.mcap"]
    assert find_recordings([folder, folder / "a.mcap"]) == found
    assert find_recordings([folder / "d.mcap.part"]) == [folder / "d.mcap.part"]
    (tmp_path / "empty").mkdir()
    for given, said in (
        ([tmp_path / "empty"], f"{tmp_path / 'empty'} holds no finished recording (*.mcap)"),
        ([tmp_path / "no"], f"{tmp_path / 'no'} does not exist; give recordings (*.mcap) or folders of them"),
        ([], "no recordings: give files (*.mcap) or folders of them"),
    ):
        with pytest.raises(ExportError) as raised:
            find_recordings(given)
        assert str(raised.value) == said


@pytest.fixture
def recorded(make: Make, tmp_path: Path) -> tuple[Path, Episode]:
    """An episode as the recorder writes it, and as it was."""
    episode = make(1.5)
    header = EpisodeHeader(episode.robot, episode.joint_names, ("Pelvis",), {"task": "wave 👋", "verdict": "keep"})
    writer = EpisodeWriter(PartFile(tmp_path, "real"), header, 7_000_000_000, 1_790_000_000_000_000_000)
    table = channels(episode.joint_names, ("Pelvis",))
    for name, stream in episode.streams.items():
        n = stream.n
        arrays = [stream.columns.get(c.name, np.zeros((n, c.size))) for c in table[name].columns]
        writer.write(name, stream.t_ns, arrays)
        writer.flush()
    return writer.finish({"success": "true"}, {"state": 2}), episode


def test_a_recording_goes_from_mcap_to_lerobot_and_back_to_its_numbers(recorded: tuple[Path, Episode], tmp_path: Path):
    path, episode = recorded
    assert body_of(path) == (G1.name, tuple(G1.joint_names))
    summary = export_episodes([path], tmp_path / "ds", Settings("lerobot"))
    assert summary.status == 0
    (row,) = summary.episodes
    assert (row["task"], row["success"], row["dropped"]) == ("wave 👋", "true", {"state": 2})
    rows = pq.read_table(tmp_path / "ds/data").to_pydict()
    state, target = episode.streams["state"], episode.streams["target"]
    t = episode.t_start_ns + round(row["start_s"] * 1e9)
    for k in range(len(rows["index"])):
        at = t + k * 20_000_000
        i = int(np.argmin(np.abs(state.t_ns - at)))
        j = int(np.searchsorted(target.t_ns, at))
        seen = np.concatenate([state.columns[c][i] for c in ("joint_pos", "joint_vel", "imu_quat_w", "imu_gyro_b")])
        assert rows["observation.state"][k] == seen.astype(np.float32).tolist()
        assert rows["action"][k] == target.columns["joint_pos"][j].astype(np.float32).tolist()
    assert len(rows["index"]) == 74


def test_work_is_spread_over_processes_and_a_dead_one_costs_its_own_thing_only():
    deadly = "__import__('os')._exit(3)"
    assert dict(each(["1 + 1", deadly, "2 + 2"], eval, 2, -1)) == {"1 + 1": 2, deadly: -1, "2 + 2": 4}
    assert list(each(["1 + 1", "2 + 2"], eval, 1, -1)) == [("1 + 1", 2), ("2 + 2", 4)]


@pytest.mark.long
def test_several_processes_write_the_same_set_as_one(recorded: tuple[Path, Episode], tmp_path: Path):
    path, _ = recorded
    for i in range(2):
        shutil.copy(path, tmp_path / f"copy{i}.mcap")
    paths = find_recordings([tmp_path])
    (tmp_path / "torn.mcap").write_bytes(path.read_bytes()[:100])
    paths.append(tmp_path / "torn.mcap")
    one = export_episodes(paths, tmp_path / "one", SETTINGS)
    two = export_episodes(paths, tmp_path / "two", SETTINGS, processes=2)
    assert one.episodes == two.episodes and [p for p, _ in one.failed] == [p for p, _ in two.failed] == [paths[-1]]
    for name in names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert read_episode(path).robot == G1.name
