"""`--record DIR` before and after a run, `teleop ctl episode`, and `teleop capture` on what was recorded."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from teleopd.launch import cli, recording
from teleopd.launch.commands import ctl, demo, serve
from teleopd.launch.composition import Composition
from teleopd.launch.config import RunConfig
from teleopd.launch.errors import CommandError
from teleopd.launch.processes import Processes
from teleopd.launch.recording import end_recording, header_of, recording_folder, start_recorder
from teleopd.robots.ipc.session import Session, SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.recorder import Recorder
from teleopd.service.capture.recording import Inputs
from teleopd.service.capture.records import VERBS, WISH_WRITERS, EpisodeWish, RecorderStatus
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter
from teleopd.service.policy.library import resolve
from teleopd.service.streams import Bus, recording_streams

N, S = MODEL.n, 1_000_000_000


@pytest.fixture
def bus(owner: SessionOwner) -> Bus:
    return Bus(owner.session, N, create=True, record=True)


def teleop(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return int(ended.value.code or 0)


# Before the run


def test_the_folder_is_made_when_the_run_starts_and_not_by_one_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert recording_folder(RunConfig()) is None
    folder = tmp_path / "a" / "b"
    assert recording_folder(RunConfig(record=str(folder))) == folder
    config = RunConfig(kinematic=True, source="motion_file", motion="wave", record=str(folder), mqtt="no broker")
    with pytest.raises(CommandError, match="is not of the form HOST"):
        Composition(config)
    assert list(tmp_path.iterdir()) == []
    started: list[str] = []
    monkeypatch.setattr(recording, "header_of", lambda *_: None)
    processes: Any = SimpleNamespace(start=lambda name, **_: started.append(name), say=lambda _: None)
    start_recorder(processes, Session("unitree_g1", tmp_path), folder, config, MODEL, None, "")
    assert folder.is_dir() and started == ["recorder"]


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=rf"^--record {tmp_path}/file is a file; give a folder$"):
        recording_folder(RunConfig(record=str(tmp_path / "file")))


def test_without_mcap_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(CommandError) as raised:
        recording_folder(RunConfig(record=str(tmp_path)))
    assert str(raised.value) == "recording needs mcap; install it with: pip install 'teleopd[capture]'"


def test_a_task_may_be_long_but_not_endless():
    with pytest.raises(CommandError, match=r"^task has 100001 characters; 100000 are the most$"):
        recording_folder(RunConfig(task="x" * 100_001))


def test_the_flags_reach_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[RunConfig] = []

    def ran(config: RunConfig, **_: object) -> int:
        asked.append(config)
        if config.report:
            Path(config.report).write_text(json.dumps({"frames": {"received": 1}, "modes": [[1.0, "ACTIVE", None]]}))
        return 0

    for module in (serve, demo):
        monkeypatch.setattr(module, "serve", ran)
    monkeypatch.setattr(demo, "_emulator", lambda *_: contextlib.nullcontext())
    monkeypatch.chdir(tmp_path)
    assert teleop("serve", "--record", "out", "--task", 'lift "it" 👋', "--notes", "n") == 0
    assert teleop("demo", "--record", "here", "--motion", "wave", "--source", "xsens") == 0
    assert teleop("demo", "--motion", "wave", "--source", "xsens") == 0
    assert [(c.record, c.task, c.notes) for c in asked] == [
        ("out", 'lift "it" 👋', "n"), ("here", "wave", ""), ("", "", ""),
    ]  # fmt: skip


def test_cameras_reach_the_configuration_and_mistakes_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked: list[RunConfig] = []
    monkeypatch.setattr(serve, "serve", lambda config, **_: asked.append(config) or 0)
    url = "zmq://robot:5555"
    assert teleop("serve", "--record", "out", "--camera", "head=virtual?size=64x48", f"hand={url}", "--sounds") == 0
    assert asked[0].camera == {"head": "virtual?size=64x48", "hand": url} and asked[0].sounds
    file = tmp_path / "run.toml"
    file.write_text(f'record = "out"\n[camera]\nhead = "{url}"\n')
    assert teleop("serve", "--config", str(file), "--camera", "side=virtual") == 0
    assert asked[1].camera == {"head": url, "side": "virtual"}
    for words, sentence in (
        (("--camera", "head=virtual"), "camera is for recordings; give --record DIR too"),
        (("--record", "o", "--camera", "virtual"), "camera 'virtual' is not of the form NAME=URL, as head=virtual"),
        (("--record", "o", "--camera", "a=virtual", "a=zmq://h:1"), "camera 'a' is given twice"),
    ):
        assert teleop("serve", *words) != 0
        assert sentence in " ".join(capsys.readouterr().err.split())
    with pytest.raises(CommandError, match=r"^camera 'head': 'http://x' is none of virtual, "):
        recording_folder(RunConfig(record=str(tmp_path / "x"), camera={"head": "http://x"}))


def test_a_cameras_password_is_in_no_file(tmp_path: Path):
    config = RunConfig(record=str(tmp_path), camera={"yard": "rtsp://ada:secret@cam/live"})
    header = header_of(config, MODEL, None, "")
    assert header.cameras == ("yard",) and b"secret" not in header.attachments["config.json"]
    assert json.loads(header.attachments["config.json"])["camera"] == {"yard": "rtsp://cam/live"}


def test_an_episode_says_what_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # whoever runs this may have qualified the policy
    config = RunConfig(task='stack "a/b" 👋', source="pico", record=str(tmp_path), notes="left hand")
    policy = resolve(None, MODEL)
    assert policy is not None
    header = header_of(config, MODEL, policy, "")
    assert (header.robot, header.joint_names, len(header.body_names)) == ("unitree_g1", MODEL.joint_names, 23)
    said = {key: header.metadata[key] for key in ("task", "notes", "source", "link", "policy", "config_sha256")}
    assert said == {
        "task": 'stack "a/b" 👋', "notes": "left hand", "source": "pico", "link": "sim", "policy": policy.card.name,
        "config_sha256": config.sha256,
    }  # fmt: skip
    assert header.metadata["policy_sha256"] == policy.card.model.sha256
    assert set(header.attachments) == {"config.json", "robot.xml", "policy_card.toml"}
    assert json.loads(header.attachments["config.json"])["task"] == 'stack "a/b" 👋'
    assert header.attachments["robot.xml"] == MODEL.mjcf.read_bytes()
    calibration = tmp_path / "anna.toml"
    calibration.write_text("schema = 1\n")
    bare = header_of(config, MODEL, None, str(calibration))
    assert bare.metadata["policy"] == "" and bare.attachments["operator.toml"] == b"schema = 1\n"


# A recorder in a thread, as its process is beside a service


class Beside:
    """Steps a real recorder with whatever was wished, until it is told to stop."""

    def __init__(self, bus: Bus, token: int, folder: Path) -> None:
        self._bus, self._folder = bus, folder
        header = EpisodeHeader("unitree_g1", MODEL.joint_names, ("Pelvis",), {"task": "wave"}, {"robot.xml": b"<m/>"})
        self._recorder = Recorder(folder, header, MODEL, token)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._step()
        self._thread.start()

    def _step(self) -> None:
        now_ns = time.monotonic_ns()
        rows = np.zeros(1, dtype=recording_streams(N)["record_command"].codec.dtype)
        rows["t_ns"] = now_ns
        wishes: list[EpisodeWish | None] = [self._bus.slot(f"episode_{who}").read() for who in WISH_WRITERS]
        given = Inputs(now_ns, time.time_ns(), 3, {"command": rows}, {}, wishes)
        self._bus.slot("recorder_status").write(self._recorder.step(given))

    def _run(self) -> None:
        while not self._stop.wait(0.002) and not self._recorder.ended:
            self._step()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)


@pytest.fixture
def beside(bus: Bus, owner: SessionOwner, tmp_path: Path) -> Iterator[Beside]:
    folder = tmp_path / "out"
    folder.mkdir()
    found = Beside(bus, owner.session.token, folder)
    yield found
    found.stop()


def test_ctl_starts_and_labels_episodes_and_moves_nothing(
    beside: Beside, bus: Bus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert teleop("ctl", "episode", "stop") == 1
    assert capsys.readouterr().err == "episode stop refused: no episode is being recorded\n"
    assert teleop("ctl", "episode", "start") == 0
    assert capsys.readouterr().out.startswith("recording unitree_g1_")
    assert teleop("ctl", "episode", "success", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] and not answer["recording"] and Path(answer["path"]).parent == tmp_path / "out"
    assert teleop("ctl", "episode", "discard") == 0
    assert capsys.readouterr().out.endswith(" is discarded (kept in discarded/)\n")
    assert bus.slot("operator_ctl").read() is None and bus.slot("operator_ctl_engage").read() is None


def test_ctl_says_what_is_missing(bus: Bus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    assert teleop("ctl", "episode", "start") == 2
    assert "nothing is recorded in this run; start the service with --record DIR" in capsys.readouterr().err
    assert teleop("ctl", "episode") == 2
    assert capsys.readouterr().err == "teleop: episode what? start, stop, success, discard\n"
    assert teleop("ctl", "stop", "start") == 2
    assert capsys.readouterr().err == "teleop: stop takes no further word, and 'start' is one\n"
    monkeypatch.setattr(ctl, "EPISODE_S", 0.0)
    bus.slot("recorder_status").write(silent(time.monotonic_ns()))
    assert teleop("ctl", "episode", "stop") == 2
    assert capsys.readouterr().err == "teleop: the recorder did not answer within 0 s\n"


def silent(now_ns: int) -> RecorderStatus:
    return RecorderStatus(now_ns, 0, 0, 0, 0, 0, False, np.zeros(1024, np.uint8), np.zeros(400, np.uint8))


# After the run


def test_torn_episodes_of_earlier_runs_are_told(owner: SessionOwner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    processes = Processes(said.append)
    started: dict[str, object] = {}
    monkeypatch.setattr(Processes, "start", lambda _self, name, **given: started.update(given, name=name))
    config = RunConfig(task="wave")
    start_recorder(processes, owner.session, None, config, MODEL, None, "")
    assert started == {} and said == []
    episode(tmp_path, finished=False)
    busy = PartFile(tmp_path, "busy")
    start_recorder(processes, owner.session, tmp_path, config, MODEL, None, "")
    assert said == [f"1 torn episodes lie in {tmp_path}; teleop capture recover {tmp_path} opens them"]
    assert (started["name"], started["folder"], started["balances"]) == ("recorder", str(tmp_path), False)
    busy.discard()


def children(alive: bool = True) -> Processes:
    class Held(Processes):
        def alive(self, name: str) -> bool:
            return alive

    return Held(print, {"recorder": None})  # type: ignore[dict-item]


def test_the_last_episode_is_closed_and_named(beside: Beside, bus: Bus, owner: SessionOwner, tmp_path: Path):
    said: list[str] = []
    teleop("ctl", "episode", "start")
    path = end_recording(bus, owner.session, children(), said.append)
    assert path is not None and Path(path).is_file() and Path(path).parent == tmp_path / "out"
    assert said == [f"recording: {Path(path).name}: drop, the robot followed the operator for 0.0 s"]


def test_several_episodes_are_a_folder(beside: Beside, bus: Bus, owner: SessionOwner, tmp_path: Path):
    for verb in ("start", "stop", "start"):
        teleop("ctl", "episode", verb)
    assert end_recording(bus, owner.session, children(), print) == str(tmp_path / "out")


def test_a_run_without_a_recorder_and_one_whose_recorder_is_dead(bus: Bus, owner: SessionOwner):
    said: list[str] = []
    assert end_recording(bus, owner.session, Processes(print), said.append) is None and said == []
    assert end_recording(bus, owner.session, children(alive=False), said.append) is None
    assert said == ["the recorder never spoke; nothing was recorded"]
    bus.slot("recorder_status").write(silent(1)._replace(path=np.frombuffer(b"/a/b.mcap".ljust(1024, b"\0"), np.uint8)))
    assert end_recording(bus, owner.session, children(alive=False), said.append) == "/a/b.mcap"
    assert said[1:] == ["the recorder did not close its episode; teleop capture recover opens what it wrote"]
    wish = bus.slot("episode_serve").read()
    assert VERBS[wish.verb] == "end" and wish.token == owner.session.token


# teleop capture


def episode(folder: Path, *, finished: bool = True, task: str = "wave") -> Path:
    header = EpisodeHeader("unitree_g1", MODEL.joint_names, ("Pelvis",), {"task": task, "schema": "x"}, {"a.xml": b"x"})
    writer = EpisodeWriter(PartFile(folder, "walk"), header, 5 * S, 1_790_000_000 * S)
    t_ns = 5 * S + 20_000_000 * np.arange(11)
    writer.write("target", t_ns, [np.zeros((11, N))] * 3 + [np.ones((11, 1))] * 3)
    writer.flush()
    if finished:
        return writer.finish({"verdict": "maybe", "verdict_reasons": '["[bold] is text"]'}, {"target": 2})
    writer.abandon()
    return writer.file.part


def test_info_shows_an_episode(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "160")
    path = episode(tmp_path, task="[red]a/b[/red]")
    assert teleop("capture", "info", str(tmp_path), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["state"], found["robot"], found["joints"]) == (str(path), "whole", "unitree_g1", 29)
    assert found["streams"]["target"] == {
        "samples": 11, "hz": 50.0, "longest_gap_ms": 20.0, "dropped": 2,
        "columns": {"joint_pos": 29, "kp": 29, "kd": 29, "targets_seq": 1, "reference_seq": 1, "healthy": 1},
    }  # fmt: skip
    assert (found["duration_s"], found["verdict"], found["attachments"]) == (0.2, "maybe", ["a.xml"])
    assert teleop("capture", "info", str(path)) == 0
    shown = capsys.readouterr().out
    for text in ("unitree_g1, 29 joints", "whole, 0.2 s", "maybe: [bold] is text", "[red]a/b[/red]", "50.0"):
        assert text in shown


def test_recover_and_info_of_a_torn_episode(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torn = episode(tmp_path, finished=False)
    assert teleop("capture", "info", str(torn), "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "torn"
    assert teleop("capture", "recover", str(tmp_path), "--remove") == 0
    assert capsys.readouterr().out == f"{tmp_path}/walk.mcap: 11 messages\n" and not torn.exists()
    assert teleop("capture", "info", str(tmp_path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "recovered"


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    episode(tmp_path)
    (tmp_path / "empty.mcap").touch()
    assert teleop("capture", "info", str(tmp_path), "--json") == 1
    empty, whole = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert empty == {"file": f"{tmp_path}/empty.mcap", "error": f"{tmp_path}/empty.mcap is empty"}
    assert whole["state"] == "whole"
    assert teleop("capture", "recover", str(tmp_path / "walk.mcap")) == 1
    assert "walk.mcap is whole; it needs no recovery" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("info",), "name an episode (MCAP) or a folder of them"),
        (("info", "."), ". holds no episodes (*.mcap)"),
        (("recover",), "name a torn episode (*.mcap.part) or a folder of them"),
        (("recover", "."), "nothing to recover: no *.mcap.part in ."),
        (("bogus",), "unknown command 'capture bogus'; there are: "),
    ],
)
def test_nothing_to_do_is_one_sentence(
    words: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert teleop("capture", *words) == 2
    assert capsys.readouterr().err.startswith(f"teleop: {sentence}")


