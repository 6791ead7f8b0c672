"""The browser view's tokens: made once for a user, kept in a file that only this user can read, so that a page finds
its way back after a restart."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from teleopd.drivers.home import expanded
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.processes import Processes
from teleopd.robots.ipc.session import Session
from teleopd.service.console.access import Access, Role, Tokens
from teleopd.service.console.facts import RunFacts

LEAST = 16
"""Shortest token that is accepted from the file [characters]."""


def token_file(environment: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_STATE_HOME/teleopd/console.toml`, or systemd's `$STATE_DIRECTORY/console.toml`."""
    given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given) / "console.toml"
    base = environment.get("XDG_STATE_HOME", "")
    state = Path(base) if base and Path(base).is_absolute() else expanded("~/.local/state", ConfigError)
    return state / "teleopd" / "console.toml"


def load_tokens(path: Path, say: Callable[[str], object]) -> Tokens:
    """Those of the file; new ones, kept there, when it has none. A file that others may read is not trusted."""
    why = "holds no pair of tokens"
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                why = "could be read by others"
            else:
                found = tomllib.load(file)
                tokens = Tokens(str(found["operate"]), str(found["watch"]))
                if min(map(len, tokens)) >= LEAST and tokens.operate != tokens.watch:
                    return tokens
    except FileNotFoundError:
        why = ""
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
        why = f"cannot be read ({error})" if isinstance(error, OSError) else why
    if why:
        say(f"{path} {why}: the browser view has new tokens")
    tokens = Tokens.new()
    try:
        _keep(path, tokens)
    except OSError as error:
        say(f"{path} cannot be written ({error.strerror}): the browser view's tokens last for this run only")
    return tokens


def _keep(path: Path, tokens: Tokens) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # and with it the rights somebody gave it
    text = (
        "# Tokens of teleopd's browser view. Whoever has `operate` can move the robot. Delete this file for new ones.\n"
        f'operate = "{tokens.operate}"\nwatch = "{tokens.watch}"\n'
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def check_certificate(config: RunConfig) -> None:
    """Before anything runs.

    Raises:
        ConfigError: a key without its certificate.
        CertificateRefused, KeyEncrypted: files that do not hold a certificate and its key, ready for use.
    """
    if not config.view:
        return
    if config.view_private_key and not config.view_certificate:
        raise ConfigError("view_private_key is given without view_certificate; TLS needs the certificate")
    if config.view_certificate:
        from teleopd.service.console.tls import server_context

        server_context(_access(config, Tokens("", "")))


def _access(config: RunConfig, tokens: Tokens) -> Access:
    certificate, key = (
        expanded(getattr(config, name), ConfigError, f"{name} ") if getattr(config, name) else None
        for name in ("view_certificate", "view_private_key")
    )
    return Access(config.view_port, tokens, config.view_host, certificate, key)


def console_access(config: RunConfig, say: Callable[[str], object]) -> Access:
    """What the console process serves, and where; says the addresses to open."""
    return _access(config, load_tokens(token_file(), say))


def say_addresses(access: Access, say: Callable[[str], object]) -> None:
    """The page of the operator and that of a watcher; a warning where the token would cross a network in clear."""
    say(f"browser view: {access.url()}")
    say(f"to look and stop only: {access.url(Role.WATCH)}")
    if not access.local and access.certificate is None:
        say(f"the view listens on {access.host} without TLS: anyone on that network can read its token "
            "(--view-certificate; or an SSH tunnel to 127.0.0.1)")  # fmt: skip


def start_console(
    processes: Processes, session: Session, config: RunConfig, say: Callable[[str], object], facts: RunFacts
) -> None:
    """The console process, and the addresses of its page on the terminal. `facts`: what the page says of the run."""
    access = console_access(config, say)
    say_addresses(access, say)
    processes.start(
        "console", session=session, robot=config.robot, access=access, operator=True, stick=config.source == "stick",
        facts=facts,
    )  # fmt: skip
