"""Who may use the browser view: two tokens, compared in constant time, and a brake on guessing.

The operator's token opens every button; the watcher's opens the same page, where only the soft stop works. Stopping is
never held back from anybody who may look.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

LOOPBACK = ("127.0.0.1", "::1", "localhost")
TOKEN_BYTES = 24
"""192 random bits: 32 characters in a URL."""


class Role(StrEnum):
    """What a page may do."""

    OPERATE = "operate"
    """Every act; engaging still needs the held deadman."""
    WATCH = "watch"
    """Look, and soft-stop."""


class Tokens(NamedTuple):
    """The two secrets of one installation."""

    operate: str
    watch: str

    @staticmethod
    def new() -> Tokens:
        """Two that nobody can guess."""
        return Tokens(secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(TOKEN_BYTES))

    def role(self, token: str) -> Role | None:
        """What this token allows; both are always compared, each in constant time."""
        said = token.encode("utf-8", "surrogateescape")
        operate = hmac.compare_digest(said, self.operate.encode())
        watch = hmac.compare_digest(said, self.watch.encode())
        return Role.OPERATE if operate else Role.WATCH if watch else None


class Access(NamedTuple):
    """Where the view is served and to whom. Handed to the console process; never written into a report."""

    port: int
    tokens: Tokens
    host: str = "127.0.0.1"
    certificate: Path | None = None
    """PEM file of the certificate chain; TLS is on when given."""
    private_key: Path | None = None
    """PEM file of its key; None: in the same file."""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK

    @property
    def address(self) -> str:
        """The page without a token; an address of all interfaces is shown as this machine's loopback."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{shown}:{self.port}"

    def url(self, role: Role = Role.OPERATE) -> str:
        """The page with a token, to open once; the browser remembers it."""
        token = self.tokens.operate if role is Role.OPERATE else self.tokens.watch
        return f"{self.address}/?token={token}"


class Brake:
    """Answers to wrong tokens: a few a minute from each address. Right tokens are never braked, so that nobody can lock
    the operator out by guessing."""

    ALLOWED = 10
    PERIOD_S = 60.0
    MAX_ADDRESSES = 1024

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.refused = 0
        """Wrong tokens seen, ever."""

    def wrong(self, address: str, now_s: float) -> bool:
        """Count one wrong token; whether this address has had too many."""
        self.refused += 1
        since_s, count = self._wrong.pop(address, (now_s, 0))
        if now_s - since_s >= self.PERIOD_S:
            since_s, count = now_s, 0
        self._wrong[address] = (since_s, count + 1)
        while len(self._wrong) > self.MAX_ADDRESSES:
            self._wrong.popitem(last=False)
        return count + 1 > self.ALLOWED


class Budget:
    """Messages of one connection: `rate_hz` sustained, `burst` at once."""

    def __init__(self, rate_hz: float, burst: int, now_s: float) -> None:
        self._rate_hz, self._burst = rate_hz, float(burst)
        self._left, self._at_s = float(burst), now_s

    def spend(self, now_s: float) -> bool:
        """Whether one more is within the budget."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._rate_hz)
        self._at_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
