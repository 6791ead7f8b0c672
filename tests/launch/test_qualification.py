"""A real link takes a policy with a passing record, or one whose operator says so."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from teleopd.launch.config import RunConfig
from teleopd.launch.errors import CommandError
from teleopd.launch.qualification import require_record
from teleopd.launch.service_run import ServiceRun
from teleopd.robots import catalog
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.library import ResolvedPolicy, resolve
from teleopd.service.qualification import record
from teleopd.service.qualification.criteria import CRITERIA

PASSING = {one.name: one.limit for one in CRITERIA}


@pytest.fixture(scope="module")
def default() -> ResolvedPolicy:
    found = resolve("default", MODEL)
    assert found is not None
    return found


def save(made: record.Record, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.encode(made))


def keep(folder: Path, who: record.Identity, profile: str = "full", **figures: float | None) -> Path:
    made = record.make(who, profile, 0, [], [], {**PASSING, **figures}, {}, "0.1.0")
    file = folder / record.file_name(made.identity, made.profile)
    save(made, file)
    return file


def changed(who: record.Identity, **parts: str) -> record.Identity:
    return record.Identity(**{name: getattr(who, name) for name in who.__struct_fields__} | parts)


def refusal(policy: ResolvedPolicy, place: Path, link: str = "dds") -> str:
    with pytest.raises(CommandError) as error:
        require_record(link, policy, MODEL, place=place)
    sentence = str(error.value)
    assert sentence.startswith(f"link '{link}' reaches a real robot, and ")
    advice = (
        f"; run teleop qualify --policy {policy.onnx_path} --robot unitree_g1, or give --unqualified, which is "
        "written into the report"
    )
    assert sentence.endswith(advice)
    why = sentence.removeprefix(f"link '{link}' reaches a real robot, and ").removesuffix(advice)
    said = require_record(link, policy, MODEL, unqualified=True, place=place)
    assert said == f"unqualified: {why}"
    return why


def test_a_virtual_robot_needs_none(default: ResolvedPolicy, tmp_path: Path):
    assert require_record("sim", default, MODEL, place=tmp_path) == "not required"


@pytest.mark.parametrize("link", ["dds", "lcm", "anything"])
def test_every_other_link_does(default: ResolvedPolicy, tmp_path: Path, link: str):
    assert refusal(default, tmp_path, link) == f"policy 'default' has no qualification record in {tmp_path}"


def test_a_passing_record_is_enough_from_a_folder_or_a_file(default: ResolvedPolicy, tmp_path: Path):
    who = record.identity(default, MODEL)
    file = keep(tmp_path, who)
    keep(tmp_path, who, "quick", tilt_lead=0.0)
    (tmp_path / "broken.json").write_text("{")
    for place in (tmp_path, file):
        assert require_record("dds", default, MODEL, place=place) == f"qualified {who.key[:12]}"
    assert require_record("dds", default, MODEL, unqualified=True, place=file) == f"qualified {who.key[:12]}"


def test_a_line_that_failed_is_named_with_its_figure(default: ResolvedPolicy, tmp_path: Path):
    keep(tmp_path, record.identity(default, MODEL), dropout_drift=0.75, tilt_lead=0.1)
    assert refusal(default, tmp_path) == (
        "policy 'default' did not qualify: dropout_drift is 0.75, wanted at most 0.5 m (and 1 more)"
    )


def test_a_record_that_only_says_that_it_passed_is_judged_by_its_figures(default: ResolvedPolicy, tmp_path: Path):
    file = keep(tmp_path, record.identity(default, MODEL), dropout_drift=0.75)
    text = json.loads(file.read_text())
    text["passed"] = True
    for line in text["lines"]:
        line["passed"] = True
    file.write_text(json.dumps(text))
    assert "dropout_drift is 0.75" in refusal(default, tmp_path)


def test_the_quick_profile_is_no_proof(default: ResolvedPolicy, tmp_path: Path):
    keep(tmp_path, record.identity(default, MODEL), "quick")
    assert refusal(default, tmp_path) == (
        "policy 'default' has only passed the quick profile, which is no proof for hardware"
    )


def test_a_network_that_was_changed_after_it_qualified(default: ResolvedPolicy, tmp_path: Path):
    keep(tmp_path, record.identity(default, MODEL))
    other = tmp_path / "other.onnx"
    other.write_bytes(default.onnx_path.read_bytes() + b"\0")
    why = refusal(default._replace(onnx_path=other), tmp_path)
    assert why == "since policy 'default' was qualified, the ONNX file changed"


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        (("card",), "its card"),
        (("model",), "the robot's model"),
        (("safety",), "the safety table"),
        (("card", "model", "safety"), "its card, the robot's model and the safety table"),
    ],
)
def test_whatever_changed_is_named(default: ResolvedPolicy, tmp_path: Path, parts: tuple[str, ...], what: str):
    keep(tmp_path, changed(record.identity(default, MODEL), **dict.fromkeys(parts, "0" * 64)))
    assert refusal(default, tmp_path) == f"since policy 'default' was qualified, {what} changed"


def test_another_robots_record_is_none(default: ResolvedPolicy, tmp_path: Path):
    keep(tmp_path, changed(record.identity(default, MODEL), robot="unitree_h1"))
    assert refusal(default, tmp_path) == "policy 'default' was qualified on unitree_h1, not on unitree_g1"


def test_a_corrupt_record_is_named(default: ResolvedPolicy, tmp_path: Path):
    file = keep(tmp_path, record.identity(default, MODEL))
    file.write_bytes(file.read_bytes()[:200])
    assert refusal(default, tmp_path).startswith(f"{file} is no qualification record: ")


def test_serve_refuses_before_any_process_exists_and_takes_what_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, default: ResolvedPolicy
):
    """A link from somebody's plug-in stands for the real ones."""
    monkeypatch.setattr(catalog, "LINKS", {**catalog.LINKS, "wire": "nowhere:Link"})
    monkeypatch.setattr("teleopd.launch.registry.check", lambda _kind, _name: None)
    config = RunConfig(link="wire", policy="default", source="motion_file", motion="walk", qualification=str(tmp_path))
    with pytest.raises(CommandError, match="link 'wire' reaches a real robot, and policy 'default' has no"):
        ServiceRun(config)
    taken = RunConfig(**{name: getattr(config, name) for name in config.__struct_fields__} | {"unqualified": True})
    assert ServiceRun(taken).parts.qualification.startswith("unqualified: policy 'default' has no qualification record")
    keep(tmp_path, record.identity(default, MODEL))
    assert ServiceRun(config).parts.qualification.startswith("qualified ")
