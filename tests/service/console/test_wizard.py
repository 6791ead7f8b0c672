from __future__ import annotations

import time
from pathlib import Path

import pytest

from teleopd.drivers.source import SourceState
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.console.desk import Calibrate
from teleopd.service.console.wizard import COUNTDOWN_NS, DONE, FAILED, MEASURE_NS, Wizard
from teleopd.service.retarget.operator_file import load_operator, operator_path

from .people import t_posed

LOOK_NS = 33_000_000
ASK = Calibrate("anna", "t")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEOPD_OPERATORS", str(tmp_path))
    return tmp_path


@pytest.fixture
def idle(snapshot, make):
    return snapshot._replace(safety=make["status"](Mode.IDLE), human=t_posed(snapshot.now_ns))


def hold(wizard: Wizard, snapshot, *, moving_m: float = 0.0, seen: bool = True) -> None:
    """Let countdown and measurement pass, a person at 30 Hz, until there is a result."""
    wizard.begin(ASK, snapshot.now_ns)
    for look in range(int((COUNTDOWN_NS + MEASURE_NS) / LOOK_NS) + 4):
        now_ns = snapshot.now_ns + look * LOOK_NS
        human = t_posed(now_ns if seen else 1, seq=look, step_m=moving_m * (look % 2))
        wizard.see(snapshot._replace(now_ns=now_ns, human=human))
    deadline = time.monotonic() + 60
    while wizard.stage not in (DONE, FAILED):
        assert time.monotonic() < deadline, wizard.stage
        time.sleep(0.01)


def test_a_held_pose_is_stored_as_the_command_does_and_told_in_words(idle):
    told: list[str] = []
    wizard = Wizard(MODEL, told.append)
    hold(wizard, idle)
    assert wizard.stage == DONE, wizard.sentence
    for words in ("anna: T-pose of 6", "legs 0.8", "arms 0.5", "floor at 0.0", "heading 0 degrees", "scales: legs 0.",
                  "stored as anna.toml"):  # fmt: skip
        assert words in wizard.sentence
    assert 0.8 < load_operator(operator_path("anna")).leg_m < 0.9
    deadline = time.monotonic() + 60
    while not told:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert told == ["anna"]


def test_the_countdown_is_told_and_nothing_of_it_is_measured(idle):
    wizard = Wizard(MODEL, lambda _name: None)
    assert wizard.check(ASK, idle) == (True, "T-pose: measuring in 5 s")
    wizard.begin(ASK, idle.now_ns)
    wizard.see(idle._replace(now_ns=idle.now_ns + 2_000_000_000))
    assert wizard.as_json(idle.now_ns + 2_000_000_000) == {
        "stage": "countdown", "pose": "T-pose", "left_s": 3.0, "sentence": ""
    }  # fmt: skip
    wizard.see(idle._replace(now_ns=idle.now_ns + COUNTDOWN_NS))
    assert wizard.stage == "measuring" and wizard._poses == []


def test_who_moves_is_told_so_and_nothing_is_stored(idle, folder: Path):
    told: list[str] = []
    wizard = Wizard(MODEL, told.append)
    hold(wizard, idle, moving_m=0.2)
    assert wizard.stage == FAILED and wizard.sentence.startswith("not calibrated: the operator moved: ")
    assert told == [] and list(folder.iterdir()) == []


def test_the_pose_that_was_asked_for_is_the_one_that_counts(idle):
    wizard = Wizard(MODEL, lambda _name: None)
    wizard._ask = ASK
    hold_n = Calibrate("anna", "n")
    wizard.begin(hold_n, idle.now_ns)
    wizard._poses = []
    for look in range(int((COUNTDOWN_NS + MEASURE_NS) / LOOK_NS) + 4):
        now_ns = idle.now_ns + look * LOOK_NS
        wizard.see(idle._replace(now_ns=now_ns, human=t_posed(now_ns, look)))
    deadline = time.monotonic() + 60
    while wizard.stage != FAILED:
        assert time.monotonic() < deadline, wizard.stage
        time.sleep(0.01)
    assert wizard.sentence.startswith("not calibrated: this is no N-pose: the left arm points")


def test_a_source_that_falls_silent_gives_no_calibration(idle):
    wizard = Wizard(MODEL, lambda _name: None)
    hold(wizard, idle, seen=False)
    assert wizard.stage == FAILED and wizard.sentence == "not calibrated: no frame arrived to calibrate from"


def test_a_folder_that_cannot_be_written_is_said(idle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TELEOPD_OPERATORS", str(tmp_path / "file"))
    wizard = Wizard(MODEL, lambda _name: None)
    hold(wizard, idle)
    assert wizard.stage == FAILED and wizard.sentence.startswith("not calibrated: ")


@pytest.mark.parametrize("mode", [Mode.ACTIVE, Mode.HOLD, Mode.RETURN])
def test_never_while_the_robot_follows(idle, make, mode: Mode):
    wizard = Wizard(MODEL, lambda _name: None)
    following = idle._replace(safety=make["status"](mode))
    taken, sentence = wizard.check(ASK, following)
    assert not taken and sentence == f"the robot is {mode.name}; calibrate while it does not follow you"
    wizard.begin(ASK, idle.now_ns)
    wizard.see(following)
    assert (wizard.stage, wizard.sentence) == (FAILED, f"the robot became {mode.name}, so nothing was measured")


def test_what_cannot_begin_says_why(idle):
    wizard = Wizard(MODEL, lambda _name: None)
    assert wizard.check(Calibrate("../x", "t"), idle)[1].startswith("operator '../x' cannot be a file name")
    silent = idle._replace(source=idle.source._replace(state=int(SourceState.STALE)))
    for nobody in (silent, idle._replace(human=None)):
        assert wizard.check(ASK, nobody) == (False, "the source sends no person now; calibrate while it streams")
    wizard.begin(ASK, idle.now_ns)
    assert wizard.check(ASK, idle) == (False, "a calibration runs already")


def test_a_cancelled_one_stores_nothing(idle, folder: Path):
    wizard = Wizard(MODEL, lambda _name: None)
    wizard.cancel()
    assert wizard.stage == "idle"
    wizard.begin(ASK, idle.now_ns)
    wizard.cancel()
    wizard.see(idle._replace(now_ns=idle.now_ns + COUNTDOWN_NS + MEASURE_NS))
    assert (wizard.stage, wizard.sentence) == (FAILED, "cancelled; nothing was stored")
    assert list(folder.iterdir()) == []
