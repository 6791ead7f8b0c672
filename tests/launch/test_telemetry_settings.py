"""What `--mqtt` and `--metrics-port` become, and what is refused before anything starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from teleopd.launch import telemetry
from teleopd.launch.config import RunConfig
from teleopd.launch.errors import CommandError
from teleopd.launch.telemetry import telemetry_settings
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.telemetry.settings import Broker, default_serial


def test_without_either_there_is_no_process():
    assert telemetry_settings(RunConfig(), MODEL, None) is None


def test_a_broker_with_everything(tmp_path: Path):
    (tmp_path / "password").write_text("secret\nsecond line\n")
    (tmp_path / "ca.pem").write_text("-----BEGIN\n")
    config = RunConfig(
        mqtt="broker.lab:1884", mqtt_user="anna", mqtt_password_file=str(tmp_path / "password"), mqtt_tls=True,
        mqtt_ca=str(tmp_path / "ca.pem"), serial="lab-7", operator="anna",
    )  # fmt: skip
    found = telemetry_settings(config, MODEL, None)
    assert found is not None
    assert found.broker == Broker("broker.lab", 1884, "anna", "secret", True, str(tmp_path / "ca.pem"))
    assert (found.serial, found.operator, found.metrics_port) == ("lab-7", "anna", 0)
    assert found.config_sha256 == config.sha256
    assert "secret" not in repr(found), "nor in a traceback"


def test_the_name_of_the_computer_makes_a_serial_that_fits_a_topic(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.gethostname", lambda: "lab 7/öst.example.org" + "x" * 80)
    serial = default_serial("unitree_g1")
    assert re.fullmatch(r"unitree_g1-lab-7--st-example-org-?x*", serial.replace(".", "-")) and len(serial) == 64


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mqtt": "a b"}, "broker 'a b' is not of the form HOST or HOST:PORT, as robots.local:1883"),
        ({"mqtt": "x", "serial": "a/b"}, "serial 'a/b' is not 1 to 64 letters, digits, '_', '-' or '.'"),
        ({"mqtt": "x", "mqtt_ca": "/nowhere"}, "--mqtt-ca /nowhere cannot be read: No such file or directory"),
        ({"mqtt": "x", "mqtt_password_file": "/dev/null"},
         "--mqtt-password-file /dev/null: write the password in its first line"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_sentence(settings: dict[str, str], sentence: str):
    with pytest.raises(CommandError) as raised:
        telemetry_settings(RunConfig(**settings), MODEL, None)  # type: ignore[arg-type]
    assert str(raised.value) == sentence


@pytest.mark.parametrize(("settings", "extra"), [({"mqtt": "x"}, "mqtt"), ({"metrics_port": 9105}, "metrics")])
def test_a_missing_package_names_its_extra(
    settings: dict[str, object], extra: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(telemetry.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(CommandError, match=rf"install it with: pip install 'teleopd\[{extra}\]'$"):
        telemetry_settings(RunConfig(**settings), MODEL, None)  # type: ignore[arg-type]
