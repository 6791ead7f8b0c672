"""The writing end of what operators wish of the recorder. A wish never reaches robot-io: it cannot move anything."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

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
