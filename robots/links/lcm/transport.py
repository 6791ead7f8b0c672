"""LCM on one URL: messages out, and in by polling; nothing here waits and nothing here calls back from elsewhere."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from teleopd.robots.link import LinkUnavailable

DEFAULT_URL = "udpm://239.255.76.67:7667?ttl=0"
"""LCM's own group and port; ttl=0 reaches the programs of this computer only."""
QUEUE = 64
"""Messages of a channel kept between two polls; older ones are dropped by LCM."""
_MOST = 256
"""Messages handled in one poll."""
_URL = re.compile(r"udpm://(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})(?:\?ttl=(\d{1,3}))?")


class Url(NamedTuple):
    """Where LCM's multicast goes."""

    group: str
    port: int
    ttl: int

    @property
    def local(self) -> bool:
        """What is sent stays on this computer."""
        return self.ttl == 0


def parse_url(url: str) -> Url:
    """The parts of an LCM URL.

    Raises:
        ValueError: it is not one of UDP multicast; says what would be right.
    """
    match = _URL.fullmatch(url)
    parts = None if match is None else Url(match[1], int(match[2]), int(match[3] or 0))
    good = parts is not None and 224 <= int(parts.group.split(".")[0]) <= 239
    if parts is None or not good or not 0 < parts.port < 65536 or parts.ttl > 255:
        raise ValueError(
            f"'{url}' is not an LCM URL; write udpm://GROUP:PORT?ttl=N with a group of 224.0.0.0 to 239.255.255.255, "
            f"such as {DEFAULT_URL} (this computer only) or ttl=1 (the local network)"
        )
    return parts


def require_lcm() -> None:
    """
    Raises:
        LinkUnavailable: the lcm package is not installed; says what to install.
    """
    try:
        import lcm  # noqa: F401
    except ImportError as error:
        raise LinkUnavailable(f"the lcm link needs the lcm package ({error}): pip install 'teleopd[lcm]'") from None


class Network:
    """This process on one LCM URL. What it sends it also hears, where it subscribed to that channel."""

    def __init__(self, url: str) -> None:
        """
        Raises:
            ValueError: not a URL of UDP multicast.
            LinkUnavailable: the lcm package is missing, or this computer has no route for multicast.
        """
        self.url, self.parts = url, parse_url(url)
        require_lcm()
        import lcm

        try:
            self._lcm: Any = lcm.LCM(url)
        except RuntimeError:
            raise LinkUnavailable(
                f"LCM cannot use {url}: this computer has no route for multicast; connect the network, or: "
                f"ip route add {self.parts.group}/32 dev IF"
            ) from None
        self._waiting: dict[str, list[bytes]] = {}

    def subscribe(self, channel: str) -> None:
        """Keep what comes on that channel for `take`."""
        waiting = self._waiting.setdefault(channel, [])
        subscription = self._lcm.subscribe(re.escape(channel), lambda _channel, data: waiting.append(data))
        subscription.set_queue_capacity(QUEUE)

    def poll(self) -> None:
        """Take in what has come; never waits."""
        handled, left = self._lcm.handle_timeout, _MOST
        while left and self._lcm is not None and handled(0) > 0:
            left -= 1

    def wait(self, milliseconds: int) -> None:
        """Take in what has come, waiting for the first message: for programs that have no loop of their own."""
        self._lcm.handle_timeout(milliseconds)

    def take(self, channel: str) -> list[bytes]:
        """Messages of a subscribed channel since the last time, oldest first; call `poll` before."""
        waiting = self._waiting[channel]
        if not waiting:
            return []
        taken = waiting.copy()
        waiting.clear()
        return taken

    def publish(self, channel: str, data: bytes) -> bool:
        """Send; False when the network did not take it."""
        try:
            self._lcm.publish(channel, data)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Leave the group; safe to call twice."""
        self._waiting.clear()
        self._lcm = None
