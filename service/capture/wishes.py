"""The writing end of what operators wish of the recorder. A wish never reaches robot-io: it cannot move anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from teleopd.service.capture.records import RECORDING, VERBS, EpisodeWish, RecorderStatus

BUTTONS = ("episode_start", "episode_stop", "episode_success", "episode_discard", "episode_toggle")
"""Names a device's button may have; `episode_toggle` starts, and then stops."""


class WishSlot(Protocol):
    """What this needs of a slot."""

    def read(self) -> EpisodeWish | None:
        """Newest value, or None."""

    def write(self, value: EpisodeWish) -> object:
        """Replace it."""


class EpisodeWishes:
    """One writer's wishes."""

    def __init__(self, slot: WishSlot, token: int) -> None:
        self._slot, self._token = slot, token

    def wish(self, verb: str, now_ns: int) -> None:
        """Ask for one of `VERBS`.

        Raises:
            ValueError: it is none of them.
        """
        last = self._slot.read()
        self._slot.write(EpisodeWish(last.seq + 1 if last else 1, now_ns, self._token, VERBS.index(verb)))


_R1 = 0x01
REMOTE_KEYS: Mapping[int, str] = {0x04: "toggle", 0x01: "success", 0x08: "discard"}
"""Key bits of the remote's fourth byte (A B X Y ...) -> what they say with R1 held: X, A and Y."""
REMOTE_KEY_NS = 50_000_000
"""A bounce is shorter than this."""


class RemoteKeys:
    """R1+X, R1+A and R1+Y on the vendor's own remote, whose bytes travel in the robot's reports.

    They need no token: the remote is the robot's own radio, and a wish of the recorder moves nothing. The stops on the
    same remote (`safety.remote`: select, and L2+B) are other keys. Bytes as there: R1 is bit 0 of the third.
    """

    def __init__(self, wishes: EpisodeWishes) -> None:
        self._wishes = wishes
        self._held, self._since_ns = "", 0

    def step(
        self, remote: npt.NDArray[np.uint8], t_ns: npt.NDArray[np.int64], status: RecorderStatus | None
    ) -> None:
        """The reports since the last call: bytes (m, 40) and times (m,)."""
        if not len(remote):
            return
        first, second = remote[:, 2].astype(int), remote[:, 3].astype(int)
        keys = np.where(first & _R1, second & sum(REMOTE_KEYS), 0)
        if not self._held and not keys.any():
            return
        for key, at_ns in zip(keys.tolist(), t_ns.tolist(), strict=True):
            verb = REMOTE_KEYS.get(key, "")  # two at once are none
            if verb == self._held:
                self._since_ns = at_ns
            elif verb and (not self._held or at_ns - self._since_ns >= REMOTE_KEY_NS):
                self._held, self._since_ns = verb, at_ns
                if verb == "toggle":
                    verb = "stop" if status is not None and status.state == RECORDING else "start"
                self._wishes.wish(verb, at_ns)
            elif not verb and at_ns - self._since_ns >= REMOTE_KEY_NS:
                self._held = ""


class EpisodeButtons:
    """A device's buttons as wishes, one at each press."""

    def __init__(self, wishes: EpisodeWishes) -> None:
        self._wishes = wishes
        self._held: frozenset[str] = frozenset()

    def step(self, buttons: Collection[str], status: RecorderStatus | None, now_ns: int) -> None:
        """Names of the buttons that are pressed now."""
        held = frozenset(name for name in BUTTONS if name in buttons)
        for name in BUTTONS:
            if name in held and name not in self._held:
                verb = name.removeprefix("episode_")
                if verb == "toggle":
                    verb = "stop" if status is not None and status.state == RECORDING else "start"
                self._wishes.wish(verb, now_ns)
        self._held = held
