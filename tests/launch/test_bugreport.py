"""`teleop bugreport`: what helps is in it, and nothing private is, wherever it was planted."""

from __future__ import annotations

import getpass
import json
import socket
import tarfile
from pathlib import Path

import numpy as np
import pytest

from teleopd.launch import cli
from teleopd.launch.private import Private
from teleopd.launch.schemas import schema_versions
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.streams import Bus

PASSWORD, OPERATOR, ACCOUNT, TOKEN = "hunter2-correct-horse", "Annegret Beispiel", "wilhelmine", "b4d5c0ffee"


@pytest.fixture
def contents(
    owner: SessionOwner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, str]:
    """Of an archive made on a computer full of private things: name -> text."""
    home = tmp_path / "home" / ACCOUNT
    logs = home / "logs"
    logs.mkdir(parents=True)
    for key in ("USER", "LOGNAME", "TELEOPD_NOTES"):
        monkeypatch.setenv(key, ACCOUNT)
    monkeypatch.setenv("HOME", str(home))
    (home / "password").write_text(f"{PASSWORD}\n")
    config = home / "run.toml"
    config.write_text(
        f'robot = "unitree_g1"\noperator = "{OPERATOR}"\nmqtt_password_file = "{home}/password"\n'
        'host = "192.168.7.23"\n'
    )
    lines = [
        {"event": f"recording: {home}/data/walk.mcap", "level": "info"},
        {"event": "state", "state": {"operator": OPERATOR, "mode": "ACTIVE", "serialNumber": socket.gethostname()}},
        {"event": f"open http://127.0.0.1:8765/?token={TOKEN}", "level": "info"},
        {"event": f"broker said {PASSWORD} to {ACCOUNT}@example.org from 10.1.2.3, 02:42:ac:11:00:02"},
        {"event": f"operator {OPERATOR.lower()}; session {owner.session.token}; /home/someone/else; mqtt://u:pw9@host"},
    ]
    (logs / "serve-unitree_g1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    bus = Bus(owner.session, MODEL.n, create=True)
    bus.slot("safety_status").write(SafetyStatus(
        1, 1, int(Mode.DAMPED), 1, 12, 0, 1 << 12, np.zeros(32, np.uint32), np.zeros(8, np.uint32),
        np.zeros(29, np.uint32), False, False, -1, 0, np.zeros(29), 0,
    ))  # fmt: skip
    out = tmp_path / "report.tar.gz"
    with pytest.raises(SystemExit) as ended:
        cli.main(["bugreport", "--out", str(out), "--config", str(config), "--log-folder", str(logs)])
    assert ended.value.code == 0 and f"wrote {out}" in capsys.readouterr().out
    assert out.stat().st_mode & 0o077 == 0
    with tarfile.open(out) as archive:
        members = archive.getmembers()
        assert {(member.uname, member.uid, member.mtime) for member in members} == {("", 0, 0)}
        return {m.name: archive.extractfile(m).read().decode() for m in members}  # type: ignore[union-attr]


def test_nothing_private_is_in_it(contents: dict[str, str], owner: SessionOwner, tmp_path: Path):
    everything = "\n".join([*contents, *contents.values()])
    private = [PASSWORD, OPERATOR, OPERATOR.lower(), ACCOUNT, TOKEN, str(owner.session.token), "pw9", "192.168.7.23",
               "10.1.2.3", "02:42:ac:11:00:02", "example.org", "/home/someone", str(tmp_path / "home")]  # fmt: skip
    assert [word for word in private if word in everything] == []
    if getpass.getuser() != "root":
        assert getpass.getuser() not in everything
    assert f'"{socket.gethostname()}"' not in everything


def test_what_helps_is_in_it(contents: dict[str, str]):
    found = {name.removeprefix("teleopd-bugreport/"): text for name, text in contents.items()}
    assert set(found) >= {
        "versions.json", "computer.json", "environment.json", "state.json", "config/run.toml",
        "logs/serve-unitree_g1.jsonl",
    }  # fmt: skip
    versions = json.loads(found["versions.json"])
    assert versions["schemas"] == schema_versions() and "numpy" in versions["packages"]
    state = json.loads(found["state.json"])["state"]
    assert (state["mode"], state["causes"], state["modeCause"]) == ("DAMPED", ["TILT_ERROR"], "TILT_ERROR")
    assert 'robot = "unitree_g1"' in found["config/run.toml"]
    lines = [json.loads(line) for line in found["logs/serve-unitree_g1.jsonl"].splitlines()]
    assert lines[0]["event"] == "recording: ~/data/walk.mcap"
    assert lines[1]["state"]["mode"] == "ACTIVE"
    assert "127.0.0.1:8765" in lines[2]["event"], "loopback is nobody's address"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ('{"token": "abc", "mode": "IDLE"}', '{"token": "<secret>", "mode": "IDLE"}'),
        ("mqtt_password = 'x y'\nport = 3", "mqtt_password = '<secret>'\nport = 3"),
        ("?token=abc&x=1", "?token=<secret>&x=1"),
        ("GET https://anna:geheim@host/x", "GET https://<secret>@host/x"),
        ("0.0.0.0 127.0.0.1 8.8.8.8", "0.0.0.0 127.0.0.1 <address>"),
        ("/Users/anna/x /root/y /rooted", "~/x ~/y /rooted"),
        ("mujoco 4.0.0, teleopd@g1.service", "mujoco 4.0.0, teleopd@g1.service"),
    ],
)  # fmt: skip
def test_patterns(text: str, cleaned: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/nowhere")
    assert Private().clean(text) == cleaned


def test_without_a_service_and_logs_it_still_tells_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "nothing"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["bugreport", "--log-folder", "none"])
    assert ended.value.code == 0
    assert len(list(tmp_path.glob("teleopd-bugreport-*.tar.gz"))) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--config", "/nowhere.toml"], "--config /nowhere.toml is not a file"),
        (["--out", "/nowhere/x"], "--out /nowhere/x: the folder /nowhere does not exist"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["bugreport", *words])
    assert capsys.readouterr().err == f"teleop: {sentence}\n"


def test_the_version_names_every_schema(capsys: pytest.CaptureFixture[str]):
    cli.main(["--version"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("teleop ")
    assert lines[1:] == [f"  {name}: {schema}" for name, schema in schema_versions().items()]
    assert "  run report: teleopd.run_report/1" in lines
