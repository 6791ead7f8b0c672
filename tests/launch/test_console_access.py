from __future__ import annotations

import os
from pathlib import Path

import pytest

from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.console_access import check_certificate, console_access, load_tokens, say_addresses, token_file
from teleopd.launch.service_run import ServiceRun
from teleopd.service.console.access import Access, Tokens
from teleopd.service.console.errors import CertificateRefused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "teleopd" / "console.toml"


def test_the_file_is_where_a_user_or_systemd_keeps_state(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert token_file({}) == token_file({"XDG_STATE_HOME": "relative"})
    assert token_file({}) == Path("/home/somebody/.local/state/teleopd/console.toml")
    assert token_file({"XDG_STATE_HOME": "/state"}) == Path("/state/teleopd/console.toml")
    assert token_file({"STATE_DIRECTORY": "/var/lib/teleopd:/x"}) == Path("/var/lib/teleopd/console.toml")


def test_tokens_are_made_once_for_this_user_only_and_said_by_nobody(path: Path):
    heard: list[str] = []
    first = load_tokens(path, heard.append)
    assert load_tokens(path, heard.append) == first and heard == []
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["", "operate = 5\n", 'operate = "short"\nwatch = "other"\n', "\x00", 'operate = "a"\n', "= ="]
)
def test_a_file_without_a_pair_of_tokens_is_replaced_and_said(path: Path, text: str):
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o600)
    heard: list[str] = []
    tokens = load_tokens(path, heard.append)
    assert heard == [f"{path} holds no pair of tokens: the browser view has new tokens"]
    assert load_tokens(path, heard.append) == tokens and len(heard) == 1


def test_one_secret_for_both_roles_is_no_pair(path: Path):
    path.parent.mkdir()
    path.write_text(f'operate = "{"a" * 32}"\nwatch = "{"a" * 32}"\n')
    path.chmod(0o600)
    tokens = load_tokens(path, lambda _: None)
    assert tokens.operate != tokens.watch


def test_tokens_that_others_could_read_are_no_secret(path: Path):
    heard: list[str] = []
    first = load_tokens(path, heard.append)
    path.chmod(0o644)
    assert load_tokens(path, heard.append) != first
    assert heard == [f"{path} could be read by others: the browser view has new tokens"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_a_place_to_keep_them_they_last_for_the_run(tmp_path: Path):
    (tmp_path / "file").touch()
    heard: list[str] = []
    tokens = load_tokens(tmp_path / "file" / "console.toml", heard.append)
    assert len(tokens.operate) >= 32
    assert "tokens last for this run only" in heard[-1] and os.listdir(tmp_path) == ["file"]


def test_where_it_listens_comes_from_the_run(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(path.parent))
    access = console_access(RunConfig(view_port=9000, view_host="::1", view_certificate="/c.pem"), lambda _: None)
    assert (access.port, access.host, access.certificate, access.private_key) == (9000, "::1", Path("/c.pem"), None)


def test_a_certificate_that_cannot_serve_is_refused_before_anything_runs(tmp_path: Path):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    check_certificate(RunConfig(view=True))
    check_certificate(RunConfig(view=False, view_certificate=str(wrong)))
    with pytest.raises(CertificateRefused, match=r"wrong\.pem: no certificate with its private key"):
        check_certificate(RunConfig(view=True, view_certificate=str(wrong)))
    with pytest.raises(CertificateRefused, match="No such file"):
        ServiceRun(RunConfig(kinematic=True, view=True, view_certificate=str(tmp_path / "none.pem")))
    with pytest.raises(ConfigError, match="view_private_key is given without view_certificate"):
        check_certificate(RunConfig(view=True, view_private_key=str(wrong)))


def test_both_addresses_are_said_and_a_clear_wire_is_warned_of():
    tokens, heard = Tokens("o" * 32, "w" * 32), list[str]()
    say_addresses(Access(8765, tokens), heard.append)
    assert heard == [
        f"browser view: http://127.0.0.1:8765/?token={'o' * 32}",
        f"to look and stop only: http://127.0.0.1:8765/?token={'w' * 32}",
    ]
    say_addresses(Access(8765, tokens, host="10.0.0.7"), heard.append)
    assert "the view listens on 10.0.0.7 without TLS" in heard[-1]
    heard.clear()
    say_addresses(Access(8765, tokens, host="10.0.0.7", certificate=Path("c.pem")), heard.append)
    assert len(heard) == 2
