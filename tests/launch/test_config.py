"""The run's configuration: where each value comes from, and what is refused."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from teleopd.launch.config import KEYS, SERVED_PHYSICS_HZ, ConfigError, RunConfig
from teleopd.launch.config_resolution import resolve
from teleopd.robots.virtual.plant import PHYSICS_HZ
from teleopd.robots.virtual.process import VirtualOptions


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_the_virtual_robot_knows_every_rate_that_may_be_served():
    assert tuple(rate for rate in PHYSICS_HZ if rate % VirtualOptions().publish_hz == 0) == SERVED_PHYSICS_HZ


def test_without_anything_the_defaults_hold():
    config = resolve({}, None, {})
    assert config == RunConfig()
    assert (config.source, config.robot, config.link, config.auto_engage) == ("xsens", "unitree_g1", "sim", False)


def test_flags_override_environment_overrides_file_overrides_default(tmp_path: Path):
    path = file(tmp_path, 'port = 1\nseconds = 1\nhost = "file"\nsolver = "mink"\n')
    config = resolve({"port": 3}, path, {"TELEOPD_PORT": "2", "TELEOPD_SECONDS": "2.5"})
    assert (config.port, config.seconds, config.host, config.solver) == (3, 2.5, "file", "mink")
    assert config.view_port == 8765


def test_a_flag_that_was_not_given_overrides_nothing(tmp_path: Path):
    assert resolve({"port": None}, file(tmp_path, "port = 7"), {}).port == 7


@pytest.mark.parametrize(
    ("text", "meant"), [("prot = 1", "port"), ("auto_engange = true", "auto_engage"), ("robots = 'x'", "robot")]
)
def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path, text: str, meant: str):
    path = file(tmp_path, text)
    key = text.split()[0]
    with pytest.raises(ConfigError) as error:
        resolve({}, path, {})
    assert str(error.value) == f"{path}: unknown key '{key}'; did you mean '{meant}'?"


def test_an_unknown_key_like_no_other_lists_all(tmp_path: Path):
    path = file(tmp_path, "zzz = 1")
    with pytest.raises(ConfigError) as error:
        resolve({}, path, {})
    assert str(error.value) == f"{path}: unknown key 'zzz'; known: {', '.join(KEYS)}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('port = "9763"', "port is text; give a whole number"), ("port = 1.5", "port is a number; give a whole number"),
        ("view = 1", "view is a whole number; give true or false"), ("robot = 3", "robot is a whole number; give text"),
        ("seconds = true", "seconds is true or false; give a number"), ("host = ['a']", "host is a list; give text"),
        ("compliance = 3", "compliance is a whole number; give a table"),
        ("port = 2026-01-01", "port is a date; give a whole number"),
        ('compliance = { force_limit = "x" }', "compliance.force_limit is text; give a number"),
        ('safety = { motor_rate = "fast" }', "safety: one of its values is text; give a number"),
        ("compliance = { force_limt = 9 }", "compliance has no key 'force_limt'; did you mean 'force_limit'?"),
        ("compliance = { stiff = 9 }", "compliance has no key 'stiff'; known: force_limit, admittance"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_by_file_and_key(tmp_path: Path, text: str, sentence: str):
    path = file(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        resolve({}, path, {})
    assert str(error.value) == f"{path}: {sentence}"


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [("TELEOPD_PORT", "many", "give a whole number"), ("TELEOPD_VIEW", "maybe", "give true or false"),
     ("TELEOPD_SECONDS", "soon", "give a number"),
     ("TELEOPD_DEVICE", "a=1", "device is a table: give it in a run file or by its flag")],
)  # fmt: skip
def test_an_environment_value_of_another_type_is_refused(name: str, text: str, right: str):
    with pytest.raises(ConfigError) as error:
        resolve({}, None, {name: text})
    assert str(error.value) == f"environment {name} is '{text}'; {right}"


@pytest.mark.parametrize("text", ["port = " + 5000 * "[", "host = " + 5000 * "[" + 5000 * "]", 5000 * "a = { "])
def test_brackets_nested_without_end_are_one_sentence(tmp_path: Path, text: str):
    path = file(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        resolve({}, path, {})
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "text"),
    [("file", 'file = "a\\u0000b"'), ("view_certificate", 'view_certificate = "a\\u0000b"'),
     ("device", '[device]\nmap = { a = "b\\u0000" }'), ("camera", 'record = "r"\n[camera]\nhead = "v4l2:///dev/\\u0000"')],
)  # fmt: skip
def test_a_nul_character_is_refused_where_no_text_is_free(tmp_path: Path, key: str, text: str):
    with pytest.raises(ConfigError) as error:
        resolve({}, file(tmp_path, text), {})
    assert str(error.value) == f"{key} holds a NUL character; no file, name or address does"
    assert resolve({}, file(tmp_path, 'notes = "a\\u0000b"'), {}).notes == "a\0b"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), (" yes ", True), ("0", False), ("false", False), ("No", False), ("", False)],
)
def test_environment_switches(text: str, value: bool):
    assert resolve({}, None, {"TELEOPD_LOOP": text}).loop is value


def test_running_unqualified_is_not_set_through_the_environment():
    assert resolve({}, None, {"TELEOPD_UNQUALIFIED": "1"}).unqualified is False
    assert resolve({"unqualified": True}, None, {}).unqualified is True


def test_safety_limits_are_not_set_through_the_environment():
    assert resolve({}, None, {"TELEOPD_SAFETY": "{}"}).safety == {}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"port": 65536}, "port 65536 is not between 0 and 65535"),
        ({"view_port": -1}, "view_port -1 is not between 0 and 65535"),
        ({"seconds": -0.5}, "seconds is -0.5; give a positive number, or 0 to run until Ctrl-C"),
        ({"seconds": float("nan")}, "seconds is nan; give a positive number, or 0 to run until Ctrl-C"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
        ({"character": 256}, "character is 256; give 0 to 255, or -1 for the first one heard"),
        ({"character": -2}, "character is -2; give 0 to 255, or -1 for the first one heard"),
        ({"solver": "slow"}, "solver 'slow' is not one of: auto, fast, compiled, mink"),
        ({"mode": "legs"}, "mode 'legs' is not one of: whole, arms"),
        ({"physics_hz": 200.0}, "physics_hz is 200; choose one of: 500, 1000, 2000"),
        ({"physics_hz": 1500.0}, "physics_hz is 1500; choose one of: 500, 1000, 2000"),
        ({"physics_hz": math.nan}, "physics_hz is nan; choose one of: 500, 1000, 2000"),
    ],
)
def test_values_out_of_range_are_refused(flags: dict[str, Any], sentence: str):
    with pytest.raises(ConfigError, match=f"^{re.escape(sentence)}$"):
        resolve(flags, None, {})


@pytest.mark.parametrize(
    "flags",
    [{"port": 0}, {"port": 65535}, {"character": -1}, {"character": 0}, {"character": 255}, {"physics_hz": 500.0}],
)
def test_values_at_the_bounds_are_accepted(flags: dict[str, Any]):
    config = resolve(flags, None, {})
    assert {key: getattr(config, key) for key in flags} == flags


@pytest.mark.parametrize("link", ["dds", "lcm", "anything"])
def test_engaging_alone_is_refused_on_every_link_to_a_robot(tmp_path: Path, link: str):
    sentence = f"auto_engage is refused on link '{link}': only a virtual robot may engage by itself"
    for flags, text, environment in (
        ({"auto_engage": True, "link": link}, "", {}),
        ({"link": link}, "auto_engage = true", {}),
        ({"auto_engage": True}, f'link = "{link}"', {}),
        ({}, f'link = "{link}"', {"TELEOPD_AUTO_ENGAGE": "1"}),
    ):
        with pytest.raises(ConfigError) as error:
            resolve(flags, file(tmp_path, text), environment)
        assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"port = = 1", "is not TOML: Invalid value"), (b"\xff\xfe", "is not TOML: ")]
)
def test_a_file_that_is_no_toml_is_one_sentence(tmp_path: Path, content: bytes, sentence: str):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{path} {sentence}')}"):
        resolve({}, path, {})


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path):
    with pytest.raises(ConfigError) as error:
        resolve({}, tmp_path / "none.toml", {})
    assert str(error.value) == f"cannot read {tmp_path / 'none.toml'}: No such file or directory"


def test_the_hash_is_of_the_resolved_values_not_of_where_they_came_from(tmp_path: Path):
    by_flag = resolve({"port": 5}, None, {}).sha256
    assert by_flag == resolve({}, file(tmp_path, "port = 5"), {}).sha256
    assert by_flag == resolve({}, None, {"TELEOPD_PORT": "5"}).sha256
    assert by_flag != resolve({"port": 6}, None, {}).sha256
    assert re.fullmatch("[0-9a-f]{64}", by_flag)


def test_compliance_and_lookahead_come_from_file_and_flags_key_by_key(tmp_path: Path):
    path = file(tmp_path, 'lookahead = "delay"\n[compliance]\nforce_limit = 12\n')
    config = resolve({"compliance": {"admittance": True}}, path, {})
    assert (config.lookahead, config.compliance.force_limit, config.compliance.admittance) == ("delay", 12.0, True)
    assert resolve({"compliance": {"force_limit": 6.0}}, path, {}).compliance.force_limit == 6.0


def test_tables_of_the_file_keep_the_keys_that_were_not_typed(tmp_path: Path):
    path = file(tmp_path, '[device]\ndeadman = "left_grip"\nperson = "Anna"\n[safety]\njoint_speed = 30.0\n')
    config = resolve({"device": {"person": "Ben"}, "safety": {"legs_follow": 0.0}}, path, {})
    assert config.device == {"deadman": "left_grip", "person": "Ben"}
    assert config.safety == {"joint_speed": 30.0, "legs_follow": 0.0}
    assert resolve({}, path, {}).sha256 != resolve({}, None, {}).sha256


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[compliance]\nforce_limit = 4.9", "compliance.force_limit: force limit 4.9 N is not between 5 and 15 N"),
        ("[compliance]\nforce_limit = nan", "compliance.force_limit: force limit nan N is not between 5 and 15 N"),
        ("[compliance]\nforce = 9", "compliance has no key 'force'; did you mean 'force_limit'?"),
        ('lookahead = "guess"', "lookahead 'guess' is not one of: hold, extrapolate, delay"),
    ],
)
def test_compliance_and_lookahead_that_cannot_be_are_refused(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        resolve({}, file(tmp_path, text), {})
