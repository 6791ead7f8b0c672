"""Takes what is private out of text: people's and computers' names, home folders, tokens, addresses."""

from __future__ import annotations

import getpass
import os
import pwd
import re
import socket
from collections.abc import Iterable
from pathlib import Path

SECRET_KEYS = re.compile(
    r"(?i)([\"']?\b[\w-]*(?:token|password|passwd|secret|api[_-]?key|authorization|cookie)[\w-]*[\"']?\s*[:=]\s*)"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;}\]&\"']+)"
)
MAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b(?<!\.service)")
ADDRESSES = (
    (re.compile(r"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b"), "<mac>"),
    (re.compile(r"\b(?!127\.|0\.0\.0\.0)(?:\d{1,3}\.){3}\d{1,3}\b"), "<address>"),
    (re.compile(r"(?:/home|/Users)/[^/\s\"']+"), "~"),
    (re.compile(r"/root\b"), "~"),
    (re.compile(r"://[^/\s:@\"']+:[^/\s@\"']+@"), "://<secret>@"),
)
SHORTEST = 2
"""A name of a single letter would take half of every text with it."""


class Private:
    """Knows what to take out of this computer's texts."""

    def __init__(self, names: Iterable[str] = (), secrets: Iterable[str] = ()) -> None:
        """`names`: operators and others named in the configuration; `secrets`: tokens and passwords in use."""
        self._words: list[tuple[re.Pattern[str], str]] = []
        for secret in sorted({s for s in secrets if s}, key=len, reverse=True):
            self._words.append((re.compile(re.escape(secret)), "<secret>"))
        for home in sorted({str(Path.home()), os.environ.get("HOME", ""), _home()} - {"", "/"}, key=len, reverse=True):
            self._words.append((re.compile(re.escape(home) + r"(?![A-Za-z0-9])"), "~"))
        for words, shown in ((_users(), "<user>"), (_hosts(), "<host>"), (set(names), "<person>")):
            for word in sorted((w for w in words if len(w) >= SHORTEST), key=len, reverse=True):
                self._words.append((re.compile(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", re.I), shown))

    def clean(self, text: str) -> str:
        """`text` without any of it."""
        text = MAIL.sub("<mail>", text)
        for pattern, shown in self._words:
            text = pattern.sub(shown, text)
        text = SECRET_KEYS.sub(lambda found: f"{found[1]}{'<secret>'.join(2 * [_quote(found[2])])}", text)
        for pattern, shown in ADDRESSES:
            text = pattern.sub(shown, text)
        return text


def _quote(value: str) -> str:
    """The quotation mark a value stands in, so that JSON stays JSON."""
    return value[0] if value[0] in "\"'" else ""


def _users() -> set[str]:
    found = {os.environ.get(key, "") for key in ("USER", "LOGNAME", "SUDO_USER")}
    try:
        found |= {getpass.getuser(), pwd.getpwuid(os.getuid()).pw_gecos.partition(",")[0]}
    except (KeyError, OSError):
        pass
    return found - {"root"}


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _hosts() -> set[str]:
    full = socket.gethostname()
    return {full, full.partition(".")[0]} - {"localhost"}
